internal import CLibpq
internal import Glibc
public import SluiceReactor

/// One libpq connection in pipeline mode. It lives on a reactor: every libpq call is made on that thread.
///
/// At most one search runs at a time. After a failure that left the server working, `settle()` tells when the
/// connection is clean again, or that it has been closed.
public actor PostgresConnection: DescriptorOwner {
    public nonisolated let reactor: Reactor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    enum State {
        case dialling
        case idle
        case running
        /// The caller has had its failure; the server may still be working. Goes to: idle, closed.
        case fencing
        case closed
    }

    let settings: ConnectionSettings
    private let onClose: @Sendable () -> Void
    var handle: OpaquePointer?
    var state = State.dialling
    var watch: Watch?
    var isWriteWatched = false
    var statements = StatementCache(capacity: 256)
    var obsoleteStatements: [String] = []
    var operation: Operation?
    var operationNumber: UInt64 = 0
    var fence = Fence()
    var pollWaiter: CheckedContinuation<Void, Never>?
    /// What the server is, read when the connection was made.
    public private(set) var facts = ServerFacts()

    private init(
        settings: ConnectionSettings, reactor: Reactor, onClose: @escaping @Sendable () -> Void
    ) {
        self.settings = settings
        self.reactor = reactor
        self.onClose = onClose
    }

    /// Dials, and reads what is needed of the server's catalogue.
    /// - Parameters:
    ///   - deadline: an instant of `Reactor.now()`.
    ///   - onClose: called once, on the reactor, when an established connection has ended for whatever reason.
    public static func connect(
        _ settings: ConnectionSettings, on reactor: Reactor, deadline: Int64,
        onClose: @escaping @Sendable () -> Void
    ) async throws(PostgresFailure) -> PostgresConnection {
        let addresses = try await settings.resolve()
        var failure = PostgresFailure(.unreachable, "no address")
        for address in addresses {
            let connection = PostgresConnection(settings: settings, reactor: reactor, onClose: onClose)
            do {
                try await connection.dial(address: address, deadline: deadline)
                return connection
            } catch {
                failure = error
                if Reactor.now() >= deadline { break }
            }
        }
        throw failure
    }

    /// Ends the connection at once. Whoever waits for it gets `connectionLost`.
    public func close() { close(PostgresFailure(.connectionLost, "the connection was closed")) }

    nonisolated public func descriptorIsReady() { assumeIsolated { $0.becameReady() } }

    private func becameReady() {
        if let waiter = pollWaiter {
            pollWaiter = nil
            waiter.resume()
        } else {
            pump()
        }
    }

    // MARK: Dialling

    private func dial(address: String?, deadline: Int64) async throws(PostgresFailure) {
        let parameters = settings.target.dialling(address: address, throughPooler: settings.isPooled)
        handle = Self.start(parameters)
        guard handle != nil else { throw PostgresFailure(.unreachable, "libpq has no memory") }
        let timer = reactor.schedule(at: deadline) { self.assumeIsolated { $0.dialTimedOut() } }
        defer { reactor.cancel(timer) }
        let result = await withTaskCancellationHandler {
            await establish(deadline: deadline)
        } onCancel: {
            reactor.execute { self.assumeIsolated { $0.dialTimedOut() } }
        }
        if case .failure(let failure) = result {
            discard()
            throw failure
        }
    }

    private func establish(deadline: Int64) async -> Result<Void, PostgresFailure> {
        do throws(PostgresFailure) {
            try await pollUntilConnected()
            try await prepareSession(deadline: deadline)
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    private func dialTimedOut() {
        guard state == .dialling else { return }
        state = .closed
        if let waiter = pollWaiter {
            pollWaiter = nil
            waiter.resume()
        }
    }

    private static func start(_ parameters: [(String, String)]) -> OpaquePointer? {
        // libpq copies what it is given; these copies end with this call.
        let keywords = parameters.map { strdup($0.0) }
        let values = parameters.map { strdup($0.1) }
        defer { for copy in keywords + values { free(copy) } }
        let end: [UnsafePointer<CChar>?] = [nil]
        return PQconnectStartParams(
            keywords.map { UnsafePointer($0) } + end, values.map { UnsafePointer($0) } + end, 0)
    }

    private func pollUntilConnected() async throws(PostgresFailure) {
        var polling = PGRES_POLLING_WRITING
        while true {
            guard state == .dialling else { throw PostgresFailure(.unreachable, "no answer in time") }
            guard PQstatus(handle) != CONNECTION_BAD else { throw refused() }
            switch polling {
            case PGRES_POLLING_OK: return
            case PGRES_POLLING_READING: try await waitForDescriptor(.read)
            case PGRES_POLLING_WRITING: try await waitForDescriptor(.write)
            default: throw refused()
            }
            guard state == .dialling else { continue }
            polling = PQconnectPoll(handle)
        }
    }

    /// libpq may use another descriptor after each step, so it is watched for one step only.
    private func waitForDescriptor(_ interest: Interest) async throws(PostgresFailure) {
        let step: Watch
        do {
            step = try reactor.watch(PQsocket(handle), for: interest, owner: self)
        } catch {
            throw PostgresFailure(.unreachable, error.description)
        }
        await withCheckedContinuation { pollWaiter = $0 }
        reactor.unwatch(step)
    }

    private func refused() -> PostgresFailure {
        PostgresFailure(.unreachable, Self.oneLine(PQerrorMessage(handle)))
    }

    private func prepareSession(deadline: Int64) async throws(PostgresFailure) {
        _ = PQsetNoticeProcessor(handle, { _, _ in }, nil)
        guard PQsetnonblocking(handle, 1) == 0, PQenterPipelineMode(handle) == 1 else {
            throw PostgresFailure(.unusable, "libpq refused pipeline mode")
        }
        do {
            watch = try reactor.watch(PQsocket(handle), for: .read, owner: self)
        } catch {
            throw PostgresFailure(.unreachable, error.description)
        }
        state = .idle
        facts = try await readFacts(deadline: deadline)
    }

    // MARK: Ending

    /// Ends the connection and tells whoever waits for it, and the owner.
    func close(_ failure: PostgresFailure) {
        guard state != .closed else { return }
        let wasEstablished = facts.vectorType != 0
        discard()
        finishOperation(.failure(failure))
        endFence(isClean: false)
        if wasEstablished { onClose() }
    }

    private func discard() {
        state = .closed
        if let watch { reactor.unwatch(watch) }
        watch = nil
        if let handle { PQfinish(handle) }
        handle = nil
    }

    /// libpq's own words about a connection (never about a statement), short and on one line.
    static func oneLine(_ message: UnsafePointer<CChar>?) -> String {
        guard let message else { return "unknown" }
        let text = String(cString: message).split(whereSeparator: \.isNewline).joined(separator: "; ")
        return String(text.prefix(300))
    }
}

/// How to reach a server, and how its connections are to be used.
public struct ConnectionSettings: Sendable {
    public var target: ConnectionString
    /// True if a pooler in transaction mode stands before the server: statements then stay unnamed.
    public var isPooled: Bool
    public var workers: BlockingWorkers
    /// How long a failed statement may take to be stopped before its connection is closed.
    public var fenceTimeout: Duration

    public init(
        target: ConnectionString, isPooled: Bool, workers: BlockingWorkers, fenceTimeout: Duration = .seconds(2)
    ) {
        self.target = target
        self.isPooled = isPooled
        self.workers = workers
        self.fenceTimeout = fenceTimeout
    }

    /// Addresses to try in turn; nil stands for "as the connection string says".
    func resolve() async throws(PostgresFailure) -> [String?] {
        guard let name = target.nameToResolve else { return [nil] }
        let found = try await AddressResolver(workers: workers).addresses(of: name)
        guard !found.isEmpty else { throw PostgresFailure(.unreachable, "no address is known for \(name)") }
        return found
    }
}

/// What differs between servers and is read when a connection is made.
public struct ServerFacts: Hashable, Sendable {
    /// The schema that the `vector` extension was created in.
    public var vectorSchema = ""
    /// The OID of the type `vector`; 0 until known.
    public var vectorType: UInt32 = 0
    public var vectorVersion = ""
    public var isStandby = false
}
