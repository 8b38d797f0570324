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
        /// No use of it is left. The server may not have let go of it yet.
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
    /// The dial that waits for the descriptor, or for a step of libpq's.
    var pollWaiter: CheckedContinuation<Void, Never>?
    private var lastStep: ConnectionDial.Progress?
    /// What the server has sent without being asked.
    var unasked = ReadBudget(limit: ReadBudget.idleBytes)
    /// OpenSSL's handle, which is libpq's own.
    var tls: OpaquePointer?
    /// A COPY that waits until the server has taken what libpq holds, and why it was given up.
    var drainWaiter: CheckedContinuation<Void, Never>?
    var copyFailure: PostgresFailure?
    /// Closed, and let go of by the server or given up.
    var isGone = false
    private var goneWaiters: [CheckedContinuation<Void, Never>] = []
    /// False once the server has refused to say which cluster it is of.
    var mayAskForCluster = true
    /// What the server is, read when the connection was made.
    public private(set) var facts = ServerFacts()
    /// How the server is reached, read when the connection was made.
    public private(set) var transport = TransportFacts(isLocal: false)
    private var isEstablished = false

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
        let addresses = try await settings.resolve(deadline: deadline)
        var failure = PostgresFailure(.unreachable, "no address")
        for (place, address) in addresses.enumerated() {
            let connection = PostgresConnection(settings: settings, reactor: reactor, onClose: onClose)
            // Each address gets its share of the time that is left, so that a dead one leaves some for the others.
            let left = deadline - Reactor.now()
            let limit = Reactor.now() + left / Int64(addresses.count - place)
            do {
                try await connection.dial(address: address, deadline: limit)
                return connection
            } catch {
                failure = error
                if Reactor.now() >= deadline || Task.isCancelled { break }
            }
        }
        throw failure
    }

    /// Ends the connection. Whoever waits for it gets `connectionLost`. Returns when the server has let go of it, or
    /// after a second.
    public func close() async {
        close(PostgresFailure(.connectionLost, "the connection was closed"), parting: Self.politeParting)
        await withCheckedContinuation { if isGone { $0.resume() } else { goneWaiters.append($0) } }
    }

    /// How long the server has to let go of a connection, in nanoseconds: one that is idle does so at once; one that
    /// works first ends what it is at.
    private static let politeParting: Int64 = 1_000_000_000
    static let longParting: Int64 = 10_000_000_000

    nonisolated public func descriptorIsReady() { assumeIsolated { $0.becameReady() } }

    private func becameReady() {
        if pollWaiter != nil {
            resumePollWaiter()
        } else if state != .dialling {
            // While it is dialled, what has arrived belongs to the next step of the dial.
            pump()
        }
    }

    // MARK: Dialling

    private func dial(address: String?, deadline: Int64) async throws(PostgresFailure) {
        let dial = ConnectionDial(
            settings.target.dialling(
                address: address, throughPooler: settings.isPooled, applicationName: settings.applicationName,
                isMissedSoon: settings.isMissedSoon))
        let timer = reactor.schedule(at: deadline) { self.assumeIsolated { $0.dialTimedOut() } }
        defer { reactor.cancel(timer) }
        let result = await withTaskCancellationHandler {
            await establish(dial, deadline: deadline)
        } onCancel: {
            reactor.execute { self.assumeIsolated { $0.dialTimedOut() } }
        }
        if case .failure(let failure) = result {
            dial.abandon()
            discard()
            throw failure
        }
    }

    private func establish(_ dial: ConnectionDial, deadline: Int64) async -> Result<Void, PostgresFailure> {
        do throws(PostgresFailure) {
            try await finish(dial)
            try await prepareSession(deadline: deadline)
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    private func dialTimedOut() {
        guard state == .dialling else { return }
        state = .closed
        resumePollWaiter()
    }

    private func resumePollWaiter() { pollWaiter.take()?.resume() }

    /// Makes one step after the other until the server has let the connection in.
    private func finish(_ dial: ConnectionDial) async throws(PostgresFailure) {
        while true {
            let progress = await step(dial)
            guard state == .dialling else { throw PostgresFailure(.unreachable, "no answer in time") }
            switch progress {
            case .connected:
                let binding = dial.usesChannelBinding
                handle = dial.take()
                tls = TransportFacts.tls(of: handle)
                transport = TransportFacts(of: handle, binding: binding)
                return
            case .waiting(let descriptor, let interest): try await wait(for: descriptor, interest)
            case .failed(let reason): throw PostgresFailure(.unreachable, settings.target.withoutSecrets(reason))
            case nil: throw PostgresFailure(.unreachable, "this process gets no thread for a dial")
            }
        }
    }

    private func step(_ dial: ConnectionDial) async -> ConnectionDial.Progress? {
        lastStep = nil
        let isUnderWay = dial.step(on: settings.dials) { [reactor] progress in
            reactor.execute { self.assumeIsolated { $0.stepEnded(progress) } }
        }
        guard isUnderWay else { return nil }
        await withCheckedContinuation {
            if state == .dialling, lastStep == nil { pollWaiter = $0 } else { $0.resume() }
        }
        return lastStep
    }

    private func stepEnded(_ progress: ConnectionDial.Progress) {
        guard state == .dialling else { return }
        lastStep = progress
        resumePollWaiter()
    }

    /// libpq may use another descriptor after each step, so it is watched for one step only.
    private func wait(for descriptor: Int32, _ interest: Interest) async throws(PostgresFailure) {
        let step: Watch
        do {
            step = try reactor.watch(descriptor, for: interest, owner: self)
        } catch {
            throw PostgresFailure(.unreachable, error.description)
        }
        await withCheckedContinuation { if state == .dialling { pollWaiter = $0 } else { $0.resume() } }
        reactor.unwatch(step)
        guard state == .dialling else { throw PostgresFailure(.unreachable, "no answer in time") }
    }

    private func prepareSession(deadline: Int64) async throws(PostgresFailure) {
        guard PQsetnonblocking(handle, 1) == 0, settings.isConsole || PQenterPipelineMode(handle) == 1 else {
            throw PostgresFailure(.unusable, "libpq refused pipeline mode")
        }
        do {
            watch = try reactor.watch(PQsocket(handle), for: .read, owner: self)
        } catch {
            throw PostgresFailure(.unreachable, error.description)
        }
        state = .idle
        if settings.isConsole {
            isEstablished = true
            return
        }
        let facts = try await readFacts(deadline: deadline)
        guard state == .idle else { throw PostgresFailure(.unreachable, "the connection broke as it was made") }
        self.facts = facts
        settings.transports.note(transport)
        settings.versions.note(facts)
        isEstablished = true
    }

    // MARK: Ending

    /// Ends the connection and tells whoever waits for it; the owner is told when the server has let go of it, too.
    /// - Parameter limit: nanoseconds that it has for that; 0 for a connection that is broken.
    func close(_ failure: PostgresFailure, parting limit: Int64 = 0) {
        guard state != .closed else { return }
        let descriptor = limit > 0 && handle != nil ? dup(PQsocket(handle)) : -1
        discard()
        // What the server said last tells more than that it then hung up.
        finishOperation(.failure(operation?.failure ?? failure))
        guard descriptor >= 0 else { return gone() }
        PartingSocket(descriptor, on: reactor).wait(until: Reactor.now() + limit) {
            self.assumeIsolated { $0.gone() }
        }
    }

    private func gone() {
        isGone = true
        endFence(isClean: false)
        for waiter in goneWaiters { waiter.resume() }
        goneWaiters.removeAll()
        if isEstablished { onClose() }
    }

    private func discard() {
        state = .closed
        if let watch { reactor.unwatch(watch) }
        watch = nil
        if let handle { PQfinish(handle) }
        handle = nil
        tls = nil
        resumeDrainWaiter()
    }

    /// libpq's own words about a connection (never about a statement), short and on one line.
    static func oneLine(_ message: UnsafePointer<CChar>?) -> String {
        guard let message else { return "unknown" }
        let text = String(cString: message).split { $0.isNewline || $0 == "\t" }.joined(separator: "; ")
        return readable(String(text.prefix(300)))
    }

    /// A server's text without control characters, which a terminal would obey.
    static func readable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
    }
}

/// How to reach a server, and how its connections are to be used.
public struct ConnectionSettings: Sendable {
    public var target: ConnectionString
    /// True if a pooler in transaction mode stands before the server: statements then stay unnamed.
    public var isPooled: Bool
    public var resolver: AddressResolver
    /// Cancel requests to this server that may be under way.
    public var cancels: CancelAllowance
    /// Steps of dials to this server that may be made at a time.
    public var dials: DialAllowance
    /// Where it is noted how the server was reached.
    public var transports = TransportRecord()
    /// Where it is noted what the server runs.
    public var versions = VersionRecord()
    /// A server without pgvector is of no use.
    public var needsVector = true
    /// It leads to a pooler's console, which has no facts and runs only what `show` asks.
    public var isConsole = false
    /// What the server calls its connections, whatever the connection string says; at most 63 bytes.
    public var applicationName: String?
    /// The server finds out soon that this machine has gone.
    public var isMissedSoon = false
    /// How long a failed statement may take to be stopped before its connection is closed.
    public var fenceTimeout: Duration

    public init(
        target: ConnectionString, isPooled: Bool, resolver: AddressResolver, cancels: CancelAllowance,
        dials: DialAllowance, fenceTimeout: Duration = .seconds(2)
    ) {
        self.target = target
        self.isPooled = isPooled
        self.resolver = resolver
        self.cancels = cancels
        self.dials = dials
        self.fenceTimeout = fenceTimeout
    }

    /// Addresses to try in turn; nil stands for "as the connection string says".
    func resolve(deadline: Int64) async throws(PostgresFailure) -> [String?] {
        guard let name = target.nameToResolve else { return [nil] }
        let found = try await resolver.addresses(of: name, deadline: deadline)
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
    /// 0 where pgvector is too old for it (0.7.0 brought both).
    public var halfvecType: UInt32 = 0
    public var sparsevecType: UInt32 = 0
    public var vectorVersion = ""
    /// PostgreSQL's own, as it says it: `16.10 (Debian 16.10-1)`.
    public var serverVersion = ""
    public var isStandby = false
    /// As in `ServerState`.
    public var incarnation: UInt64?

    public init(
        vectorSchema: String = "", vectorType: UInt32 = 0, halfvecType: UInt32 = 0, sparsevecType: UInt32 = 0,
        vectorVersion: String = "", isStandby: Bool = false, incarnation: UInt64? = nil
    ) {
        self.vectorSchema = vectorSchema
        self.vectorType = vectorType
        self.halfvecType = halfvecType
        self.sparsevecType = sparsevecType
        self.vectorVersion = vectorVersion
        self.isStandby = isStandby
        self.incarnation = incarnation
    }

    /// 0 if the server has no such type: it then infers the parameter's by itself, or refuses the statement.
    func oid(of type: SubjectType) -> UInt32 {
        // The built-in ones are the same in every server (pg_type.dat).
        switch type {
        case .vector: vectorType
        case .halfvec: halfvecType
        case .sparsevec: sparsevecType
        case .bit: 1_560
        case .text: 25
        case .ids: 1_016
        }
    }
}
