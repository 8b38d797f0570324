internal import NIOCore
package import SluiceDNS
internal import SluiceWire
public import Tracing

/// A client of a Sluice gateway, or of several. Any number of calls may run at the same time; they share the client's
/// connections.
///
/// Of several gateways each call goes to one with little to do; when a gateway goes, what may be done twice is done at
/// another. Of a single one a lost connection fails the calls that were in flight on it with `connectionLost`, and the
/// next call connects again.
/// Cancelling the task of a call stops its work, down to the database. No call waits for ever: without a limit of its
/// own it waits a minute, and a connection on which the gateway does not answer is given up for a new one. Close a
/// client that is not needed any more; one that is dropped closes itself.
public final class SluiceClient: Sendable {
    /// How to connect.
    public struct Options: Sendable {
        /// Connections to each gateway to spread the calls over, 1...4096.
        public var connections = 1
        /// Shown in the gateway's log.
        public var name: String?
        public var connectTimeout: Duration = .seconds(5)
        /// Whom this application acts for, where the gateway asks for that.
        public var token: Token?
        /// For `sluice+tls` addresses.
        public var tls = TLS()
        /// Whether large frames may be compressed.
        public var lz4 = false
        /// What records calls; nil for the one that `InstrumentationSystem` has when the client connects. The gateway
        /// is told which trace a call is part of.
        public var tracer: (any Tracer)?
        /// How long the gateways that an SRV name lists are taken for those that there are, 1 s or more. An answer's
        /// time to live, or a connection that fails, has the client look earlier.
        public var resolveInterval: Duration = .seconds(30)
        /// Whom to ask for SRV records; nil for the servers of /etc/resolv.conf.
        package var nameServers: NameServers?
        /// What a call without a limit of its own waits.
        package var patience = SluiceClient.defaultPatience

        public init() {}
    }

    /// What a call whose caller names no limit waits at most: the longest deadline that a gateway allows by default.
    private static let defaultPatience: Duration = .seconds(60)
    /// What the gateway may be late with the answer to a search before this client gives up.
    static let grace: Duration = .seconds(1)

    private let options: Options
    package let fleet: GatewayFleet
    let streams = StreamRegistry()
    let tracing: CallTracing?

    private init(_ source: GatewaySource, options: Options) {
        self.options = options
        fleet = GatewayFleet(source, options: options)
        tracing = CallTracing(options.tracer)
    }

    /// A client that is dropped without `close()` takes its connections with it.
    deinit { fleet.close() }

    /// Connects to a gateway, or to several that serve the same.
    /// - Parameters:
    ///   - address: `sluice://host:port` (7411 if no port is given), `sluice+tls://host:port` (7413) or
    ///     `sluice+unix:///path/to.sock`; several as `sluice://a:7411,b:7411`; or a name whose SRV records list them,
    ///     `sluice+srv://_sluice._tcp.example.org` (`sluice+tls+srv://` for TLS).
    ///   - options: how to connect.
    /// - Throws: `SluiceError` with the code `invalidArgument`, or `notConnected` if no gateway can be reached.
    public static func connect(
        _ address: String, options: Options = Options()
    ) async throws(SluiceError) -> SluiceClient {
        try await connect(to: try GatewaySource(address), options)
    }

    /// Connects to several gateways that serve the same.
    /// - Parameters:
    ///   - addresses: 1 to 256, each as `connect(_:options:)` takes one.
    ///   - options: how to connect.
    /// - Throws: as `connect(_:options:)`.
    public static func connect(
        _ addresses: [String], options: Options = Options()
    ) async throws(SluiceError) -> SluiceClient {
        try await connect(to: try GatewaySource(addresses), options)
    }

    private static func connect(
        to source: GatewaySource, _ options: Options
    ) async throws(SluiceError) -> SluiceClient {
        guard (1...4_096).contains(options.connections) else {
            throw SluiceError(.invalidArgument, "connections is \(options.connections); it must be from 1 to 4096")
        }
        let client = SluiceClient(source, options: options)
        // The connect timeout bounds each part of the dial, and the dial knows better what was late.
        try await client.fleet.open()
        return client
    }

    // MARK: Calls

    /// What can be searched, sorted by name.
    /// - Parameter timeout: how long to wait for the answer; then the call fails with `deadlineExceeded`.
    public func collections(timeout: Duration? = nil) async throws(SluiceError) -> [CollectionDescription] {
        try await list(timeout: timeout).collections.map(CollectionDescription.init)
    }

    /// The time for a message to the gateway and back.
    /// - Parameter timeout: how long to wait for the answer; then the call fails with `deadlineExceeded`.
    @discardableResult
    public func ping(timeout: Duration? = nil) async throws(SluiceError) -> Duration {
        let clock = ContinuousClock()
        let start = clock.now
        _ = try await call(.ping, until: limit(timeout), answeredBy: .pong) { _ in }
        return start.duration(to: clock.now)
    }

    /// Ends all connections. Calls in flight or waiting, and later ones, fail with `closed`.
    public func close() async {
        let streams = streams.close().flatMap { $0.close() }
        for ended in fleet.close() + streams { try? await ended.get() }
    }

    /// A connection for a stream.
    func streamPool(to address: Address) -> LinkPool {
        var options = options
        options.connections = 1
        return LinkPool(address: address, options: options)
    }

    func decoded<Result>(_ body: () throws(WireError) -> Result) throws(SluiceError) -> Result {
        do throws(WireError) { return try body() } catch {
            throw SluiceError(.protocolViolation, "the gateway's answer is broken: \(error.message)")
        }
    }

    // MARK: One request

    func limit(_ time: Duration?, grace: Duration = .zero) -> TimeLimit {
        TimeLimit(time ?? options.patience, grace: grace, isCallers: time != nil)
    }

    /// - Parameters:
    ///   - repetition: when it may be sent a second time.
    ///   - gateway: the only one that can answer it; nil for any.
    func call(
        _ kind: FrameKind, until limit: TimeLimit, answeredBy expected: FrameKind,
        repetition: Failover.Repetition = .always, at gateway: GatewayChoice.ID? = nil,
        _ write: (inout ByteBuffer) -> Void
    ) async throws(SluiceError) -> (frame: Frame, gateway: GatewayChoice.ID) {
        var payload = ByteBufferAllocator().buffer(capacity: kind == .ping ? 0 : 2_048)
        write(&payload)
        let trace = tracing?.begin(kind)
        trace?.write(into: &payload)
        do throws(SluiceError) {
            let answer = try await answered(kind, payload, limit, repetition, gateway)
            guard answer.frame.kind == expected else {
                throw SluiceError(.protocolViolation, "the gateway answered with a frame of another kind")
            }
            trace?.end(nil)
            return answer
        } catch {
            trace?.end(error)
            throw error
        }
    }

    private func answered(
        _ kind: FrameKind, _ payload: ByteBuffer, _ limit: TimeLimit, _ repetition: Failover.Repetition,
        _ gateway: GatewayChoice.ID?
    ) async throws(SluiceError) -> (frame: Frame, gateway: GatewayChoice.ID) {
        fleet.firstAttemptStarted()
        var failover = Failover(gateway == nil ? repetition : .never, gateways: gateway == nil ? fleet.count : 1)
        var tried: Set<GatewayChoice.ID> = []
        while true {
            let lease: GatewayFleet.Lease
            if let gateway {
                lease = try await fleet.lease(at: gateway, until: limit)
            } else {
                lease = try await fleet.lease(until: limit, avoiding: tried)
            }
            let answer = await exchange(kind, payload, limit, lease)
            fleet.end(lease, answer, isMeasured: kind == .search || kind == .get)
            switch answer {
            case .success(let frame): return (frame, lease.gateway)
            case .failure(let failure):
                tried.insert(lease.gateway)
                let next = fleet.next(&failover, after: Failover.Failure(failure), tried: tried, until: limit)
                guard next != .none else { throw failure.final }
            }
        }
    }

    /// One attempt, on one connection.
    private func exchange(
        _ kind: FrameKind, _ payload: ByteBuffer, _ limit: TimeLimit, _ lease: GatewayFleet.Lease
    ) async -> Request.Answer {
        let (link, ticket) = (lease.link, lease.pool.number())
        let answer = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Request.Answer, Never>) in
                link.runHere { handler in
                    let request = Request(kind: kind, payload: payload, limit: limit) {
                        continuation.resume(returning: $0)
                    }
                    handler.send(request, ticket: ticket)
                }
                // A cancel that came before the line above found nothing to cancel: say it again, after the request.
                if Task.isCancelled { link.run { $0.cancel(ticket: ticket) } }
            }
        } onCancel: {
            link.run { $0.cancel(ticket: ticket) }
        }
        guard case .success(let frame) = answer, frame.kind == .error else { return answer }
        return .failure(refusal(frame, by: lease))
    }

    func refusal(_ frame: Frame, by lease: GatewayFleet.Lease) -> RequestFailure {
        do throws(SluiceError) {
            let reply = try decoded { () throws(WireError) in try ErrorReply(decoding: frame.payload) }
            guard reply.code == .shuttingDown else { return RequestFailure(SluiceError(reply), isAnswer: true) }
            lease.pool.retire(lease.link)
            return RequestFailure(SluiceError(reply), isMovable: true, isAnswer: true)
        } catch {
            return RequestFailure(error)
        }
    }
}
