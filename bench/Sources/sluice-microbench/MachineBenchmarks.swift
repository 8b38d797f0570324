internal import SluiceCore

let mergeBenchmarks = [(2, 10), (16, 10), (2, 1_000), (16, 1_000)].map { legs, k in
    Benchmark(
        "merge-\(legs)x\(k)", "the \(k) nearest of \(legs) legs with \(k) rows each",
        countedOperations: k > 100 ? 4 : 100
    ) {
        let candidates = Samples.candidates(legs: legs, rows: k)
        return { count in
            var sum = 0
            for _ in 0..<count {
                var merge = TopKMerge(k: k)
                for leg in candidates { for candidate in leg { merge.offer(candidate) } }
                sum &+= merge.finish().count
            }
            return sum
        }
    }
}

/// The machines that every leg passes, each with the decisions of one leg.
let machineBenchmarks = [
    Benchmark("pool-lease", "a lease of an idle connection and its return") {
        let machine = try Machines.pool(maxSize: 8)
        return { count in
            var machine = machine
            var sum = 0
            for turn in 0..<count {
                guard let connection = machine.freshLeaseRequested(now: Machines.instant(turn)) else {
                    throw Unexpected("no connection is idle")
                }
                sum &+= machine.connectionReleased(connection, now: Machines.instant(turn)).dials.count &+ 1
            }
            return sum
        }
    },
    Benchmark("pool-wait", "a leg that queues behind 15 others, and a return that serves the first") {
        let machine = try Machines.pool(maxSize: 1)
        return { count in
            var machine = machine
            guard let connection = machine.freshLeaseRequested(now: Machines.instant(0)) else {
                throw Unexpected("no connection is idle")
            }
            func queue(_ number: Int) {
                _ = machine.leaseRequested(
                    by: WaiterID(UInt64(number)), deadline: .distantFuture, now: Machines.instant(number))
            }
            for number in 0..<15 { queue(number) }
            var sum = 0
            for turn in 0..<count {
                queue(15 + turn)
                guard case .grant = machine.connectionReleased(connection, now: Machines.instant(turn)).action else {
                    throw Unexpected("nobody was served")
                }
                sum &+= machine.load
            }
            return sum
        }
    },
    Benchmark("breaker", "a breaker is asked, and told of a success") {
        return { count in
            var machine = BreakerMachine()
            var random = SplitMix64(seed: 5)
            var sum = 0
            for turn in 0..<count {
                let now = Machines.instant(turn)
                guard machine.permission(now: now) == .allow else { throw Unexpected("the breaker is open") }
                machine.attemptStarted(asProbe: false, now: now)
                _ = machine.attemptEnded(
                    .success(took: .microseconds(800)), wasProbe: false, now: now, using: &random)
                sum &+= 1
            }
            return sum
        }
    },
    Benchmark("shard", "the choice among three replicas, and what is learnt of the attempt") {
        return { count in
            var machine = ShardMachine(.init(), replicas: [.init(), .init(), .init()], now: Machines.instant(0))
            var random = SplitMix64(seed: 5)
            var sum = 0
            for turn in 0..<count {
                let now = Machines.instant(turn)
                let choice = machine.attemptRequested(
                    .first, tried: ReplicaSet(), mayRepeat: true, now: now, using: &random)
                guard case .ask(let pick) = choice else { throw Unexpected("no replica may be asked") }
                _ = machine.attemptEnded(
                    pick, .rows(took: .microseconds(800 + turn % 64)), now: now, using: &random)
                sum &+= pick.replica
            }
            return sum
        }
    },
    Benchmark("latency-window", "a leg's time, noted for the delay of hedges") {
        return { count in
            var window = LatencyWindow()
            for turn in 0..<count {
                window.record(.microseconds(800 + turn % 64), now: Machines.instant(turn))
            }
            return Int(clamping: window.quantile(0.95, now: Machines.instant(count))?.nanoseconds ?? 0)
        }
    },
]

private enum Machines {
    /// A turn takes a microsecond.
    static func instant(_ turn: Int) -> Instant { Instant(nanoseconds: 1_000 * Int64(turn)) }

    /// A pool with all its connections up and idle.
    static func pool(maxSize: Int) throws -> PoolMachine {
        var machine = PoolMachine(.init(minSize: maxSize, maxSize: maxSize, maxWaiting: 100))
        var random = SplitMix64(seed: 5)
        var dials = machine.started().dials
        while let connection = dials.popLast() {
            dials += machine.connectionEstablished(connection, now: instant(0), using: &random).dials
        }
        guard machine.idleCount == maxSize else { throw Unexpected("\(machine.idleCount) connections are idle") }
        return machine
    }
}
