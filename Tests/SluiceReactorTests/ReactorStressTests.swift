import SluiceReactor
import Testing

/// Counts what happens on its reactor, without a lock: only the reactor's own thread may come here.
private actor Counter {
    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }
    private(set) var count = 0

    init(_ reactor: Reactor) { self.reactor = reactor }

    func add() { count += 1 }

    /// A timer that comes, and one that is cancelled.
    func addLater() async {
        let now = Reactor.now()
        await withCheckedContinuation { continuation in
            let never = reactor.schedule(at: now + 60_000_000_000) { Issue.record("a cancelled timer has come") }
            _ = reactor.schedule(at: now + 10_000) {
                self.assumeIsolated { $0.count += 1 }
                continuation.resume()
            }
            reactor.cancel(never)
        }
    }
}

/// Many threads at once on the same reactors, for the thread sanitizer to look at.
@Suite struct ReactorStressTests {
    @Test func tasksThatGoFromReactorToReactorLoseNothing() async throws {
        let reactors = try (0..<3).map { try Reactor(name: "stress-\($0)") }
        defer { for reactor in reactors { reactor.stop() } }
        let counters = reactors.map(Counter.init)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<24 {
                group.addTask(executorPreference: reactors[task % reactors.count]) {
                    for step in 0..<200 {
                        let counter = counters[(task + step) % counters.count]
                        if step.isMultiple(of: 10) { await counter.addLater() } else { await counter.add() }
                    }
                }
            }
        }
        var sum = 0
        for counter in counters { sum += await counter.count }
        #expect(sum == 24 * 200)
    }

    @Test func whatBlockingThreadsHandOverAllRuns() async throws {
        let reactor = try Reactor(name: "stress")
        defer { reactor.stop() }
        let counter = Counter(reactor)
        let workers = BlockingWorkers(limit: 4, queueLimit: 1_000)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    for step in 0..<100 {
                        let brought = await workers.run { step }
                        #expect(brought == step)
                        await counter.add()
                    }
                }
            }
        }
        #expect(await counter.count == 1_600)
    }
}
