internal import CLibpq
internal import COpenSSL
internal import Glibc
internal import SluiceReactor
internal import Synchronization

/// A libpq connection while it is made: each of libpq's steps runs on a worker's thread, and the waiting between them
/// is the reactor's.
///
/// `@unchecked Sendable`: `handle`, `watch` and `readBefore` are touched by the worker that runs a step and, between
/// steps, by the reactor that asked for it; `phase`, a mutex, hands them over and says which of the two ends the
/// connection.
final class ConnectionDial: @unchecked Sendable {
    private enum Phase {
        case resting
        case working
        /// The reactor has left while a worker was working: the worker ends the connection.
        case abandoned
        case ended
    }

    enum Progress: Sendable {
        case connected
        /// The next step can be made when the descriptor is ready.
        case waiting(Int32, for: Interest)
        case failed(String)
    }

    private let parameters: [(String, String)]
    private let phase = Mutex(Phase.resting)
    private var handle: OpaquePointer?
    private var watch = AuthenticationWatch()
    /// What had been read from the socket before the server's first word.
    private var readBefore: Int64?

    /// - Parameter parameters: libpq's keywords and values.
    init(_ parameters: [(String, String)]) { self.parameters = parameters }

    // MARK: On the reactor

    /// Makes the next step on a worker, and calls `completion` there, unless the dial is abandoned meanwhile.
    /// - Returns: false if there is no worker for it.
    func step(on dials: DialAllowance, _ completion: @escaping @Sendable (Progress) -> Void) -> Bool {
        phase.withLock { $0 = .working }
        let isAccepted = dials.submit {
            if self.isAbandoned { return self.end() }
            let progress = self.work()
            let mustEnd = self.phase.withLock { phase in
                if phase == .abandoned { return true }
                phase = .resting
                return false
            }
            if mustEnd { self.end() } else { completion(progress) }
        }
        if !isAccepted { phase.withLock { $0 = .resting } }
        return isAccepted
    }

    /// Ends the connection, now or when the worker lets go of it.
    func abandon() {
        let mustEnd = phase.withLock { phase in
            defer { if phase == .working { phase = .abandoned } }
            return phase == .resting
        }
        if mustEnd { end() }
    }

    /// The connection, once it has been made; it is the caller's from now on.
    func take() -> OpaquePointer? {
        phase.withLock { $0 = .ended }
        return handle.take()
    }

    /// Whether SCRAM has bound the connection to its channel, as libpq does where the server offers it; nil without
    /// SCRAM.
    var usesChannelBinding: Bool? {
        guard let isOffered = watch.offersChannelBinding else { return nil }
        let isWanted = !parameters.contains { $0.0 == "channel_binding" && $0.1 == "disable" }
        return isOffered && isWanted && PQsslInUse(handle) != 0
    }

    // MARK: On a worker

    private var isAbandoned: Bool { phase.withLock { $0 == .abandoned } }

    private func end() {
        phase.withLock { $0 = .ended }
        if let handle { PQfinish(handle) }
        handle = nil
    }

    private func work() -> Progress {
        guard handle != nil else { return start() }
        let isSpeaking = PQstatus(handle) == CONNECTION_AWAITING_RESPONSE
        if isSpeaking, let progress = listen() { return progress }
        if Self.isBeforeAnyWord(PQstatus(handle)) {
            // The same server again, say without TLS: libpq tries several ways.
            watch = AuthenticationWatch()
            readBefore = nil
        }
        let polling = PQconnectPoll(handle)
        if isSpeaking, !watch.isOver, PQstatus(handle) == CONNECTION_AWAITING_RESPONSE, !hasReadWhatWasSeen {
            return .failed(Self.outOfTurn)
        }
        if let count = SocketCounts.received(PQsocket(handle)), count > Self.mostBytes {
            return .failed("the server sent more than \(Self.mostBytes) bytes before it let the connection in")
        }
        return progress(polling)
    }

    private static func isBeforeAnyWord(_ status: ConnStatusType) -> Bool {
        switch status {
        case CONNECTION_NEEDED, CONNECTION_STARTED, CONNECTION_MADE, CONNECTION_SSL_STARTUP, CONNECTION_GSS_STARTUP:
            true
        default: false
        }
    }

    private func start() -> Progress {
        // libpq copies what it is given; these copies end with this call.
        let keywords = parameters.map { strdup($0.0) }
        let values = parameters.map { strdup($0.1) }
        defer { for copy in keywords + values { free(copy) } }
        let end: [UnsafePointer<CChar>?] = [nil]
        handle = PQconnectStartParams(
            keywords.map { UnsafePointer($0) } + end, values.map { UnsafePointer($0) } + end, 0)
        guard handle != nil else { return .failed("libpq has no memory") }
        // Without this libpq would print what a server says.
        _ = PQsetNoticeProcessor(handle, { _, _ in }, nil)
        return progress(PGRES_POLLING_WRITING)
    }

    private func progress(_ polling: PostgresPollingStatusType) -> Progress {
        guard PQstatus(handle) != CONNECTION_BAD else { return refused }
        switch polling {
        case PGRES_POLLING_OK: return .connected
        case PGRES_POLLING_READING: return .waiting(PQsocket(handle), for: .read)
        case PGRES_POLLING_WRITING: return .waiting(PQsocket(handle), for: .write)
        default: return refused
        }
    }

    private var refused: Progress { .failed(PostgresConnection.oneLine(PQerrorMessage(handle))) }

    // MARK: Listening

    /// A server of the gateway's kind says a few hundred bytes.
    private static var mostBytes: Int64 { 1_048_576 }

    /// Looks at what libpq is about to read.
    /// - Returns: nil if libpq may read it.
    private func listen() -> Progress? {
        guard !watch.isOver else { return nil }
        let descriptor = PQsocket(handle)
        if readBefore == nil { readBefore = SocketCounts.read(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Self.mostHeard)
        let count: Int
        if let tls = TransportFacts.tls(of: handle) {
            count = Int(SSL_peek(tls, &bytes, Int32(bytes.count)))
            let wanted = count > 0 ? SSL_ERROR_NONE : SSL_get_error(tls, Int32(count))
            ERR_clear_error()
            if wanted == SSL_ERROR_WANT_READ { return .waiting(descriptor, for: .read) }
            if wanted == SSL_ERROR_WANT_WRITE { return .waiting(descriptor, for: .write) }
        } else {
            count = recv(descriptor, &bytes, bytes.count, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
            if count < 0, errno == EAGAIN || errno == EINTR { return .waiting(descriptor, for: .read) }
        }
        // Its end, and errors, are libpq's to find.
        guard count > 0 else { return nil }
        if let complaint = watch.complaint(about: bytes.prefix(count)) { return .failed(complaint) }
        guard watch.isOver || watch.fed < Self.mostHeard else { return .failed(Self.outOfTurn) }
        return nil
    }

    private static let outOfTurn = "the server's answers come out of turn"

    /// All requests for authentication together, in bytes: half of what libpq has room for.
    private static var mostHeard: Int { 8_192 }

    /// False if more came between the look and the reading, so that it is not known where in a message the server is.
    /// One that keeps to the protocol waits for its answers. TLS gives libpq exactly what was looked at.
    private var hasReadWhatWasSeen: Bool {
        guard TransportFacts.tls(of: handle) == nil, let readBefore, let read = SocketCounts.read(PQsocket(handle))
        else { return true }
        return read - readBefore == watch.fed
    }
}
