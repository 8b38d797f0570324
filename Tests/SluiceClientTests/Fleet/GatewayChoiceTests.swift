import NIOCore
import SluiceClient
import Testing

@Suite struct GatewayChoiceTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private static func targets(_ count: Int) -> [GatewayTarget] {
        (0..<count).map { GatewayTarget(.tcp(host: "g\($0)", port: 7_411)) }
    }

    /// All of them ready.
    private static func ready(_ targets: [GatewayTarget]) -> GatewayChoice {
        var choice = GatewayChoice()
        for member in choice.replace(with: targets).joined { choice.connected(member.id) }
        return choice
    }

    private func shares(_ choice: GatewayChoice, of count: Int, at now: NIODeadline = start) -> [Double] {
        var generator = SplitMix64(seed: 7)
        var shares = Array(repeating: 0.0, count: count)
        for _ in 0..<10_000 {
            if let id = choice.choose(now: now, using: &generator) { shares[id] += 1 / 10_000 }
        }
        return shares
    }

    @Test func idleGatewaysShareEvenly() {
        for share in shares(Self.ready(Self.targets(4)), of: 4) { #expect(abs(share - 0.25) < 0.02) }
    }

    @Test func theOneWithFewerInFlightIsTaken() {
        var choice = Self.ready(Self.targets(2))
        choice.started(0)
        #expect(shares(choice, of: 2)[0] == 0)
    }

    @Test func amongEquallyLoadedOnesTheClearlyFasterIsTakenForAWhile() {
        var choice = Self.ready(Self.targets(2))
        var generator = SplitMix64(seed: 1)
        for (id, took) in [(0, TimeAmount.milliseconds(40)), (1, .milliseconds(10))] {
            choice.started(id)
            #expect(!choice.ended(id, .answered(took: took), now: Self.start, using: &generator))
        }
        // The slower one is tried now and then, so that it is noticed when it is fast again.
        #expect(abs(shares(choice, of: 2)[0] - 1.0 / 16) < 0.01)
        // What nobody has measured for long is not believed any more.
        #expect(abs(shares(choice, of: 2, at: Self.start + .seconds(11))[0] - 0.5) < 0.02)
    }

    @Test func aLittleFasterIsNotFaster() {
        var choice = Self.ready(Self.targets(2))
        var generator = SplitMix64(seed: 1)
        for (id, took) in [(0, TimeAmount.microseconds(900)), (1, .microseconds(100))] {
            choice.started(id)
            _ = choice.ended(id, .answered(took: took), now: Self.start, using: &generator)
        }
        #expect(abs(shares(choice, of: 2)[0] - 0.5) < 0.02)
    }

    @Test func weightsAreHonouredIdleAndLoaded() {
        var targets = Self.targets(2)
        targets[0].weight = 3
        var choice = Self.ready(targets)
        #expect(abs(shares(choice, of: 2)[0] - 0.75) < 0.02)
        var generator = SplitMix64(seed: 3)
        for _ in 0..<400 {
            if let id = choice.choose(now: Self.start, using: &generator) { choice.started(id) }
        }
        #expect(choice.members.map(\.inFlight) == [300, 100])
    }

    @Test func aWeightOfZeroIsNextToNothing() {
        var targets = Self.targets(2)
        targets[0].weight = 0
        #expect(shares(Self.ready(targets), of: 2)[0] < 0.03)
        targets[1].weight = 0
        #expect(abs(shares(Self.ready(targets), of: 2)[0] - 0.5) < 0.02)
    }

    @Test func aHigherPriorityNumberIsForWhenThereIsNoLower() {
        var targets = Self.targets(2)
        targets[1].priority = 1
        var choice = GatewayChoice()
        var generator = SplitMix64(seed: 3)
        _ = choice.replace(with: targets)
        #expect(choice.dialsDue(now: Self.start) == [0])
        #expect(choice.dialsDue(now: Self.start) == [], "it may come up yet")
        choice.disconnected(0, now: Self.start, using: &generator)
        #expect(choice.dialsDue(now: Self.start) == [1])
        choice.connected(1)
        #expect(choice.choose(now: Self.start, using: &generator) == 1)
        #expect(choice.dialsDue(now: Self.start + .seconds(1)) == [0])
        choice.connected(0)
        for _ in 0..<20 { #expect(choice.choose(now: Self.start, using: &generator) == 0) }
    }

    @Test func aGatewayThatFailsIsSetAsideForLongerEachTime() {
        var choice = Self.ready(Self.targets(1))
        var generator = SplitMix64(seed: 5)
        var now = Self.start
        var ceiling = GatewayChoice.shortestBackoff
        for _ in 0..<12 {
            choice.disconnected(0, now: now, using: &generator)
            guard case .aside(let until) = choice.members[0].condition else {
                Issue.record("it is not set aside")
                return
            }
            #expect(until - now <= ceiling && (until - now).nanoseconds >= ceiling.nanoseconds / 2)
            #expect(choice.dialsDue(now: until - .nanoseconds(1)) == [])
            #expect(choice.dialsDue(now: until) == [0])
            now = until
            ceiling = min(ceiling + ceiling, GatewayChoice.longestBackoff)
            // That a connection could be made does not say that it works.
            choice.connected(0)
        }
        choice.started(0)
        _ = choice.ended(0, .answered(took: nil), now: now, using: &generator)
        choice.disconnected(0, now: now, using: &generator)
        #expect(choice.dialsDue(now: now + GatewayChoice.shortestBackoff) == [0], "an answer clears it")
    }

    @Test func fastRefusalsDoNotDrawRequests() {
        var choice = Self.ready(Self.targets(2))
        var generator = SplitMix64(seed: 5)
        choice.started(0)
        _ = choice.ended(0, .refused(retryAfter: .milliseconds(500)), now: Self.start, using: &generator)
        choice.started(1)
        #expect(shares(choice, of: 2, at: Self.start + .milliseconds(499))[0] == 0)
        #expect(shares(choice, of: 2, at: Self.start + .milliseconds(500))[0] > 0.9, "the other has one in flight")
        // One that rests is better than none.
        choice.disconnected(1, now: Self.start, using: &generator)
        #expect(choice.choose(now: Self.start, using: &generator) == 0)
    }

    @Test func theTriedAreAvoided() {
        let choice = Self.ready(Self.targets(3))
        var generator = SplitMix64(seed: 5)
        for _ in 0..<50 { #expect(choice.choose(avoiding: [0, 2], now: Self.start, using: &generator) == 1) }
        #expect(choice.choose(avoiding: [0, 1, 2], now: Self.start, using: &generator) == nil)
    }

    @Test func oneThatLeavesFinishesWhatItHas() {
        var choice = Self.ready(Self.targets(3))
        var generator = SplitMix64(seed: 5)
        choice.started(0)
        let change = choice.replace(with: Array(Self.targets(4).dropFirst(2)))
        #expect(change.joined.map(\.id) == [3] && change.gone == [1])
        #expect(choice.count == 2)
        for _ in 0..<20 { #expect(choice.choose(now: Self.start, using: &generator) == 2) }
        #expect(choice.ended(0, .answered(took: nil), now: Self.start, using: &generator))
        #expect(choice.members.map(\.id) == [2, 3])
    }

    @Test func aDialThatHangsDoesNotHoldUpTheOthers() {
        var targets = Self.targets(3)
        targets[2].priority = 1
        var choice = GatewayChoice()
        var generator = SplitMix64(seed: 5)
        _ = choice.replace(with: targets)
        #expect(choice.dialsDue(now: Self.start) == [0, 1])
        choice.disconnected(1, now: Self.start, using: &generator)
        guard case .aside(let until) = choice.members[1].condition else {
            Issue.record("it is not set aside")
            return
        }
        #expect(choice.pauseBeforeNextDial(now: Self.start) == until - Self.start)
        #expect(choice.dialsDue(now: until - .nanoseconds(1)) == [])
        #expect(choice.dialsDue(now: until) == [1])
        // One of a higher number has its turn once the first has had its pause.
        let late = Self.start + GatewayChoice.longestPause
        #expect(choice.pauseBeforeNextDial(now: until) == late - until)
        #expect(choice.dialsDue(now: late - .nanoseconds(1)) == [])
        choice.disconnected(1, now: until, using: &generator)
        #expect(choice.dialsDue(now: late) == [1, 2])
        #expect(choice.members[0].condition == .dialling)
        #expect(choice.pauseBeforeNextDial(now: late + GatewayChoice.longestPause) == nil)
        choice.connected(2)
        #expect(choice.choose(now: late, using: &generator) == 2)
    }

    @Test func withNoneLeftAllAreDialledTogether() {
        var choice = Self.ready(Self.targets(3))
        var generator = SplitMix64(seed: 5)
        for _ in 0..<9 {
            choice.disconnected(0, now: Self.start, using: &generator)
            choice.connected(0)
        }
        for id in 0..<3 { choice.disconnected(id, now: Self.start, using: &generator) }
        let (ids, pause) = choice.dialsOfAll(now: Self.start)
        #expect(ids == [0, 1, 2] && pause <= GatewayChoice.shortestBackoff)
        #expect(choice.isAnyDialling && choice.dialsOfAll(now: Self.start).ids == [])
    }

    /// Whatever happens: who is chosen is ready, named, and not avoided; nobody is dialled before its time; nothing in
    /// flight is lost count of; and once everybody is back, everybody is used.
    @Test(arguments: 0..<40)
    func propertiesOverRandomEvents(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var choice = GatewayChoice()
        var now = Self.start
        var inFlight: [Int: Int] = [:]
        func named() -> [GatewayTarget] {
            Self.targets(6).filter { _ in Bool.random(using: &generator) }.map { target in
                var target = target
                target.weight = UInt16.random(in: 0...3, using: &generator)
                target.priority = UInt16.random(in: 0...1, using: &generator)
                return target
            }
        }
        _ = choice.replace(with: Self.targets(6))
        for _ in 0..<2_000 {
            now = now + .milliseconds(Int64.random(in: 0...200, using: &generator))
            let ids = choice.members.map(\.id)
            let id = ids.randomElement(using: &generator) ?? 0
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: if choice.member(id)?.condition == .dialling { choice.connected(id) }
            case 1: choice.disconnected(id, now: now, using: &generator)
            case 2:
                let before = choice
                for due in choice.dialsDue(now: now) {
                    guard case .aside(let until)? = before.member(due)?.condition else {
                        Issue.record("\(due) was not aside")
                        continue
                    }
                    #expect(until <= now)
                }
            case 3 where Int.random(in: 0..<20, using: &generator) == 0:
                for gone in choice.replace(with: named()).gone { #expect(inFlight[gone, default: 0] == 0) }
            case 4:
                let flying = inFlight.filter { $0.value > 0 }.keys.sorted().randomElement(using: &generator)
                guard let flying else { break }
                let outcomes: [GatewayChoice.Outcome] = [
                    .answered(took: .milliseconds(3)), .refused(retryAfter: nil), .silent, .ended,
                ]
                inFlight[flying, default: 0] -= 1
                let isLeaving = choice.member(flying)?.isLeaving == true
                let isGone = choice.ended(
                    flying, outcomes.randomElement(using: &generator) ?? .ended, now: now, using: &generator)
                #expect(isGone == (isLeaving && inFlight[flying] == 0))
            default:
                let tried: Set<Int> = Bool.random(using: &generator) ? [id] : []
                let chosen = choice.choose(avoiding: tried, now: now, using: &generator)
                let possible = choice.members.filter {
                    $0.condition == .ready && !$0.isLeaving && !tried.contains($0.id)
                }
                #expect((chosen == nil) == possible.isEmpty)
                guard let chosen else { break }
                #expect(possible.contains { $0.id == chosen })
                choice.started(chosen)
                inFlight[chosen, default: 0] += 1
            }
            for member in choice.members { #expect(member.inFlight == inFlight[member.id, default: 0]) }
        }
        _ = choice.replace(with: Self.targets(6))
        now = now + .seconds(30)
        for id in choice.dialsOfAll(now: now).ids + choice.members.map(\.id) { choice.connected(id) }
        var used: Set<Int> = []
        for _ in 0..<3_000 {
            guard let id = choice.choose(now: now, using: &generator) else { break }
            choice.started(id)
            used.insert(id)
        }
        #expect(used.count == 6)
    }
}
