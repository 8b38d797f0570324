internal import NIOCore
internal import NIOPosix
internal import SluiceWire
internal import Synchronization

/// A client of a Sluice gateway. Any number of calls may run at the same time; they share the client's connections.
///
/// A lost connection fails the calls that were in flight on it with `connectionLost`; the next call connects again.
/// Cancelling the task of a call stops its work, down to the database.
public final class SluiceClient: Sendable {
    /// How to connect.
    public struct Options: Sendable {
        /// Connections to spread the calls over, 1...64.
        public var connections = 1
        /// Shown in the gateway's log.
        public var name: String?
        public var connectTimeout: Duration = .seconds(5)
        /// Whether large frames may be compressed.
        public var lz4 = false

        public init() {}
    }

    private struct State {
        var links: [LinkState]
        var nextLink = 0
        var isClosed = false
    }

    private enum LinkState {
        case down(failures: Int, retryNotBefore: ContinuousClock.Instant?)
        case dialling(EventLoopFuture<Link>, number: UInt64, failures: Int)
        case up(Link, number: UInt64)
    }

    /// A connection, as other threads may hold it.
    private struct Link: Sendable {
        let eventLoop: any EventLoop
        let handler: NIOLoopBound<ConnectionHandler>
    }

    private static let longestBackoff: Duration = .seconds(2)
    /// What a call without a deadline waits at most: the gateway's own limits are far below it.
    private static let longestPatience: Duration = .seconds(600)
    /// What the gateway may be late before this client gives up.
    private static let grace: Duration = .seconds(1)

    private let address: Address
    private let options: Options
    private let state: Mutex<State>
    private let tickets = Atomic<UInt64>(0)

    private init(address: Address, options: Options) {
        self.address = address
        self.options = options
        let count = max(1, min(options.connections, 64))
        state = Mutex(State(links: Array(repeating: .down(failures: 0, retryNotBefore: nil), count: count)))
    }

    /// Connects to a gateway.
    /// - Parameter address: `sluice://host:port` (7411 if no port is given) or `sluice+unix:///path/to.sock`.
    /// - Throws: `SluiceError` with the code `invalidArgument` or `notConnected`.
    public static func connect(
        _ address: String, options: Options = Options()
    ) async throws(SluiceError) -> SluiceClient {
        let client = SluiceClient(address: try Address(address), options: options)
        _ = try await client.link(patience: options.connectTimeout)
        return client
    }

    // MARK: Calls

    /// The nearest neighbours of a vector, over all the collections named, merged.
    public func search(_ query: SearchQuery) async throws(SluiceError) -> SearchReply {
        guard query.k >= 1, query.k <= Int(UInt32.max) else {
            throw SluiceError(.invalidArgument, "k is \(query.k); it must be at least 1")
        }
        guard query.vector.count <= VectorBytes.maximumDimensions else {
            throw SluiceError(
                .invalidArgument,
                "the vector has \(query.vector.count) dimensions; \(VectorBytes.maximumDimensions) is the most")
        }
        if let share = query.minCoverage, !(0...1).contains(share) {
            throw SluiceError(.invalidArgument, "minCoverage is \(share); it must be from 0 to 1")
        }
        var request = SearchRequest(
            collections: query.collections, vector: VectorBytes(query.vector), k: query.k, columns: query.columns,
            deadline: query.deadline.map { max(.zero, $0) }, efSearch: query.efSearch.map { max(0, $0) },
            exact: query.exact, allowPartial: query.allowPartial)
        request.minCoverage = query.minCoverage
        request.allowHedges = query.allowHedges
        request.priority = query.priority.rawValue
        let patience = query.deadline.map { max(.zero, $0) + Self.grace }
        let frame = try await call(.search, patience: patience, answeredBy: .result) { request.encode(into: &$0) }
        return try decoded { () throws(WireError) in try SearchReply(SearchResult(decoding: frame.payload)) }
    }

    /// What can be searched, sorted by name.
    /// - Parameter timeout: how long to wait for the answer; then the call fails with `deadlineExceeded`.
    public func collections(timeout: Duration? = nil) async throws(SluiceError) -> [CollectionDescription] {
        let frame = try await call(.collections, patience: timeout, answeredBy: .collectionList) { _ in }
        return try decoded { () throws(WireError) in
            try CollectionList(decoding: frame.payload).collections.map(CollectionDescription.init)
        }
    }

    /// The time for a message to the gateway and back.
    /// - Parameter timeout: how long to wait for the answer; then the call fails with `deadlineExceeded`.
    @discardableResult
    public func ping(timeout: Duration? = nil) async throws(SluiceError) -> Duration {
        let clock = ContinuousClock()
        let start = clock.now
        _ = try await call(.ping, patience: timeout, answeredBy: .pong) { _ in }
        return start.duration(to: clock.now)
    }

    /// Ends all connections. Calls in flight, and later ones, fail with `closed`.
    public func close() async {
        let links = state.withLock { state in
            state.isClosed = true
            return state.links
        }
        for case .up(let link, _) in links {
            try? await link.eventLoop.submit { link.handler.value.fail(Self.closedError) }.get()
        }
    }

    private static var closedError: SluiceError { SluiceError(.closed, "the client has been closed") }

    private func decoded<Result>(_ body: () throws(WireError) -> Result) throws(SluiceError) -> Result {
        do throws(WireError) { return try body() } catch {
            throw SluiceError(.protocolViolation, "the gateway's answer is broken: \(error.message)")
        }
    }

    // MARK: One request

    private func call(
        _ kind: FrameKind, patience: Duration? = nil, answeredBy expected: FrameKind,
        _ write: (inout ByteBuffer) -> Void
    ) async throws(SluiceError) -> Frame {
        var payload = ByteBufferAllocator().buffer(capacity: kind == .search ? 2_048 : 64)
        write(&payload)
        let limit = patience ?? Self.longestPatience
        var frame: Frame
        do throws(SluiceError) {
            frame = try await exchange(kind, payload, limit)
        } catch  where error.code == .shuttingDown {
            // Refused before anything was done: another connection may reach a gateway that stays.
            frame = try await exchange(kind, payload, limit)
        }
        if frame.kind == .error {
            throw SluiceError(try decoded { () throws(WireError) in try ErrorReply(decoding: frame.payload) })
        }
        guard frame.kind == expected else {
            throw SluiceError(.protocolViolation, "the gateway answered with a frame of another kind")
        }
        return frame
    }

    private func exchange(
        _ kind: FrameKind, _ payload: ByteBuffer, _ patience: Duration
    ) async throws(SluiceError) -> Frame {
        let link = try await link(patience: patience)
        let ticket = tickets.wrappingAdd(1, ordering: .relaxed).newValue
        let answer = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<ConnectionHandler.Answer, Never>) in
                link.eventLoop.execute {
                    let request = ConnectionHandler.Request(kind: kind, payload: payload, patience: patience) {
                        continuation.resume(returning: $0)
                    }
                    link.handler.value.send(request, ticket: ticket)
                }
                // A cancel that came before the line above found nothing to cancel: say it again.
                if Task.isCancelled { link.eventLoop.execute { link.handler.value.cancel(ticket: ticket) } }
            }
        } onCancel: {
            link.eventLoop.execute { link.handler.value.cancel(ticket: ticket) }
        }
        return try answer.get()
    }

    // MARK: Connections

    private enum Choice {
        case use(Link)
        case join(EventLoopFuture<Link>)
        case dial(EventLoopPromise<Link>, place: Int, number: UInt64, after: Duration)
        case closed
    }

    private func link(patience: Duration) async throws(SluiceError) -> Link {
        let choice = choose()
        do {
            switch choice {
            case .use(let link): return link
            case .join(let future): return try await future.get()
            case .closed: throw Self.closedError
            case .dial(let promise, let place, let number, let delay):
                // A task of its own: that this caller is cancelled must not fail others that wait for the same dial.
                Task { await self.dial(promise, place: place, number: number, after: min(delay, patience)) }
                return try await promise.futureResult.get()
            }
        } catch let error as SluiceError {
            throw error
        } catch {
            throw SluiceError(.notConnected, "no connection to the gateway: \(error)", isRetryable: true)
        }
    }

    private func choose() -> Choice {
        state.withLock { state in
            if state.isClosed { return .closed }
            state.nextLink = (state.nextLink + 1) % state.links.count
            let place = state.nextLink
            switch state.links[place] {
            case .up(let link, _): return .use(link)
            case .dialling(let future, _, _): return .join(future)
            case .down(let failures, let notBefore):
                let number = tickets.wrappingAdd(1, ordering: .relaxed).newValue
                let promise = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Link.self)
                state.links[place] = .dialling(promise.futureResult, number: number, failures: failures)
                let delay = notBefore.map { max(.zero, ContinuousClock.now.duration(to: $0)) } ?? .zero
                return .dial(promise, place: place, number: number, after: delay)
            }
        }
    }

    private func dial(_ promise: EventLoopPromise<Link>, place: Int, number: UInt64, after delay: Duration) async {
        if delay > .zero { try? await Task.sleep(for: delay) }
        do {
            let link = try await open { [weak self] in self?.ended(place: place, number: number) }
            let isWanted = state.withLock { state in
                guard !state.isClosed, case .dialling(_, number, _) = state.links[place] else { return false }
                state.links[place] = .up(link, number: number)
                return true
            }
            guard isWanted else {
                link.eventLoop.execute { link.handler.value.fail(Self.closedError) }
                throw SluiceError(.connectionLost, "the connection ended as soon as it was made", isRetryable: true)
            }
            promise.succeed(link)
        } catch {
            failed(place: place, number: number)
            promise.fail(error)
        }
    }

    /// Connects and shakes hands.
    private func open(onClose: @escaping @Sendable () -> Void) async throws -> Link {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let ready = eventLoop.makePromise(of: Void.self)
        let hello = Hello(clientName: options.name, features: options.lz4 ? .lz4 : [])
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(TimeAmount(options.connectTimeout))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = ConnectionHandler(hello: hello, ready: ready, onClose: onClose)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        let channel: any Channel
        do {
            channel =
                switch address {
                case .tcp(let host, let port): try await bootstrap.connect(host: host, port: port).get()
                case .unix(let path): try await bootstrap.connect(unixDomainSocketPath: path).get()
                }
        } catch {
            ready.fail(error)
            throw SluiceError(.notConnected, "no connection to the gateway: \(error)", isRetryable: true)
        }
        let handler = try await channel.eventLoop.submit {
            try NIOLoopBound(
                channel.pipeline.syncOperations.handler(type: ConnectionHandler.self), eventLoop: channel.eventLoop)
        }.get()
        let late = eventLoop.scheduleTask(in: TimeAmount(options.connectTimeout)) {
            handler.value.fail(SluiceError(.notConnected, "the gateway did not say WELCOME in time", isRetryable: true))
        }
        defer { late.cancel() }
        try await ready.futureResult.get()
        return Link(eventLoop: eventLoop, handler: handler)
    }

    private func ended(place: Int, number: UInt64) {
        state.withLock { state in
            switch state.links[place] {
            case .up(_, number), .dialling(_, number, _): state.links[place] = .down(failures: 0, retryNotBefore: nil)
            case .up, .dialling, .down: break
            }
        }
    }

    /// The next dial of this place waits a while: full jitter, doubling up to a limit.
    private func failed(place: Int, number: UInt64) {
        state.withLock { state in
            var failures = 0
            switch state.links[place] {
            case .down(let before, _): failures = before
            case .dialling(_, number, let before): failures = before
            case .dialling, .up: return
            }
            failures = min(failures + 1, 10)
            let ceiling = min(Duration.milliseconds(25) * (1 << failures), Self.longestBackoff)
            let delay = Duration.nanoseconds(Int64.random(in: 0...ceiling.wholeMicroseconds * 1_000))
            state.links[place] = .down(failures: failures, retryNotBefore: ContinuousClock.now.advanced(by: delay))
        }
    }
}

extension Duration {
    fileprivate var wholeMicroseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    }
}
