import SluiceEngine
import Synchronization
import Testing

/// The budget's counting, and that whoever is stopped goes on.
@Suite struct MemoryBudgetTests {
    private final class Reading: Sendable {
        let changes = Mutex<[Bool]>([])
        func set(_ isReading: Bool) { changes.withLock { $0.append(isReading) } }
        var seen: [Bool] { changes.withLock { $0 } }
    }

    @Test func theGreediestStopsAndGoesOnWhenOthersHaveLetGo() {
        let budget = MemoryBudget(limit: 1_000)
        let (small, large) = (Reading(), Reading())
        let first = budget.open(1) { small.set($0) }
        let second = budget.open(2) { large.set($0) }
        first.add(300)
        second.add(449)
        #expect(large.seen == [])
        budget.add(1)
        #expect(!budget.isExhausted && large.seen == [false] && small.seen == [])
        #expect(budget.stoppedCount == 1)
        budget.add(250)
        #expect(!budget.isExhausted && budget.held == 1_000)
        budget.add(1)
        #expect(budget.isExhausted && small.seen == [false])
        budget.add(-252)
        second.add(-249)
        #expect(budget.held == 500 && large.seen == [false], "not below the low-water mark yet")
        first.add(-1)
        #expect(large.seen == [false, true] && small.seen == [false, true] && budget.stoppedCount == 0)
    }

    @Test func whatDoesNotFitIsNotReserved() {
        let budget = MemoryBudget(limit: 1_000)
        #expect(budget.reserve(1_000))
        #expect(!budget.reserve(1))
        budget.add(-1)
        #expect(budget.reserve(1) && budget.held == 1_000)
        #expect(!MemoryBudget(limit: 5).reserve(.max))
    }

    @Test func aClosedAccountIsToldNothing() {
        let budget = MemoryBudget(limit: 100)
        let reading = Reading()
        let account = budget.open(1) { reading.set($0) }
        account.add(200)
        account.close()
        account.add(-200)
        #expect(reading.seen == [false] && budget.held == 0 && budget.stoppedCount == 0)
    }

    /// Many threads add and let go; at the end nothing is held, and nobody is left stopped.
    @Test func nothingIsLostBetweenThreads() async {
        let budget = MemoryBudget(limit: 10_000)
        let readings = (0..<8).map { _ in Reading() }
        await withTaskGroup(of: Void.self) { group in
            for (number, reading) in readings.enumerated() {
                group.addTask {
                    let account = budget.open(UInt64(number)) { reading.set($0) }
                    for turn in 0..<20_000 {
                        let bytes = (turn * 7_919 + number * 104_729) % 4_000
                        account.add(bytes)
                        if turn.isMultiple(of: 64) { await Task.yield() }
                        account.add(-bytes)
                    }
                    account.add(0)
                }
            }
        }
        #expect(budget.held == 0 && budget.stoppedCount == 0 && !budget.isExhausted)
        for reading in readings { #expect(reading.seen.last != false) }
        #expect(readings.contains { !$0.seen.isEmpty }, "the limit was passed")
    }
}
