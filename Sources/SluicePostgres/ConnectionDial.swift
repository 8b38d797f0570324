internal import CLibpq
internal import COpenSSL
internal import Glibc
internal import SluiceReactor
internal import Synchronization

/// A libpq connection while it is made: each of libpq's steps runs on a worker's thread, and the waiting between them
/// is the reactor's.
///
/// `@unchecked Sendable`: `handle`, `watch` and `bytesRead` are touched by the worker that runs a step and, between
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
    private var bytesRead = 0

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
        var allowed = Self.mostBytes
        if isSpeaking {
            switch listen() {
            case .wait(let progress): return progress
            case .read(let seen): allowed = seen
            case .readAny: break
            }
        }
        // The same server again, say without TLS: libpq tries several ways.
        if Self.isBeforeAnyWord(PQstatus(handle)) { watch = AuthenticationWatch() }
        let (polling, bytes) = SocketReads.bounded(to: allowed) { PQconnectPoll(handle) }
        bytesRead += bytes
        if bytesRead > Self.mostBytes {
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
    private static let mostBytes = 1_048_576

    private enum Heard {
        case wait(Progress)
        /// So many bytes of the socket, which have been looked at.
        case read(Int)
        /// Nothing that comes now can do harm, or TLS gives libpq exactly what was looked at.
        case readAny
    }

    /// Looks at what libpq is about to read.
    private func listen() -> Heard {
        guard !watch.isOver else { return .readAny }
        let descriptor = PQsocket(handle)
        var bytes = [UInt8](repeating: 0, count: Self.mostHeard)
        let tls = TransportFacts.tls(of: handle)
        let count: Int
        if let tls {
            count = Int(SSL_peek(tls, &bytes, Int32(bytes.count)))
            let wanted = count > 0 ? SSL_ERROR_NONE : SSL_get_error(tls, Int32(count))
            ERR_clear_error()
            if wanted == SSL_ERROR_WANT_READ { return .wait(.waiting(descriptor, for: .read)) }
            if wanted == SSL_ERROR_WANT_WRITE { return .wait(.waiting(descriptor, for: .write)) }
        } else {
            count = recv(descriptor, &bytes, bytes.count, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
            if count < 0, errno == EAGAIN || errno == EINTR { return .wait(.waiting(descriptor, for: .read)) }
        }
        // Its end, and errors, are libpq's to find.
        guard count > 0 else { return .readAny }
        if let complaint = watch.complaint(about: bytes.prefix(count)) { return .wait(.failed(complaint)) }
        guard watch.isOver || watch.fed < Self.mostHeard else {
            return .wait(.failed("the server says too much before it lets the connection in"))
        }
        return tls == nil ? .read(count) : .readAny
    }

    /// All requests for authentication together, in bytes: half of what libpq has room for, so that it reads in one go
    /// what was looked at.
    private static let mostHeard = 8_192
}
