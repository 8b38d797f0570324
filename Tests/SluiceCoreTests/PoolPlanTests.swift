import Foundation
import SluiceCore
import Testing

@Suite struct PoolPlanTests {
    private func plan(
        gateways: Int = 4, rate: Double = 400, time: Duration = .milliseconds(10), connections: Int = 100,
        reserved: Int = 3, others: Int = 0, surge: Int = 1, processors: Int? = nil
    ) -> PoolPlan {
        PoolPlan(
            .init(gateways: gateways, statements: rate, queryTime: time),
            .init(
                connections: connections, reserved: reserved, others: others, surge: surge, processors: processors))
    }

    /// An M/M/c queue as it happens: random arrivals and times from a fixed seed, c connections, a queue.
    private func simulatedWaitShare(connections: Int, load: Double, arrivals: Int) -> (share: Double, wait: Double) {
        var generator = SplitMix64(seed: 7)
        var free = [Double](repeating: 0, count: connections)
        var (now, late, waited) = (0.0, 0, 0.0)
        for _ in 0..<arrivals {
            now += -log(Double.random(in: .ulpOfOne..<1, using: &generator)) / load
            let next = free.indices.min { free[$0] < free[$1] } ?? 0
            let start = max(now, free[next])
            if start > now { late += 1 }
            waited += start - now
            free[next] = start - log(Double.random(in: .ulpOfOne..<1, using: &generator))
        }
        return (Double(late) / Double(arrivals), waited / Double(arrivals))
    }

    @Test(arguments: [(3, 2.0), (5, 2.0), (8, 5.0), (2, 0.5), (30, 22.0)])
    func waitingIsThatOfAQueue(connections: Int, load: Double) throws {
        let found = simulatedWaitShare(connections: connections, load: load, arrivals: 400_000)
        // A server that has exactly so many, for one gateway.
        let plan = plan(
            gateways: 1, rate: load * 100, connections: connections, reserved: 0, surge: 0)
        #expect(plan.allowance == connections)
        try #require(plan.maxSize == connections)
        #expect(abs(plan.waitShare - found.share) < 0.01)
        let wait = try #require(plan.wait) / .milliseconds(10)
        #expect(abs(wait - found.wait) < 0.02 + 0.05 * found.wait)
    }

    @Test func littlesLaw() {
        let plan = plan()
        #expect(abs(plan.demand.busy - 4) < 1e-9)
        #expect(abs(plan.load - 1) < 1e-9)
        #expect(abs(plan.loadWithOneLost - 4.0 / 3) < 1e-9)
        #expect(plan.minSize == 1)
        #expect(plan.verdict == .fits)
        #expect(plan.maxSize == plan.neededSize)
    }

    /// The size that is advised is enough, and one fewer is not.
    @Test(arguments: [0.1, 1.0, 4.0 / 3, 7.5, 40, 400]) func noConnectionMoreThanNeeded(load: Double) throws {
        func share(_ size: Int) -> Double {
            plan(gateways: 1, rate: load * 100, connections: size, reserved: 0, surge: 0).waitShare
        }
        let needed = try #require(
            plan(gateways: 1, rate: load * 100, connections: 10_000, reserved: 0, surge: 0).neededSize)
        #expect(share(needed) <= PoolPlan.waitShareAimed)
        #expect(needed == 1 || share(needed - 1) > PoolPlan.waitShareAimed)
    }

    @Test func theServersLimitIsNeverExceeded() {
        for gateways in [1, 2, 7, 50, 1_000] {
            for connections in [1, 10, 50, 859, 5_000] {
                for others in [0, 5, 900] {
                    let plan = plan(
                        gateways: gateways, rate: 3_000, connections: connections, reserved: 15, others: others,
                        surge: 2)
                    #expect(plan.mostAtServer <= plan.supply.forGateways)
                    #expect(plan.minSize <= plan.maxSize && plan.minSize >= 0)
                    #expect(plan.supply.forGateways == max(0, connections - 15 - others))
                }
            }
        }
    }

    @Test func whatDoesNotFitIsSaid() {
        // 40 busy in the mean, and 35 connections.
        #expect(plan(rate: 4_000, connections: 50, reserved: 15).verdict == .overloaded)
        // 4 busy at each of 4 gateways, which may have 7 each: more than that, but fewer than needed.
        let tight = plan(rate: 1_600, connections: 50, reserved: 15)
        #expect(tight.verdict == .tight && tight.maxSize == 7)
        #expect((tight.neededSize ?? 0) > 7)
        #expect(plan(rate: 1_600, connections: 859, reserved: 15).verdict == .fits)
        // The same with 16 busy of 8 processors.
        #expect(plan(rate: 1_600, connections: 859, reserved: 15, processors: 8).verdict == .overloaded)
        #expect(plan(gateways: 2, connections: 3, reserved: 3).verdict == .overloaded)
    }

    @Test(arguments: [Double.infinity, -.infinity, .nan, -1, 0, 1e300, .leastNonzeroMagnitude])
    func noNumberTraps(rate: Double) {
        for gateways in [Int.min, 0, 1, .max] {
            for time in [Duration.zero, .nanoseconds(1), .seconds(1_000_000), .seconds(-5)] {
                for connections in [Int.min, 0, 1, .max] {
                    let plan = plan(
                        gateways: gateways, rate: rate, time: time, connections: connections, reserved: connections,
                        others: gateways, surge: gateways, processors: connections)
                    #expect((0...1).contains(plan.waitShare) && plan.maxSize >= 0)
                    _ = (plan.wait, plan.mostAtServer, plan.verdict)
                }
            }
        }
    }
}
