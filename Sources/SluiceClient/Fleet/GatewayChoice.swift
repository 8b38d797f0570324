package import NIOCore

/// A gateway as a list of addresses or an SRV record names it.
package struct GatewayTarget: Hashable, Sendable {
    package var address: Address
    /// Those of a higher number are for when none of a lower one can be reached.
    package var priority: UInt16
    /// How much of the requests it is to have, compared with others of its priority; with 0 next to nothing.
    package var weight: UInt16

    package init(_ address: Address, priority: UInt16 = 0, weight: UInt16 = 1) {
        self.address = address
        self.priority = priority
        self.weight = weight
    }
}

/// Which of several gateways a request goes to, and which of those that cannot be reached is tried again when.
///
/// Of two that are drawn by weight the one with fewer requests in flight is taken, and of two that have as many the one
/// that is clearly faster. A gateway without a connection is set aside, for longer each time, until an answer comes
/// from it again. One that is there and refuses, or says nothing, rests: fast refusals must not draw requests to it.
///
/// Sources: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001; RFC 2782 (SRV).
package struct GatewayChoice: Sendable {
    package typealias ID = Int

    package enum Condition: Hashable, Sendable {
        /// Without a connection; to be dialled from then on.
        case aside(until: NIODeadline)
        case dialling
        case ready
    }

    /// What a request came to, as far as it says something of its gateway.
    package enum Outcome: Hashable, Sendable {
        /// - Parameter took: nil for what says nothing of its speed.
        case answered(took: TimeAmount?)
        /// It has too much to do, or does not reach its databases.
        case refused(retryAfter: TimeAmount?)
        /// It had the request, and its time passed.
        case silent
        /// Nothing can be said of the gateway: the caller went away, or the connection, which is told by itself.
        case ended
    }

    package struct Member: Sendable {
        package let id: ID
        package fileprivate(set) var target: GatewayTarget
        package fileprivate(set) var condition = Condition.aside(until: .uptimeNanoseconds(0))
        package fileprivate(set) var inFlight = 0
        /// Connections that failed or ended since it last answered.
        package fileprivate(set) var failures = 0
        /// When the last dial was begun.
        fileprivate var dialled = NIODeadline.uptimeNanoseconds(0)
        fileprivate var refusals = 0
        fileprivate var restsUntil = NIODeadline.uptimeNanoseconds(0)
        fileprivate var latency: (value: Int64, at: NIODeadline)?
        /// It is not named any more: it finishes what it has.
        package fileprivate(set) var isLeaving = false

        /// Its dial has taken so long that it may never end well.
        fileprivate func hangs(now: NIODeadline) -> Bool {
            condition == .dialling && now - dialled >= GatewayChoice.longestPause
        }

        fileprivate var isUsable: Bool { condition == .ready && !isLeaving }
        fileprivate var share: Int { target.weight == 0 ? 1 : Int(target.weight) * 100 }
    }

    package static let shortestBackoff: TimeAmount = .milliseconds(100)
    package static let longestBackoff: TimeAmount = .seconds(10)
    /// When no gateway is left nobody waits longer than this for the next dials.
    package static let longestPause: TimeAmount = .seconds(1)
    package static let longestRest: TimeAmount = .seconds(2)
    private static let shortestRest: TimeAmount = .milliseconds(50)
    /// What was measured longer ago does not count.
    private static let memory: TimeAmount = .seconds(10)
    /// Less is noise.
    private static let clearly: Int64 = 2_000_000
    /// One in so many goes to the slower one: else nobody would notice that it is as fast again.
    private static let trials = 8

    package private(set) var members: [Member] = []
    private var lastID = -1

    package init() {}

    /// Those that are named; others only finish what they have.
    package var count: Int { members.count { !$0.isLeaving } }
    package var isAnyReady: Bool { members.contains(where: \.isUsable) }
    package var isAnyDialling: Bool { members.contains { !$0.isLeaving && $0.condition == .dialling } }

    // MARK: Who there is

    /// These, and no others: what is known of those that stay is kept.
    /// - Returns: those that are new, and those that have left and have nothing in flight.
    package mutating func replace(with targets: [GatewayTarget]) -> (joined: [Member], gone: [ID]) {
        var named: [Address: GatewayTarget] = [:]
        var order: [Address] = []
        for target in targets where named.updateValue(target, forKey: target.address) == nil {
            order.append(target.address)
        }
        for place in members.indices {
            let target = named.removeValue(forKey: members[place].target.address)
            members[place].isLeaving = target == nil
            if let target { members[place].target = target }
        }
        let gone = members.filter { $0.isLeaving && $0.inFlight == 0 }.map(\.id)
        members.removeAll { $0.isLeaving && $0.inFlight == 0 }
        let joined = order.compactMap { named[$0] }.map { target in
            lastID += 1
            return Member(id: lastID, target: target)
        }
        members += joined
        return (joined, gone)
    }

    // MARK: Choosing

    /// - Parameter tried: not these.
    package func choose(
        avoiding tried: Set<ID> = [], now: NIODeadline, using generator: inout some RandomNumberGenerator
    ) -> ID? {
        var usable = members.filter { $0.isUsable && !tried.contains($0.id) }
        let rested = usable.filter { $0.restsUntil <= now }
        if !rested.isEmpty { usable = rested }
        let priority = usable.map(\.target.priority).min()
        usable.removeAll { $0.target.priority != priority }
        guard let first = Self.draw(&usable, using: &generator) else { return nil }
        guard let second = Self.draw(&usable, using: &generator) else { return first.id }
        // Each compared with what it is to have.
        let load = (first.inFlight * second.share, second.inFlight * first.share)
        if load.0 != load.1 { return load.0 < load.1 ? first.id : second.id }
        let isFaster = Self.isFaster(second, than: first, now: now)
        return isFaster && Int.random(in: 0..<Self.trials, using: &generator) > 0 ? second.id : first.id
    }

    /// Takes one out, by weight.
    private static func draw(_ members: inout [Member], using generator: inout some RandomNumberGenerator) -> Member? {
        guard !members.isEmpty else { return nil }
        var left = Int.random(in: 0..<members.reduce(0) { $0 + $1.share }, using: &generator)
        let place = members.firstIndex { member in
            left -= member.share
            return left < 0
        }
        return members.remove(at: place ?? 0)
    }

    private static func isFaster(_ one: Member, than other: Member, now: NIODeadline) -> Bool {
        guard let took = latency(of: one, now: now), let otherTook = latency(of: other, now: now) else {
            return false
        }
        return took < otherTook / 2 && otherTook - took > clearly
    }

    private static func latency(of member: Member, now: NIODeadline) -> Int64? {
        guard let latency = member.latency, now - latency.at < memory else { return nil }
        return latency.value
    }

    package mutating func started(_ id: ID) { update(id) { $0.inFlight += 1 } }

    /// - Returns: true if the gateway had left, and this was the last that it had.
    package mutating func ended(
        _ id: ID, _ outcome: Outcome, now: NIODeadline, using generator: inout some RandomNumberGenerator
    ) -> Bool {
        update(id) { member in
            member.inFlight = max(0, member.inFlight - 1)
            switch outcome {
            case .answered(let took):
                member.failures = 0
                member.refusals = 0
                if let took { member.latency = (Self.mean(member.latency?.value, took.nanoseconds), now) }
            case .refused(let retryAfter):
                member.refusals = min(member.refusals + 1, 30)
                let rest = Self.delay(member.refusals, Self.shortestRest, Self.longestRest, using: &generator)
                member.restsUntil = now + max(rest, min(retryAfter ?? rest, Self.longestRest))
            case .silent:
                member.refusals = min(member.refusals + 1, 30)
                member.restsUntil =
                    now + Self.delay(member.refusals, Self.shortestRest, Self.longestRest, using: &generator)
            case .ended: break
            }
        }
        guard let member = member(id), member.isLeaving, member.inFlight == 0 else { return false }
        members.removeAll { $0.id == id }
        return true
    }

    private static func mean(_ old: Int64?, _ sample: Int64) -> Int64 {
        guard let old else { return max(1, sample) }
        return max(1, old + (sample - old) / 8)
    }

    // MARK: Connections

    package mutating func connected(_ id: ID) { update(id) { $0.condition = .ready } }

    /// It has no connection any more, whether that was lost, said GOAWAY, or could not be made.
    package mutating func disconnected(
        _ id: ID, now: NIODeadline, using generator: inout some RandomNumberGenerator
    ) {
        update(id) { member in
            if case .aside = member.condition { return }
            member.failures = min(member.failures + 1, 30)
            member.condition = .aside(
                until: now
                    + Self.delay(member.failures, Self.shortestBackoff, Self.longestBackoff, using: &generator))
        }
    }

    /// Those to be dialled now: of the lowest priority, and of a higher one while none below is there or may soon be.
    package mutating func dialsDue(now: NIODeadline) -> [ID] {
        var due: [ID] = []
        for member in candidates(now: now) {
            if case .aside(let until) = member.condition, until <= now { due.append(member.id) }
        }
        for id in due { dial(id, now: now) }
        return due
    }

    /// Those that may be dialled, by priority: up to the first one where somebody is there or may soon be.
    private func candidates(now: NIODeadline) -> [Member] {
        var candidates: [Member] = []
        for priority in Set(members.map(\.target.priority)).sorted() {
            let tier = members.filter { $0.target.priority == priority && !$0.isLeaving }
            candidates += tier
            // One that has failed before may fail again: its next dial is not waited for.
            if tier.contains(where: { $0.condition == .ready || $0.failures == 0 && !$0.hangs(now: now) }) { break }
        }
        return candidates
    }

    /// While none is there: when `dialsDue` may name another one, without anything else that happens; at most a pause.
    /// Nil if all are dialled, and have been for long.
    package func pauseBeforeNextDial(now: NIODeadline) -> TimeAmount? {
        let times = candidates(now: now).compactMap { member -> NIODeadline? in
            switch member.condition {
            case .aside(let until): until
            case .dialling: member.hangs(now: now) ? nil : member.dialled + Self.longestPause
            case .ready: nil
            }
        }
        return times.min().map { max(Self.shortestRest, min($0 - now, Self.longestPause)) }
    }

    private mutating func dial(_ id: ID, now: NIODeadline) {
        update(id) { member in
            member.condition = .dialling
            member.dialled = now
        }
    }

    /// Dials of all of them, because none is there: together, after the pause of the one that has failed least.
    package mutating func dialsOfAll(now: NIODeadline) -> (ids: [ID], after: TimeAmount) {
        var ids: [ID] = []
        var pause = Self.longestPause
        for member in members where !member.isLeaving {
            guard case .aside(let until) = member.condition else { continue }
            ids.append(member.id)
            pause = min(pause, until > now ? until - now : .zero)
        }
        for id in ids { dial(id, now: now + pause) }
        return (ids, pause)
    }

    // MARK: Members

    package func member(_ id: ID) -> Member? { members.first { $0.id == id } }

    private mutating func update(_ id: ID, _ change: (inout Member) -> Void) {
        guard let place = members.firstIndex(where: { $0.id == id }) else { return }
        change(&members[place])
    }

    /// Doubles with each failure up to a limit; the upper half of that is drawn from.
    private static func delay(
        _ failures: Int, _ shortest: TimeAmount, _ longest: TimeAmount,
        using generator: inout some RandomNumberGenerator
    ) -> TimeAmount {
        let ceiling = min(shortest.nanoseconds << Int64(min(max(0, failures - 1), 20)), longest.nanoseconds)
        return .nanoseconds(Int64.random(in: ceiling / 2...ceiling, using: &generator))
    }
}
