import SluiceCore
import Testing

@Suite struct BatchMachineTests {
    private var random = SplitMix64(seed: 7)

    private static func at(_ milliseconds: Int) -> Instant { Instant(nanoseconds: Int64(milliseconds) * 1_000_000) }

    private static func machine(capacity: Int = 8, batch: Int = 3, attempts: Int = 4) -> BatchMachine<Int> {
        var configuration = BatchMachine<Int>.Configuration()
        configuration.capacity = capacity
        configuration.batch = batch
        configuration.delay = .milliseconds(100)
        configuration.attempts = attempts
        configuration.backoff = Backoff(base: .milliseconds(10), cap: .milliseconds(40))
        return BatchMachine(configuration)
    }

    private func sent(_ action: BatchMachine<Int>.Action) -> [Int]? {
        if case .send(let items) = action { items } else { nil }
    }

    private func waits(_ action: BatchMachine<Int>.Action) -> Instant?? {
        if case .wait(let until) = action { until } else { nil }
    }

    private func hasEnded(_ action: BatchMachine<Int>.Action) -> Bool { if case .end = action { true } else { false } }

    @Test mutating func theFirstItemWaitsForOthersAWhile() {
        var machine = Self.machine()
        #expect(waits(machine.next(now: Self.at(0))) == .some(nil))
        let first = machine.added(1, now: Self.at(10))
        #expect(first)
        #expect(waits(machine.next(now: Self.at(20))) == Self.at(110))
        let second = machine.added(2, now: Self.at(50))
        #expect(!second)
        #expect(sent(machine.next(now: Self.at(110))) == [1, 2])
        // One batch at a time.
        _ = machine.added(3, now: Self.at(111))
        #expect(sent(machine.next(now: Self.at(500))) == nil)
        machine.ended(.delivered, now: Self.at(120), using: &random)
        #expect(machine.delivered == 2 && machine.held == 1 && machine.dropped == 0)
        #expect(sent(machine.next(now: Self.at(500))) == [3])
    }

    @Test mutating func aFullBatchLeavesAtOnce() {
        var machine = Self.machine()
        let wakes = (1...7).map { machine.added($0, now: Self.at(0)) }
        #expect(wakes == [true, false, true, false, false, false, false])
        for expected in [[1, 2, 3], [4, 5, 6]] {
            #expect(sent(machine.next(now: Self.at(1))) == expected)
            machine.ended(.delivered, now: Self.at(2), using: &random)
        }
        #expect(waits(machine.next(now: Self.at(2))) == Self.at(101))
    }

    @Test mutating func whatMayPassIsSentAgainAndNothingIsLost() {
        var machine = Self.machine()
        for item in 1...3 { _ = machine.added(item, now: Self.at(0)) }
        #expect(sent(machine.next(now: Self.at(0))) == [1, 2, 3])
        // The receiver's own wish is longer than the backoff.
        machine.ended(.later(after: .seconds(2)), now: Self.at(0), using: &random)
        #expect(waits(machine.next(now: Self.at(1_999))) == Self.at(2_000))
        #expect(sent(machine.next(now: Self.at(2_000))) == [1, 2, 3])
        machine.ended(.later(after: nil), now: Self.at(2_000), using: &random)
        let due = waits(machine.next(now: Self.at(2_000))) ?? Self.at(2_000)
        #expect(due.map { $0 <= Self.at(2_020) } == true)
        #expect(sent(machine.next(now: Self.at(2_020))) == [1, 2, 3])
        machine.ended(.delivered, now: Self.at(2_021), using: &random)
        #expect(machine.delivered == 3 && machine.dropped == 0 && machine.held == 0)
    }

    @Test mutating func aReceiverThatAsksForAnHourIsNotWaitedForSoLong() {
        var machine = Self.machine()
        _ = machine.added(1, now: Self.at(0))
        _ = machine.next(now: Self.at(100))
        machine.ended(.later(after: .seconds(3_600)), now: Self.at(100), using: &random)
        #expect(waits(machine.next(now: Self.at(100))) == Self.at(60_100))
    }

    @Test mutating func aDeadReceiverCostsNoMoreThanTheCapacityAndWhatIsLostIsCounted() {
        var machine = Self.machine(capacity: 8, batch: 3, attempts: 2)
        var now = 0
        var most = 0
        for item in 0..<1_000 {
            _ = machine.added(item, now: Self.at(now))
            most = max(most, machine.held)
            now += 1
            if sent(machine.next(now: Self.at(now))) != nil {
                machine.ended(.later(after: nil), now: Self.at(now), using: &random)
            }
        }
        #expect(most == 8 && machine.delivered == 0 && machine.dropped + UInt64(machine.held) == 1_000)
    }

    @Test mutating func whatIsRefusedIsNotSentAgain() {
        var machine = Self.machine()
        for item in 1...4 { _ = machine.added(item, now: Self.at(0)) }
        _ = machine.next(now: Self.at(0))
        machine.ended(.refused, now: Self.at(0), using: &random)
        #expect(machine.dropped == 3)
        #expect(sent(machine.next(now: Self.at(100))) == [4])
    }

    @Test mutating func atTheEndEverythingLeavesWithoutWaiting() {
        var machine = Self.machine()
        for item in 1...4 { _ = machine.added(item, now: Self.at(0)) }
        machine.stopping(by: Self.at(1_000))
        #expect(sent(machine.next(now: Self.at(1))) == [1, 2, 3])
        machine.ended(.delivered, now: Self.at(1), using: &random)
        #expect(sent(machine.next(now: Self.at(1))) == [4])
        machine.ended(.delivered, now: Self.at(2), using: &random)
        #expect(hasEnded(machine.next(now: Self.at(2))))
        _ = machine.added(5, now: Self.at(2))
        #expect(machine.held == 0 && machine.dropped == 1 && machine.delivered == 4)
    }

    @Test mutating func theEndIsNotPutOffByAReceiverThatDoesNotTakeIt() {
        var machine = Self.machine()
        for item in 1...5 { _ = machine.added(item, now: Self.at(0)) }
        _ = machine.next(now: Self.at(0))
        machine.stopping(by: Self.at(1_000))
        machine.ended(.later(after: .seconds(30)), now: Self.at(10), using: &random)
        #expect(waits(machine.next(now: Self.at(10))) == Self.at(1_000))
        #expect(hasEnded(machine.next(now: Self.at(1_000))))
        #expect(machine.dropped == 5 && machine.held == 0)
    }
}
