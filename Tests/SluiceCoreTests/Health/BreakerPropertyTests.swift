import SluiceCore
import Testing

@Suite struct BreakerPropertyTests {
    /// What a driver has under way.
    private struct Attempt {
        var isProbe: Bool
        var started: Instant
    }

    /// Any sequence of attempts, some of which never end, some late: an open breaker gets nothing, a half-open one at
    /// most its number of probes, a closed one everything, and it is never stuck.
    @Test(arguments: 0..<200)
    func permitsOnlyWhatItsStateAllows(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var configuration = BreakerMachine.Configuration()
        configuration.halfOpenProbes = Int.random(in: 1...4, using: &generator)
        configuration.slowThreshold = .milliseconds(50)
        configuration.minimumVolume = Int.random(in: 1...30, using: &generator)
        configuration.probeTimeout = .milliseconds(500)
        var machine = BreakerMachine(configuration)
        var running: [Attempt] = []
        var openUntil: Instant?
        var now = Instant(nanoseconds: 0)
        let sickness = Int.random(in: 0...10, using: &generator)

        for _ in 0..<2_000 {
            now = now.advanced(by: .milliseconds(Int64.random(in: 0...100, using: &generator)))
            let permission = machine.permission(now: now)
            if let openUntil, now < openUntil {
                #expect(machine.isOpen(now: now) && !machine.isClosed)
                guard case .refuse(let after) = permission else {
                    Issue.record("open, and permits \(permission)")
                    return
                }
                #expect(after > .zero && after <= now.duration(to: openUntil))
            }
            #expect(machine.isClosed == (permission == .allow))
            switch permission {
            case .allow:
                machine.attemptStarted(asProbe: false, now: now)
                running.append(Attempt(isProbe: false, started: now))
            case .probe:
                machine.attemptStarted(asProbe: true, now: now)
                running.append(Attempt(isProbe: true, started: now))
            case .refuse(let after): #expect(after > .zero)
            }
            let probing = running.filter { $0.isProbe && $0.started.duration(to: now) < .milliseconds(500) }
            #expect(probing.count <= configuration.halfOpenProbes)

            // Some are lost for good, with the seed's own frequency.
            guard running.count > Int.random(in: 0...3, using: &generator) else { continue }
            let ended = running.remove(at: Int.random(in: 0..<running.count, using: &generator))
            if ended.isProbe, seed % 3 == 0, Int.random(in: 0..<10, using: &generator) == 0 { continue }
            let outcome: BreakerMachine.Outcome =
                switch Int.random(in: 0..<20, using: &generator) {
                case 0..<sickness: .failure
                case 10..<12: .neutral
                case 12: .success(took: .milliseconds(60))
                default: .success(took: .milliseconds(5))
                }
            switch machine.attemptEnded(outcome, wasProbe: ended.isProbe, now: now, using: &generator) {
            case .opened(let cause, let time):
                #expect(outcome != .neutral && time > .zero)
                #expect(cause != .probeFailed || ended.isProbe)
                openUntil = now.advanced(by: time)
            case .closed:
                #expect(ended.isProbe)
                openUntil = nil
            case .halfOpened: Issue.record("an end does not open it by half")
            case nil: break
            }
        }
        expectRecovery(of: machine, at: now, using: &generator)
    }

    /// Once the backend is well, it is closed again within the longest open time and the limits of the lost probes.
    private func expectRecovery(of start: BreakerMachine, at: Instant, using generator: inout SplitMix64) {
        var machine = start
        var now = at
        let limit = now.advanced(by: .seconds(40))
        while !machine.isClosed, now < limit {
            now = now.advanced(by: .milliseconds(10))
            guard machine.permission(now: now) == .probe else { continue }
            machine.attemptStarted(asProbe: true, now: now)
            _ = machine.attemptEnded(.success(took: .zero), wasProbe: true, now: now, using: &generator)
        }
        #expect(machine.isClosed)
    }

    @Test(arguments: [Int64.min, .min + 1, -1, 0, .max - 1, .max])
    func noClockTrapsIt(nanoseconds: Int64) {
        var generator = SplitMix64(seed: 1)
        var configuration = BreakerMachine.Configuration()
        configuration.window = .zero
        configuration.openTime = Backoff(base: .seconds(Int64.max), cap: .seconds(Int64.max))
        configuration.jitter = .infinity
        configuration.probeTimeout = .seconds(-1)
        configuration.halfOpenProbes = .min
        configuration.consecutiveFailures = .min
        configuration.minimumVolume = .min
        configuration.successesToClose = .min
        configuration.failureShare = .nan
        var machine = BreakerMachine(configuration)
        for now in [nanoseconds, 0, .max, .min, nanoseconds].map(Instant.init(nanoseconds:)) {
            for outcome in [BreakerMachine.Outcome.failure, .neutral, .success(took: .seconds(Int64.max))] {
                _ = machine.permission(now: now)
                for isProbe in [false, true] {
                    machine.attemptStarted(asProbe: isProbe, now: now)
                    _ = machine.attemptEnded(outcome, wasProbe: isProbe, now: now, using: &generator)
                }
            }
            _ = machine.forceOpen(for: .seconds(Int64.min), now: now)
        }
    }
}
