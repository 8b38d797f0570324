package import NIOCore
internal import NIOPosix
internal import SluiceWire
internal import Synchronization

/// A connection, as other threads may hold it.
package final class Link: Sendable {
    let id: UInt64
    package let channel: any Channel
    let loop: any EventLoop
    let handler: NIOLoopBound<ConnectionHandler>

    init(id: UInt64, channel: any Channel, handler: ConnectionHandler) {
        self.id = id
        self.channel = channel
        loop = channel.eventLoop
        self.handler = NIOLoopBound(handler, eventLoop: channel.eventLoop)
    }

    /// Runs a task with the connection's handler, on its event loop.
    func run(_ task: @escaping @Sendable (ConnectionHandler) -> Void) {
        loop.execute { [handler] in task(handler.value) }
    }

    /// The same, but at once if the caller is on the event loop.
    func runHere(_ task: @escaping @Sendable (ConnectionHandler) -> Void) {
        if loop.inEventLoop { task(handler.value) } else { run(task) }
    }
}

/// The connections of a client to one gateway: a number of places, each with a connection or none. Calls that find none
/// share the dial of their place; how long each waits for it is its own affair.
package final class LinkPool: Sendable {
    /// What whoever chooses among several gateways has to know. Told after the fact, and not always in order.
    package enum Event: Sendable {
        /// There is a connection.
        case up
        /// There is none any more, or a dial failed while there was none.
        case down(SluiceError?)
    }

    private typealias Waiter = CheckedContinuation<Result<Link, SluiceError>, Never>

    /// What the dials of a place have come to since it last had a connection.
    private struct Trouble {
        var failures = 0
        var last: SluiceError?
        var retryNotBefore: NIODeadline?
    }

    private enum Place {
        case down(Trouble)
        case dialling(Trouble)
        case up(Link)

        var trouble: Trouble {
            switch self {
            case .down(let trouble), .dialling(let trouble): trouble
            case .up: Trouble()
            }
        }
    }

    private struct State {
        var places: [Place]
        /// By place and ticket: calls that wait for a dial.
        var waiters: [[UInt64: Waiter]]
        var turns: PlaceTurns
        var isClosed = false
        /// All connections that are open, also those that shake hands or finish what is in flight after GOAWAY.
        var live: [UInt64: Link] = [:]
        var retired: Set<UInt64> = []

        var isAnyUp: Bool { places.contains { if case .up = $0 { true } else { false } } }

        /// The place whose turn it is. Who calls from one of the event loops gets one there, so that the request and
        /// its answer need no other thread, unless that connection has as many requests as the gateway takes.
        mutating func takeTurn(on loop: Int?) -> Int {
            if let loop, let place = turns.next(on: loop) {
                guard case .up(let link) = places[place], !link.handler.value.hasRoom else { return place }
            }
            return turns.next()
        }

        mutating func takeWaiters(at place: Int) -> [Waiter] {
            let waiting = Array(waiters[place].values)
            waiters[place] = [:]
            return waiting
        }
    }

    /// Without a pause, of one place.
    private static let dialsInARow = 3
    private static let longestBackoff: Duration = .seconds(2)
    /// Calls that may wait for one dial; they hold their requests meanwhile.
    private static let maximumWaiters = 100_000

    let address: Address
    private let options: SluiceClient.Options
    private let onEvent: @Sendable (Event) -> Void
    private let state: Mutex<State>
    private let numbers = Atomic<UInt64>(0)
    /// How many there have been: each begins with another event loop.
    private static let pools = Atomic<UInt32>(0)

    package init(
        address: Address, options: SluiceClient.Options, onEvent: @escaping @Sendable (Event) -> Void = { _ in }
    ) {
        self.address = address
        self.options = options
        self.onEvent = onEvent
        state = Mutex(
            State(
                places: Array(repeating: .down(Trouble()), count: options.connections),
                waiters: Array(repeating: [:], count: options.connections),
                turns: PlaceTurns(
                    places: options.connections, loops: ClientLoops.all.count,
                    first: Int(Self.pools.wrappingAdd(1, ordering: .relaxed).oldValue))))
    }

    static var closedError: SluiceError { SluiceError(.closed, "the client has been closed") }

    /// Of the event loops of clients, the one that a place's connections are on.
    func loop(of place: Int) -> Int { state.withLock { $0.turns.loop(of: place) } }

    /// How many dials in a row have failed.
    package func failures(at place: Int) -> Int { state.withLock { $0.places[place].trouble.failures } }

    /// A number that nothing else in this client has.
    func number() -> UInt64 { numbers.wrappingAdd(1, ordering: .relaxed).newValue }

    // MARK: Taking a connection

    /// - Parameter limit: how long to wait for a dial; nil for as long as the dial takes.
    package func link(until limit: TimeLimit?) async throws(SluiceError) -> Link {
        let here = ClientLoops.here
        let (place, link) = state.withLock { state -> (Int, Link?) in
            let place = state.takeTurn(on: here)
            guard case .up(let link) = state.places[place] else { return (place, nil) }
            return (place, link)
        }
        if let link { return link }
        return try await dialled(place, until: limit).get()
    }

    /// One that is there; nil if none is. A place without one is dialled beside, so that the next call may find it.
    func readyLink() -> Link? {
        let here = ClientLoops.here
        let (link, dialled) = state.withLock { state -> (Link?, Int?) in
            let turn = state.takeTurn(on: here)
            if case .up(let link) = state.places[turn] { return (link, nil) }
            let found = (state.places[turn...] + state.places).lazy.compactMap { place -> Link? in
                if case .up(let link) = place { link } else { nil }
            }.first
            guard found != nil, !state.isClosed, case .down(let trouble) = state.places[turn],
                trouble.retryNotBefore.map({ $0 <= .now() }) ?? true
            else { return (found, nil) }
            state.places[turn] = .dialling(trouble)
            return (found, turn)
        }
        if let dialled { Task { await self.dial(dialled, after: .zero) } }
        return link
    }

    /// Dials, if there is no connection: what comes of it is told as an event.
    func probe(after delay: Duration) {
        let (place, isUp) = state.withLock { state -> (Int?, Bool) in
            if state.isClosed { return (nil, false) }
            if state.isAnyUp { return (nil, true) }
            let isDialling = state.places.contains { if case .dialling = $0 { true } else { false } }
            guard !isDialling else { return (nil, false) }
            let place = state.turns.next()
            state.places[place] = .dialling(state.places[place].trouble)
            return (place, false)
        }
        if isUp { onEvent(.up) }
        if let place { Task { await self.dial(place, after: delay) } }
    }

    /// The dial goes on without a caller that is cancelled or runs out of time: others may wait for it, or come.
    private func dialled(_ place: Int, until limit: TimeLimit?) async -> Result<Link, SluiceError> {
        let ticket = number()
        return await awaitEvent(until: limit) { (waiter: Waiter) in
            enlist(waiter, ticket, at: place)
        } timeIsUp: {
            self.timeIsUp(ticket, at: place, $0)
        } cancelled: {
            self.dismiss(ticket, at: place, .callCancelled)
        }
    }

    private enum Step {
        case resume(Result<Link, SluiceError>)
        case wait
        case dial(after: Duration)
    }

    private func enlist(_ waiter: Waiter, _ ticket: UInt64, at place: Int) {
        let step = state.withLock { state -> Step in
            if state.isClosed { return .resume(.failure(Self.closedError)) }
            guard state.waiters[place].count < Self.maximumWaiters else {
                return .resume(.failure(SluiceError(.busy, "too many calls wait for a connection", isRetryable: true)))
            }
            switch state.places[place] {
            case .up(let link): return .resume(.success(link))
            case .dialling:
                state.waiters[place][ticket] = waiter
                return .wait
            case .down(let trouble):
                state.waiters[place][ticket] = waiter
                state.places[place] = .dialling(trouble)
                return .dial(after: trouble.retryNotBefore.map { Duration($0 - .now()) } ?? .zero)
            }
        }
        switch step {
        case .resume(let result): waiter.resume(returning: result)
        case .wait: break
        // A task of its own: that this caller is cancelled must not fail others that wait for the same dial.
        case .dial(let delay): Task { await self.dial(place, after: delay) }
        }
    }

    /// If the dial before has failed, why it has says more than that this one is not through.
    private func timeIsUp(_ ticket: UInt64, at place: Int, _ limit: TimeLimit) {
        let error = state.withLock { $0.places[place].trouble.last }
        dismiss(ticket, at: place, error ?? limit.passedUnsent("no connection to the gateway was made in time"))
    }

    private func dismiss(_ ticket: UInt64, at place: Int, _ error: SluiceError) {
        state.withLock { $0.waiters[place].removeValue(forKey: ticket) }?.resume(returning: .failure(error))
    }

    // MARK: Dialling

    private func dial(_ place: Int, after delay: Duration) async {
        if delay > .zero { try? await Task.sleep(for: delay) }
        var trouble = SluiceError(.connectionLost, "the connection ended as soon as it was made", isRetryable: true)
        // A gateway that goes away may have let it in as the last one: another dial finds the one that takes over.
        for _ in 0..<Self.dialsInARow {
            do throws(SluiceError) {
                if isEstablished(try await open(place), at: place) { return }
            } catch {
                trouble = error
                guard error.code == .shuttingDown else { break }
            }
        }
        failed(trouble, at: place)
    }

    /// False if it has ended, or said GOAWAY, before it was here.
    private func isEstablished(_ link: Link, at place: Int) -> Bool {
        let waiting = state.withLock { state -> [Waiter]? in
            guard state.live[link.id] != nil, !state.retired.contains(link.id), !state.isClosed else { return nil }
            state.places[place] = .up(link)
            return state.takeWaiters(at: place)
        }
        guard let waiting else { return false }
        for waiter in waiting { waiter.resume(returning: .success(link)) }
        onEvent(.up)
        return true
    }

    /// The next dial of this place waits a while: full jitter, doubling up to a limit.
    private func failed(_ error: SluiceError, at place: Int) {
        let (waiting, isDown) = state.withLock { state in
            let failures = min(state.places[place].trouble.failures + 1, 10)
            let ceiling = min(Duration.milliseconds(25) * (1 << failures), Self.longestBackoff)
            let delay = TimeAmount.nanoseconds(Int64.random(in: 0...TimeAmount(ceiling).nanoseconds))
            state.places[place] = .down(Trouble(failures: failures, last: error, retryNotBefore: .now() + delay))
            return (state.takeWaiters(at: place), !state.isAnyUp)
        }
        for waiter in waiting { waiter.resume(returning: .failure(error)) }
        if isDown { onEvent(.down(error)) }
    }

    private struct Opening: Sendable {
        let link: Link
        let ready: EventLoopFuture<Void>
    }

    /// Connects and shakes hands.
    private func open(_ place: Int) async throws(SluiceError) -> Link {
        let bootstrap = ClientBootstrap(group: ClientLoops.all[loop(of: place)])
            .connectTimeout(TimeAmount(options.connectTimeout))
        do {
            let opening: Opening
            switch address {
            case .tcp(let host, let port):
                opening = try await bootstrap.noticingDeadPeers()
                    .connect(host: host, port: port) { self.prepare($0, place) }
            case .tls(let host, let port):
                let tls = try TLSDial(options.tls, host: host)
                opening = try await bootstrap.noticingDeadPeers()
                    .connect(host: host, port: port) { self.prepare($0, place, tls) }
            case .unix(let path):
                opening = try await bootstrap.connect(unixDomainSocketPath: path) { self.prepare($0, place) }
            }
            try await opening.ready.get()
            return opening.link
        } catch let error as SluiceError {
            throw error
        } catch {
            throw SluiceError(.notConnected, "no connection to the gateway: \(error)", isRetryable: true)
        }
    }

    /// The handler is kept from here on: looked up later it may be gone, and with it why the gateway refused.
    private func prepare(
        _ channel: any Channel, _ place: Int, _ tls: TLSDial? = nil
    ) -> EventLoopFuture<Opening> {
        channel.eventLoop.makeCompletedFuture {
            let id = number()
            let ready = channel.eventLoop.makePromise(of: Void.self)
            let handler = ConnectionHandler(
                hello: Hello(
                    token: options.token.map { ByteBuffer(string: $0.text) }, clientName: options.name,
                    features: options.lz4 ? .lz4 : []),
                welcomeTimeout: TimeAmount(options.connectTimeout), ready: ready
            ) { [weak self] change in self?.note(change, of: id, at: place) }
            let link = Link(id: id, channel: channel, handler: handler)
            let isWanted = state.withLock { state in
                if !state.isClosed { state.live[id] = link }
                return !state.isClosed
            }
            // Every handler that is in a pipeline leaves it, and says so; one that never was cannot.
            guard isWanted else {
                ready.fail(Self.closedError)
                throw Self.closedError
            }
            if let tls { try channel.pipeline.syncOperations.addHandler(try tls.handler()) }
            try channel.pipeline.syncOperations.addHandler(handler)
            return Opening(link: link, ready: ready.futureResult)
        }
    }

    /// For parts of answers that waited for their place.
    func resumeReading() {
        for link in state.withLock({ Array($0.live.values) }) { link.run { $0.setReading(true) } }
    }

    // MARK: Ending

    private func note(_ change: ConnectionHandler.Change, of id: UInt64, at place: Int) {
        let isDown = state.withLock { state -> Bool in
            switch change {
            case .retired: if state.live[id] != nil { state.retired.insert(id) }
            case .closed:
                state.live[id] = nil
                state.retired.remove(id)
            }
            // A place that still dials keeps its count of failures: only a connection that was made clears it.
            guard case .up(let link) = state.places[place], link.id == id else { return false }
            state.places[place] = .down(Trouble())
            return !state.isAnyUp
        }
        if isDown { onEvent(.down(nil)) }
    }

    /// The gateway takes no more requests on this connection: the next call makes another.
    func retire(_ link: Link) {
        let isDown = state.withLock { state -> Bool in
            if state.live[link.id] != nil { state.retired.insert(link.id) }
            let wasUp = state.isAnyUp
            for place in state.places.indices {
                guard case .up(let other) = state.places[place], other.id == link.id else { continue }
                state.places[place] = .down(Trouble())
            }
            return wasUp && !state.isAnyUp
        }
        link.run { $0.retire() }
        if isDown { onEvent(.down(nil)) }
    }

    /// Ends all connections, also those after GOAWAY, and tells the calls that wait for one.
    /// - Returns: a future for each connection, for when its calls have been told.
    @discardableResult
    func close() -> [EventLoopFuture<Void>] {
        let (links, waiting) = state.withLock { state in
            state.isClosed = true
            for place in state.places.indices { state.places[place] = .down(Trouble()) }
            return (Array(state.live.values), state.places.indices.flatMap { state.takeWaiters(at: $0) })
        }
        for waiter in waiting { waiter.resume(returning: .failure(Self.closedError)) }
        return links.map { link in
            link.channel.eventLoop.submit { link.handler.value.fail(Self.closedError) }
        }
    }
}

extension ClientBootstrap {
    /// A peer that went without a word (power cut, a firewall that forgets) is noticed in half a minute, also by a
    /// client that only waits.
    fileprivate func noticingDeadPeers() -> ClientBootstrap {
        let bootstrap = channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
        #if os(Linux)
        // TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT of netinet/tcp.h, in seconds; NIO has no names for them.
        return bootstrap.channelOption(.tcpOption(NIOBSDSocket.Option(rawValue: 4)), value: 15)
            .channelOption(.tcpOption(NIOBSDSocket.Option(rawValue: 5)), value: 5)
            .channelOption(.tcpOption(NIOBSDSocket.Option(rawValue: 6)), value: 3)
        #else
        return bootstrap
        #endif
    }
}
