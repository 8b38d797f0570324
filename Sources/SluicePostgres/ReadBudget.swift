/// What one server may make libpq hold and compute, in bytes and nanoseconds, until it has answered.
///
/// libpq keeps whatever a server sends: a row of 2 GiB, rows without end, a list of parameters that it walks through
/// for each new one. Counting begins when a first read has not brought the whole answer, so that an answer that comes
/// in one read costs nothing.
package struct ReadBudget {
    package enum Verdict {
        case within
        case tooManyBytes
        case tooMuchWork
    }

    /// In bytes.
    package let limit: Int
    /// The socket's count when counting began.
    private var start: Int64?
    private var last: Int64?
    private var work: Int64 = 0

    package init(limit: Int) { self.limit = limit }

    /// After a read that has not brought all.
    /// - Parameters:
    ///   - received: the socket's count of received bytes; nil where it has none.
    ///   - work: what the read took of the thread's time, in nanoseconds.
    package mutating func spent(received: Int64?, work: Int64) -> Verdict {
        // Nothing has come: it was room to send that was told of.
        if let received, received == last { return .within }
        last = received
        self.work += work
        var bytes: Int64 = 0
        if let received {
            let start = self.start ?? received
            self.start = start
            bytes = received - start
        }
        if bytes > Int64(limit) { return .tooManyBytes }
        return self.work > Self.anyWork + Self.workPerByte * bytes ? .tooMuchWork : .within
    }

    /// Reading rows takes 1 to 5 ns a byte, and some 100 ns for each row; the rest is for busy machines.
    private static var workPerByte: Int64 { 200 }
    private static var anyWork: Int64 { 50_000_000 }

    /// Of what a server says without being asked, until it is asked again.
    static var idleBytes: Int { 65_536 }
    /// Of the answers to questions about the catalogue.
    static var catalogueBytes: Int { 67_108_864 }
    /// Of the first question.
    static var greetingBytes: Int { 1_048_576 }
}
