/// What one server may make libpq hold and compute, in bytes and nanoseconds, until it has answered.
///
/// libpq keeps whatever a server sends: a row of 2 GiB, rows without end, a list of parameters that it walks through
/// for each new one.
package struct ReadBudget {
    package enum Verdict {
        case within
        case tooManyBytes
        case tooMuchWork
    }

    /// In bytes.
    package let limit: Int
    private var bytes = 0
    private var work: Int64 = 0

    package init(limit: Int) { self.limit = limit }

    /// What one read has brought.
    package struct Reading {
        /// From the socket.
        var bytes: Int
        /// OpenSSL had decrypted some before.
        var wasPending: Bool
        /// What it took to understand it, in nanoseconds of the thread's time; 0 of a first read.
        var work: Int64

        package init(bytes: Int, wasPending: Bool = false, work: Int64 = 0) {
            self.bytes = bytes
            self.wasPending = wasPending
            self.work = work
        }
    }

    /// After a read that has not brought all.
    package mutating func spent(_ reading: Reading) -> Verdict {
        // Nothing has come: it was room to send that was told of.
        guard reading.bytes > 0 || reading.wasPending else { return .within }
        bytes += reading.bytes
        work += reading.work
        if bytes > limit { return .tooManyBytes }
        return work > Self.anyWork + Self.workPerByte * Int64(bytes) ? .tooMuchWork : .within
    }

    /// Reading rows takes 1 to 5 ns a byte, and some 100 ns for each row; the rest is for busy machines.
    private static var workPerByte: Int64 { 200 }
    private static var anyWork: Int64 { 50_000_000 }

    /// What one read may bring: other connections wait for the thread meanwhile. What is left in the socket is read in
    /// the reactor's next turn.
    static var bytesAtATime: Int { 262_144 }

    /// Of what a server says without being asked, until it is asked again.
    static var idleBytes: Int { 65_536 }
    /// Of the answers to questions about the catalogue.
    static var catalogueBytes: Int { 67_108_864 }
    /// Of the first question.
    static var greetingBytes: Int { 1_048_576 }
}
