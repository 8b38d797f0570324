import SluiceCore
import Testing

@Suite struct BreakerMachineTests {
    private var generator = SplitMix64(seed: 1)

    static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    private func breaker(_ change: (inout BreakerMachine.Configuration) -> Void = { _ in }) -> BreakerMachine {
        var configuration = BreakerMachine.Configuration()
        configuration.jitter = 0
        change(&configuration)
        return BreakerMachine(configuration)
    }

    /// One ordinary call from start to end.
    @discardableResult
    private mutating func call(
        _ machine: inout BreakerMachine, _ outcome: BreakerMachine.Outcome, at now: Instant
    ) -> BreakerMachine.Transition? {
        machine.attemptStarted(asProbe: false, now: now)
        return machine.attemptEnded(outcome, wasProbe: false, now: now, using: &generator)
    }

    @discardableResult
    private mutating func probe(
        _ machine: inout BreakerMachine, _ outcome: BreakerMachine.Outcome, at now: Instant
    ) -> BreakerMachine.Transition? {
        machine.attemptStarted(asProbe: true, now: now)
        return machine.attemptEnded(outcome, wasProbe: true, now: now, using: &generator)
    }

    private mutating func fail(_ machine: inout BreakerMachine, at now: Instant) {
        for _ in 0..<5 { call(&machine, .failure, at: now) }
    }

    @Test mutating func failuresInARowOpenIt() {
        var machine = breaker()
        for _ in 0..<4 { #expect(call(&machine, .failure, at: Self.at(0)) == nil) }
        #expect(machine.permission(now: Self.at(0)) == .allow)
        #expect(call(&machine, .failure, at: Self.at(0)) == .opened(.consecutiveFailures, for: .seconds(1)))
        #expect(machine.permission(now: Self.at(400)) == .refuse(retryAfter: .milliseconds(600)))
        #expect(machine.isOpen(now: Self.at(999)) && !machine.isOpen(now: Self.at(1_000)))
        #expect(machine.ejection == .failure)
    }

    @Test mutating func aSuccessBetweenBreaksTheRowAndANeutralEndDoesNot() {
        var machine = breaker()
        for _ in 0..<4 { call(&machine, .failure, at: Self.at(0)) }
        call(&machine, .success(took: .zero), at: Self.at(0))
        for _ in 0..<4 { #expect(call(&machine, .failure, at: Self.at(0)) == nil) }
        call(&machine, .neutral, at: Self.at(0))
        #expect(call(&machine, .failure, at: Self.at(0)) != nil)
    }

    @Test mutating func neutralEndsNeverCount() {
        var machine = breaker { $0.minimumVolume = 1 }
        for step in 0..<10_000 { #expect(call(&machine, .neutral, at: Self.at(Int64(step))) == nil) }
        #expect(machine.isClosed)
    }

    @Test mutating func theShareOfFailuresNeedsAVolume() {
        var machine = breaker()
        // Alternating: never two in a row.
        for step in 0..<18 {
            #expect(call(&machine, step % 2 == 0 ? .failure : .success(took: .zero), at: Self.at(0)) == nil)
        }
        #expect(call(&machine, .success(took: .zero), at: Self.at(0)) == nil)
        #expect(call(&machine, .failure, at: Self.at(0)) == .opened(.failureShare, for: .seconds(1)))
    }

    @Test mutating func theWindowForgets() {
        var machine = breaker { $0.minimumVolume = 4 }
        for _ in 0..<3 { call(&machine, .failure, at: Self.at(0)) }
        for _ in 0..<3 { #expect(call(&machine, .success(took: .zero), at: Self.at(10_000)) == nil) }
        for _ in 0..<2 { #expect(call(&machine, .failure, at: Self.at(10_000)) == nil) }
        #expect(call(&machine, .failure, at: Self.at(19_999)) == .opened(.failureShare, for: .seconds(1)))
    }

    @Test mutating func theWindowForgetsSecondBySecond() {
        var machine = breaker { $0.minimumVolume = 9 }
        for _ in 0..<4 { call(&machine, .failure, at: Self.at(0)) }
        for second: Int64 in 5...9 {
            #expect(call(&machine, .success(took: .zero), at: Self.at(second * 1_000)) == nil)
        }
        for _ in 0..<4 { #expect(call(&machine, .failure, at: Self.at(10_000)) == nil) }
        #expect(machine.isClosed, "4 of 9; with those of the first second it would be 8 of 13")
    }

    @Test mutating func onlyAProbeFreesASlotAndOnlyAHalfOpenOneCloses() {
        var machine = breaker {
            $0.halfOpenProbes = 2
            $0.successesToClose = 1
        }
        fail(&machine, at: Self.at(0))
        for _ in 0..<2 { machine.attemptStarted(asProbe: true, now: Self.at(1_000)) }
        call(&machine, .success(took: .zero), at: Self.at(1_001))
        #expect(machine.permission(now: Self.at(1_001)) != .probe, "both still run")
        var random = generator
        let failed = machine.attemptEnded(.failure, wasProbe: true, now: Self.at(1_002), using: &random)
        #expect(failed == .opened(.probeFailed, for: .seconds(2)))
        let late = machine.attemptEnded(.success(took: .zero), wasProbe: true, now: Self.at(1_003), using: &random)
        #expect(late == nil && machine.isOpen(now: Self.at(1_003)), "it opened since that probe began")
    }

    @Test mutating func slowCallsOpenItAndEjectForSlownessOnly() {
        var machine = breaker { $0.slowThreshold = .milliseconds(100) }
        for _ in 0..<4 { call(&machine, .success(took: .milliseconds(100)), at: Self.at(0)) }
        for _ in 0..<15 { #expect(call(&machine, .success(took: .milliseconds(101)), at: Self.at(0)) == nil) }
        #expect(
            call(&machine, .success(took: .seconds(1)), at: Self.at(0)) == .opened(.slowShare, for: .seconds(1)))
        #expect(machine.ejection == .slowness)
        #expect(
            probe(&machine, .success(took: .seconds(1)), at: Self.at(1_000)) == .opened(.slowShare, for: .seconds(2)))
        #expect(probe(&machine, .failure, at: Self.at(3_000)) == .opened(.probeFailed, for: .seconds(4)))
        #expect(machine.ejection == .failure, "a failure outweighs slowness")
    }

    @Test mutating func withoutAThresholdNothingIsSlow() {
        var machine = breaker()
        for _ in 0..<100 { call(&machine, .success(took: .seconds(1_000_000_000_000)), at: Self.at(0)) }
        #expect(machine.isClosed)
    }

    @Test mutating func probesThatSucceedCloseIt() {
        var machine = breaker()
        fail(&machine, at: Self.at(0))
        #expect(machine.permission(now: Self.at(1_000)) == .probe)
        #expect(machine.attemptStarted(asProbe: true, now: Self.at(1_000)) == .halfOpened)
        #expect(machine.permission(now: Self.at(1_000)) == .refuse(retryAfter: .milliseconds(50)))
        // What began before it opened says nothing.
        #expect(call(&machine, .failure, at: Self.at(1_001)) == nil)
        #expect(call(&machine, .success(took: .zero), at: Self.at(1_001)) == nil)
        var random = generator
        let ended = machine.attemptEnded(.success(took: .zero), wasProbe: true, now: Self.at(1_002), using: &random)
        #expect(ended == nil)
        #expect(machine.permission(now: Self.at(1_002)) == .probe)
        #expect(probe(&machine, .success(took: .zero), at: Self.at(1_003)) == .closed)
        #expect(machine.permission(now: Self.at(1_003)) == .allow && machine.ejection == .none)
        for _ in 0..<4 { #expect(call(&machine, .failure, at: Self.at(1_004)) == nil, "the old row is forgotten") }
    }

    @Test mutating func aNeutralProbeFreesItsSlotAndDecidesNothing() {
        var machine = breaker()
        fail(&machine, at: Self.at(0))
        for step in 0..<100 {
            #expect(machine.permission(now: Self.at(1_000 + Int64(step))) == .probe)
            #expect(probe(&machine, .neutral, at: Self.at(1_000 + Int64(step))) == nil)
        }
    }

    @Test mutating func theOpenTimeDoublesUpToTheCapAndStartsAnewAfterACalm() {
        var machine = breaker()
        fail(&machine, at: Self.at(0))
        var now: Int64 = 1_000
        for seconds: Int64 in [2, 4, 8, 16, 30, 30] {
            #expect(probe(&machine, .failure, at: Self.at(now)) == .opened(.probeFailed, for: .seconds(seconds)))
            now += seconds * 1_000
        }
        for _ in 0..<2 { probe(&machine, .success(took: .zero), at: Self.at(now)) }
        var restless = machine
        for _ in 0..<4 { call(&restless, .failure, at: Self.at(now + 29_999)) }
        #expect(
            call(&restless, .failure, at: Self.at(now + 29_999)) == .opened(.consecutiveFailures, for: .seconds(30)))
        for _ in 0..<4 { call(&machine, .failure, at: Self.at(now + 30_000)) }
        #expect(call(&machine, .failure, at: Self.at(now + 30_000)) == .opened(.consecutiveFailures, for: .seconds(1)))
    }

    @Test mutating func theOpenTimeIsSpreadAroundItsMiddle() {
        var times: Set<Duration> = []
        for _ in 0..<100 {
            var machine = breaker { $0.jitter = 0.2 }
            for _ in 0..<4 { call(&machine, .failure, at: Self.at(0)) }
            guard case .opened(_, let time) = call(&machine, .failure, at: Self.at(0)) else { continue }
            #expect(time >= .milliseconds(800) && time <= .milliseconds(1_200))
            times.insert(time)
        }
        #expect(times.count > 90 && times.contains { $0 < .seconds(1) } && times.contains { $0 > .seconds(1) })
    }

    @Test mutating func aProbeThatNeverEndsDoesNotWedgeIt() {
        var machine = breaker()
        fail(&machine, at: Self.at(0))
        machine.attemptStarted(asProbe: true, now: Self.at(1_000))
        #expect(machine.permission(now: Self.at(10_999)) == .refuse(retryAfter: .milliseconds(1)))
        #expect(machine.permission(now: Self.at(11_000)) == .probe)
        machine.attemptStarted(asProbe: true, now: Self.at(11_000))
        // The first one ends after all: the second one's slot stays taken.
        var random = generator
        _ = machine.attemptEnded(.neutral, wasProbe: true, now: Self.at(11_001), using: &random)
        #expect(machine.permission(now: Self.at(11_001)) != .probe)
        _ = machine.attemptEnded(.neutral, wasProbe: true, now: Self.at(11_002), using: &random)
        #expect(machine.permission(now: Self.at(11_002)) == .probe)
    }

    @Test mutating func theHandOutranks() {
        var machine = breaker()
        #expect(machine.forceClosed(now: Self.at(0)) == nil)
        #expect(machine.forceOpen(for: .seconds(5), now: Self.at(0)) == .opened(.byHand, for: .seconds(5)))
        #expect(machine.permission(now: Self.at(4_999)) == .refuse(retryAfter: .milliseconds(1)))
        #expect(machine.permission(now: Self.at(5_000)) == .probe)
        _ = machine.forceOpen(for: nil, now: Self.at(5_000))
        #expect(machine.permission(now: Self.at(1_000_000_000)) == .refuse(retryAfter: .seconds(30)))
        #expect(call(&machine, .success(took: .zero), at: Self.at(6_000)) == nil)
        #expect(machine.forceClosed(now: Self.at(7_000)) == .closed)
        #expect(machine.permission(now: Self.at(7_000)) == .allow)
    }
}
