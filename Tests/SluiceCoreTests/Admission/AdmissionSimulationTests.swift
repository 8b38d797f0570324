import SluiceCore
import Testing

/// An open loop of arrivals against a server that slows down: with more than `capacity` searches at a time all take
/// longer in proportion, and beyond that the switching between them costs as well (so too many at a time lose
/// throughput).
private struct Simulation {
    private struct End {
        var at: Int64
        var began: Int64
        var deadline: Int64
    }

    var machine: AdmissionMachine
    var generator: SplitMix64
    let capacity = 16
    /// Nanoseconds that a search takes alone.
    let service: Int64 = 10_000_000
    /// What a client gives it.
    let patience: Int64 = 200_000_000
    /// In the order of their times; those before `firstEnd` are over.
    private var ends: [End] = []
    private var firstEnd = 0
    private var deadlines: [UInt64: Int64] = [:]
    private var nextID: UInt64 = 0
    private var now: Int64 = 0
    private(set) var answered = 0
    private(set) var late = 0
    private(set) var shed = 0
    private(set) var queued = 0
    private(set) var highestInFlight = 0

    init(machine: AdmissionMachine, seed: UInt64) {
        self.machine = machine
        generator = SplitMix64(seed: seed)
    }

    private var running: Int { ends.count - firstEnd }

    /// Searches a second that the server can do.
    var peak: Double { Double(capacity) * 1e9 / Double(service) }

    /// Poisson-like arrivals at `load` times the capacity.
    mutating func run(load: Double, seconds: Double) {
        (answered, late, shed, queued, highestInFlight) = (0, 0, 0, 0, 0)
        let until = now + Int64(seconds * 1e9)
        let mean = 1e9 / (peak * load)
        var arrival = now
        while arrival < until {
            // The sum of four even draws is near enough to a natural process, and needs no logarithm.
            let draws = (0..<4).reduce(0.0) { sum, _ in sum + Double.random(in: 0..<0.5, using: &generator) }
            arrival += Int64(mean * draws)
            while firstEnd < ends.count, ends[firstEnd].at <= arrival { finish() }
            now = arrival
            nextID += 1
            let deadline = now + patience
            switch machine.searchArrived(
                id: nextID, priority: .interactive, deadline: Instant(nanoseconds: deadline),
                now: Instant(nanoseconds: now))
            {
            case .admit: begin(deadline: deadline)
            case .queue:
                queued += 1
                deadlines[nextID] = deadline
            case .shed: shed += 1
            }
            highestInFlight = max(highestInFlight, running)
        }
    }

    private mutating func begin(deadline: Int64) {
        let crowd = Double(running + 1) / Double(capacity)
        let slowdown = crowd <= 1 ? 1 : crowd * (1 + 0.02 * (crowd - 1))
        let took = Double(service) * slowdown * Double.random(in: 0.7...1.3, using: &generator)
        let end = End(at: now + Int64(took), began: now, deadline: deadline)
        var place = ends.count
        while place > firstEnd, ends[place - 1].at > end.at { place -= 1 }
        ends.insert(end, at: place)
    }

    private mutating func finish() {
        let end = ends[firstEnd]
        firstEnd += 1
        if firstEnd > 1_000 {
            ends.removeFirst(firstEnd)
            firstEnd = 0
        }
        now = end.at
        if end.at <= end.deadline { answered += 1 } else { late += 1 }
        let departure = machine.searchEnded(
            took: .nanoseconds(end.at - end.began), outcome: end.at <= end.deadline ? .ok : .timedOut,
            now: Instant(nanoseconds: now))
        for id in departure.expired { deadlines[id] = nil }
        for id in departure.admitted {
            if let deadline = deadlines.removeValue(forKey: id) { begin(deadline: deadline) }
        }
    }
}

@Suite struct AdmissionSimulationTests {
    private func simulation(seed: UInt64, limit: GradientLimit.Configuration) -> Simulation {
        Simulation(machine: AdmissionMachine(.init(limit: limit, maxWaiting: 64)), seed: seed)
    }

    /// Three times too much for twenty seconds: the server stays busy, hardly anything is answered too late, and when
    /// the load drops, everyone is admitted at once again within two seconds.
    @Test(arguments: 0..<20)
    func anOverloadCollapsesNothingAndEndsWithTheLoad(seed: UInt64) {
        var world = simulation(seed: seed, limit: .init(minimum: 4, maximum: 1_000))
        world.run(load: 0.7, seconds: 5)
        #expect(world.shed == 0)
        world.run(load: 3, seconds: 20)
        let throughput = Double(world.answered) / 20
        #expect(throughput >= 0.9 * world.peak, "\(throughput) of \(world.peak)")
        #expect(world.late * 1_000 <= world.answered)
        #expect(world.shed > world.answered, "two of three are told at once")
        #expect(world.highestInFlight < 4 * world.capacity, "\(world.highestInFlight) ran at a time")
        world.run(load: 0.7, seconds: 2)
        world.run(load: 0.7, seconds: 5)
        #expect(world.shed == 0 && world.queued == 0)
    }

    /// The same from a cold start: nothing is known of the latency but what the overload shows.
    @Test(arguments: 0..<10)
    func alsoWhenTheOverloadComesFirst(seed: UInt64) {
        var world = simulation(seed: seed, limit: .init(minimum: 4, maximum: 200))
        world.run(load: 3, seconds: 20)
        #expect(Double(world.answered) / 20 >= 0.9 * world.peak)
        world.run(load: 0.7, seconds: 2)
        world.run(load: 0.7, seconds: 5)
        #expect(world.shed == 0 && world.queued == 0)
    }

    /// Without a limit the same load is answered too late: the world above does punish.
    @Test func withoutALimitTheWorldCollapses() {
        var world = simulation(seed: 1, limit: .init(minimum: 100_000, maximum: 100_000))
        world.run(load: 3, seconds: 20)
        #expect(Double(world.answered) / 20 < 0.5 * world.peak)
    }

    @Test func theLimitFollowsTheLatencyDownAndUp() {
        var limit = GradientLimit(.init(minimum: 2, maximum: 100, initial: 50))
        var now = Instant(nanoseconds: 0)
        func end(_ milliseconds: Int64, inFlight: Int, times: Int) {
            for _ in 0..<times {
                now = now.advanced(by: .milliseconds(1))
                limit.sampled(.milliseconds(milliseconds), inFlight: inFlight, isLoaded: true, now: now)
            }
        }
        end(10, inFlight: 10, times: 100)
        #expect(limit.current == 50, "less than half of it is used")
        end(10, inFlight: 50, times: 26)
        #expect(limit.current == 50)
        end(10, inFlight: 50, times: 1)
        #expect(limit.current == 51, "25 samples a round, and those that began before it do not count")
        end(10, inFlight: 100, times: 3_000)
        #expect(limit.current == 100)
        end(100, inFlight: 100, times: 10_000)
        #expect(limit.current < 10)
        end(10, inFlight: 100, times: 3_000)
        #expect(limit.current == 100)
        limit.dropped(now: now)
        limit.dropped(now: now)
        #expect(limit.current == 90, "two at a time count once")
    }
}
