internal import NIOCore
internal import NIOPosix
internal import SluiceDNS
internal import Synchronization

/// The gateways of a client, each with its connections: chooses one for each request, dials those that are not there,
/// and asks a name server anew who there is.
package final class GatewayFleet: Sendable {
    /// A place of a request at one gateway. To be ended once.
    package struct Lease: Sendable {
        package let gateway: GatewayChoice.ID
        let pool: LinkPool
        package let link: Link
        fileprivate let began: NIODeadline
    }

    private typealias Waiter = CheckedContinuation<SluiceError?, Never>

    private struct State {
        var choice = GatewayChoice()
        var budgets: RepetitionBudgets
        var pools: [GatewayChoice.ID: LinkPool] = [:]
        /// Why the last dial of each has failed.
        var troubles: [GatewayChoice.ID: SluiceError] = [:]
        /// Calls that wait for any gateway.
        var waiters: [UInt64: Waiter] = [:]
        /// Whose dials have failed while they wait: once all have, there is nobody to wait for, though some are dialled
        /// again.
        var failed: Set<GatewayChoice.ID> = []
        var generator = SystemRandomNumberGenerator()
        var refresh = RefreshClock()
        /// While calls wait, others are dialled at their time, whatever becomes of the dials that there are.
        var isNextDialPlanned = false
        var isClosed = false

        /// Somebody waits, and no gateway is there.
        var isAnybodyInWant: Bool { !isClosed && !waiters.isEmpty && !choice.isAnyReady }

        mutating func takeWaiters() -> [Waiter] {
            let waiting = Array(waiters.values)
            waiters = [:]
            failed = []
            return waiting
        }
    }

    /// Calls that may wait for a connection; they hold their requests meanwhile.
    private static let maximumWaiters = 100_000

    private let source: GatewaySource
    private let options: SluiceClient.Options
    private let state: Mutex<State>
    private let tickets = Atomic<UInt64>(0)
    /// Of a single address, which no choice has to be made of.
    private let only: LinkPool?

    package init(_ source: GatewaySource, options: SluiceClient.Options) {
        self.source = source
        self.options = options
        var state = State(budgets: RepetitionBudgets(now: .now()))
        state.refresh.interval = TimeAmount(options.resolveInterval)
        self.state = Mutex(state)
        guard case .fixed(let addresses) = source, addresses.count == 1 else {
            only = nil
            if case .fixed(let addresses) = source { take(addresses.map { GatewayTarget($0) }) }
            return
        }
        only = LinkPool(address: addresses[0], options: options)
    }

    package var count: Int { only == nil ? state.withLock { $0.choice.count } : 1 }

    /// Of the event loops of clients, those of the connections to a single gateway; of several, all.
    var loops: [Int] {
        guard let only else { return Array(ClientLoops.all.indices) }
        return (0..<options.connections).map(only.loop(of:))
    }

    /// What is known of each gateway, for tests.
    package var members: [GatewayChoice.Member] { state.withLock { $0.choice.members } }

    /// Makes the first connection, and begins with the others.
    func open() async throws(SluiceError) {
        if case .service = source { try await resolve() }
        end(try await lease(until: nil), .ended)
    }

    // MARK: Taking a place

    /// - Parameters:
    ///   - limit: how long to wait for a connection; nil for as long as the dials take.
    ///   - tried: gateways that are asked only if there is no other.
    package func lease(
        until limit: TimeLimit?, avoiding tried: Set<GatewayChoice.ID> = []
    ) async throws(SluiceError) -> Lease {
        if let only { return Lease(gateway: 0, pool: only, link: try await only.link(until: limit), began: .now()) }
        refreshIfDue()
        while true {
            let (chosen, due) = state.withLock { state -> ((GatewayChoice.ID, LinkPool)?, [LinkPool]) in
                let now = NIODeadline.now()
                let due = state.choice.dialsDue(now: now).compactMap { state.pools[$0] }
                let id =
                    state.choice.choose(avoiding: tried, now: now, using: &state.generator)
                    ?? state.choice.choose(now: now, using: &state.generator)
                guard let id, let pool = state.pools[id] else { return (nil, due) }
                state.choice.started(id)
                return ((id, pool), due)
            }
            for pool in due { pool.probe(after: .zero) }
            if let (id, pool) = chosen {
                if let link = pool.readyLink() {
                    return Lease(gateway: id, pool: pool, link: link, began: .now())
                }
                // It went a moment ago, and nobody has said so yet.
                state.withLock { $0.choice.disconnected(id, now: .now(), using: &$0.generator) }
                end(id, .ended)
            } else if let error = await ready(until: limit) {
                throw error
            }
        }
    }

    /// A place at a certain gateway, for what only that one can answer.
    func lease(at gateway: GatewayChoice.ID, until limit: TimeLimit) async throws(SluiceError) -> Lease {
        if let only { return Lease(gateway: 0, pool: only, link: try await only.link(until: limit), began: .now()) }
        guard let pool = begin(gateway) else {
            throw SluiceError(.unknownCursor, "the gateway that holds it is not one of this client's any more")
        }
        do throws(SluiceError) {
            return Lease(gateway: gateway, pool: pool, link: try await pool.link(until: limit), began: .now())
        } catch {
            end(gateway, .ended)
            throw error
        }
    }

    private func begin(_ gateway: GatewayChoice.ID) -> LinkPool? {
        state.withLock { state in
            guard let pool = state.pools[gateway] else { return nil }
            state.choice.started(gateway)
            return pool
        }
    }

    /// A gateway for a connection apart: one that is there, or else any. To be ended once by its id.
    func choose(avoiding tried: Set<GatewayChoice.ID>) -> (gateway: GatewayChoice.ID, address: Address)? {
        if let only { return (0, only.address) }
        refreshIfDue()
        return state.withLock { state in
            let others = state.choice.members.filter { !$0.isLeaving && !tried.contains($0.id) }
            let id =
                state.choice.choose(avoiding: tried, now: .now(), using: &state.generator)
                ?? others.randomElement(using: &state.generator)?.id
            guard let id, let member = state.choice.member(id) else { return nil }
            state.choice.started(id)
            return (id, member.target.address)
        }
    }

    package func end(_ lease: Lease, _ outcome: GatewayChoice.Outcome) { end(lease.gateway, outcome) }

    /// - Parameter isMeasured: how long it took says something of the gateway.
    func end(_ lease: Lease, _ answer: Request.Answer, isMeasured: Bool) {
        end(lease.gateway, GatewayChoice.Outcome(answer, took: isMeasured ? .now() - lease.began : nil))
    }

    func end(_ gateway: GatewayChoice.ID, _ outcome: GatewayChoice.Outcome) {
        guard only == nil else { return }
        let gone = state.withLock { state -> LinkPool? in
            guard state.choice.ended(gateway, outcome, now: .now(), using: &state.generator) else { return nil }
            state.troubles[gateway] = nil
            return state.pools.removeValue(forKey: gateway)
        }
        gone?.close()
    }

    // MARK: Second attempts

    func firstAttemptStarted() { state.withLock { $0.budgets.firstAttemptStarted() } }

    /// - Parameter tried: where it has been.
    func next(
        _ failover: inout Failover, after failure: Failover.Failure, tried: Set<GatewayChoice.ID>,
        until limit: TimeLimit
    ) -> Failover.Next {
        state.withLock { state in
            let now = NIODeadline.now()
            if failure == .refused {
                let other = state.choice.choose(avoiding: tried, now: now, using: &state.generator)
                guard only == nil, other != nil else { return .none }
            }
            return failover.next(after: failure, isInTime: limit.deadline > now, budgets: &state.budgets, now: now)
        }
    }

    // MARK: Waiting

    private enum Step {
        case resume(SluiceError?)
        case wait(dials: [LinkPool], after: Duration)
    }

    /// Until there is a gateway.
    /// - Returns: why there is none.
    private func ready(until limit: TimeLimit?) async -> SluiceError? {
        let ticket = tickets.wrappingAdd(1, ordering: .relaxed).newValue
        return await awaitEvent(until: limit) { (waiter: Waiter) in
            enlist(waiter, ticket)
        } timeIsUp: {
            self.timeIsUp(ticket, $0)
        } cancelled: {
            self.dismiss(ticket, .callCancelled)
        }
    }

    private func enlist(_ waiter: Waiter, _ ticket: UInt64) {
        let step = state.withLock { state -> Step in
            if state.isClosed { return .resume(LinkPool.closedError) }
            if state.choice.isAnyReady { return .resume(nil) }
            guard state.choice.count > 0 else { return .resume(Self.unreachable(&state)) }
            guard state.waiters.count < Self.maximumWaiters else {
                return .resume(SluiceError(.busy, "too many calls wait for a connection", isRetryable: true))
            }
            if state.waiters.isEmpty { state.failed = [] }
            state.waiters[ticket] = waiter
            guard !state.choice.isAnyDialling else { return .wait(dials: [], after: .zero) }
            let (ids, pause) = state.choice.dialsOfAll(now: .now())
            return .wait(dials: ids.compactMap { state.pools[$0] }, after: Duration(pause))
        }
        switch step {
        case .resume(let error): waiter.resume(returning: error)
        case .wait(let dials, let pause): for pool in dials { pool.probe(after: pause) }
        }
        planNextDial()
    }

    /// A dial that hangs is not waited for where another gateway is due.
    private func planNextDial() {
        let pause = state.withLock { state -> TimeAmount? in
            guard !state.isNextDialPlanned, state.isAnybodyInWant else { return nil }
            let pause = state.choice.pauseBeforeNextDial(now: .now())
            state.isNextDialPlanned = pause != nil
            return pause
        }
        guard let pause else { return }
        MultiThreadedEventLoopGroup.singleton.next().scheduleTask(in: pause) { [weak self] in self?.dialNext() }
    }

    private func dialNext() {
        let dials = state.withLock { state -> [LinkPool] in
            state.isNextDialPlanned = false
            return state.isAnybodyInWant ? state.choice.dialsDue(now: .now()).compactMap { state.pools[$0] } : []
        }
        for pool in dials { pool.probe(after: .zero) }
        planNextDial()
    }

    /// Why the dials have failed says more than that the next are not through.
    private func timeIsUp(_ ticket: UInt64, _ limit: TimeLimit) {
        let error = state.withLock { $0.troubles.isEmpty ? nil : Self.unreachable(&$0) }
        dismiss(ticket, error ?? limit.passedUnsent("no connection to any gateway was made in time"))
    }

    private func dismiss(_ ticket: UInt64, _ error: SluiceError) {
        state.withLock { $0.waiters.removeValue(forKey: ticket) }?.resume(returning: error)
    }

    private static func unreachable(_ state: inout State) -> SluiceError {
        SluiceError(
            unreachable: state.choice.members.filter { !$0.isLeaving }.map { member in
                (member.target.address, state.troubles[member.id])
            })
    }

    // MARK: What happens to connections

    private func note(_ event: LinkPool.Event, of gateway: GatewayChoice.ID) {
        let (waiters, dials, error) = state.withLock { state -> ([Waiter], [LinkPool], SluiceError?) in
            switch event {
            case .up:
                state.troubles[gateway] = nil
                state.choice.connected(gateway)
                return (state.takeWaiters(), [], nil)
            case .down(let error):
                let now = NIODeadline.now()
                if let error {
                    state.troubles[gateway] = error
                    state.failed.insert(gateway)
                }
                state.choice.disconnected(gateway, now: now, using: &state.generator)
                // The place in the list may be another's by now.
                state.refresh.connectionFailed(now: now)
                let dials = state.choice.dialsDue(now: now).compactMap { state.pools[$0] }
                let isHopeless =
                    !state.choice.isAnyDialling
                    || state.choice.members.allSatisfy { $0.isLeaving || state.failed.contains($0.id) }
                guard isHopeless, state.isAnybodyInWant else { return ([], dials, nil) }
                return (state.takeWaiters(), dials, Self.unreachable(&state))
            }
        }
        for waiter in waiters { waiter.resume(returning: error) }
        for pool in dials { pool.probe(after: .zero) }
        planNextDial()
    }

    // MARK: Who there is

    /// These gateways, and no others, from now on.
    private func take(_ targets: [GatewayTarget]) {
        let (gone, dials) = state.withLock { state -> ([LinkPool], [LinkPool]) in
            guard !state.isClosed else { return ([], []) }
            let (joined, gone) = state.choice.replace(with: targets)
            for member in joined {
                let id = member.id
                state.pools[id] = LinkPool(address: member.target.address, options: options) { [weak self] event in
                    self?.note(event, of: id)
                }
            }
            for id in gone { state.troubles[id] = nil }
            let closing = gone.compactMap { state.pools.removeValue(forKey: $0) }
            return (closing, state.choice.dialsDue(now: .now()).compactMap { state.pools[$0] })
        }
        for pool in gone { pool.close() }
        for pool in dials { pool.probe(after: .zero) }
    }

    private func refreshIfDue() {
        guard case .service = source else { return }
        guard state.withLock({ !$0.isClosed && $0.refresh.begin(now: .now()) }) else { return }
        Task { [weak self] in try? await self?.resolve() }
    }

    private func resolve() async throws(SluiceError) {
        guard case .service(let name, let isTLS) = source else { return }
        do throws(SluiceError) {
            let time = TimeAmount(options.connectTimeout)
            let answer = try await Self.records(of: name, options.nameServers, within: time)
            let targets = try GatewayTarget.targets(
                of: answer.records, service: name, isTLS: isTLS, serverName: options.tls.serverName)
            take(targets)
            state.withLock { $0.refresh.succeeded(timeToLive: answer.timeToLive, now: .now()) }
        } catch {
            // Those known so far stay.
            state.withLock { $0.refresh.failed(now: .now()) }
            throw error
        }
    }

    private static func records(
        of name: ServiceName, _ servers: NameServers?, within time: TimeAmount
    ) async throws(SluiceError) -> DNSMessage.Answer {
        do throws(DNSError) {
            return try await ServiceLookup(servers).answer(for: name, within: time)
        } catch {
            throw SluiceError(.notConnected, error.description, isRetryable: true)
        }
    }

    // MARK: Ending

    /// As `LinkPool.close()`.
    @discardableResult
    func close() -> [EventLoopFuture<Void>] {
        if let only { return only.close() }
        let (pools, waiters) = state.withLock { state -> ([LinkPool], [Waiter]) in
            state.isClosed = true
            return (Array(state.pools.values), state.takeWaiters())
        }
        for waiter in waiters { waiter.resume(returning: LinkPool.closedError) }
        return pools.flatMap { $0.close() }
    }
}
