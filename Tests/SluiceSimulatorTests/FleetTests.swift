import SluiceSimulator
import Testing

/// Gateways in front of clusters whose leaders change: fences, budgets, recovery and the spread of the load.
@Suite struct FleetTests {
    @Test func everyRuleHoldsForManySmallFleets() async {
        let result = await FleetRun(from: 1, count: 60).run()
        #expect(result.broken.isEmpty, "\(result.broken.prefix(5))")
        // Something has happened that the rules are about.
        #expect(result.synchronous.promotions > 100 && result.asynchronous.promotions > 100)
        #expect(result.synchronous.acknowledged > 10_000 && result.synchronous.lost == 0)
        #expect(result.synchronous.unknown > 0 && result.asynchronous.refused > 0)
    }

    @Test func everyRuleHoldsForOneWholeFleet() async {
        let result = await FleetRun(from: 1, count: 1, scale: .full).run()
        #expect(result.broken.isEmpty, "\(result.broken)")
    }

    @Test func otherShapesHoldToTheRulesToo() async {
        let scales = [
            FleetScale(shards: 3, replicas: 2, gateways: 7, zones: 1),
            FleetScale(shards: 4, replicas: 5, gateways: 9, zones: 2),
            FleetScale(shards: 2, replicas: 1, gateways: 4, zones: 1),
        ]
        for scale in scales {
            let result = await FleetRun(from: 1, count: 10, scale: scale).run()
            #expect(result.broken.isEmpty, "\(scale): \(result.broken.prefix(5))")
        }
    }

    /// What the rule is about that finds it.
    private static let words: [FleetBug: String] = [
        .fenceTrustsRecovery: "after it had seen",
        .leaseNeverEnds: "for longer than the lease",
        .timelinesAreForgotten: "after it had seen",
        .supersededIsAcknowledged: "acknowledged a write",
        .sourceIsAskedRarely: "was not committed",
        .standbyIsNotWaitedFor: "are lost in synchronous mode",
        .budgetForgetsLeavers: "connections of",
        .claimsGrowUnlocked: "connections of",
        .sharesAreNotDividedAnew: "gateways do not see each other",
        .zonesAreMistaken: "times its even share",
        .rolesAreBelievedForEver: "was not committed",
    ]

    @Test(arguments: FleetBug.allCases)
    func aPlantedBugIsFoundAndNamed(bug: FleetBug) async throws {
        let result = await FleetRun(from: 1, count: 200, bug: bug).run(stoppingAfter: 1)
        let found = try #require(result.broken.first)
        let words = try #require(Self.words[bug])
        #expect(found.violation.rule.contains(words), "seed \(found.seed): \(found.violation)")
    }

    @Test func aSeedReplaysExactly() throws {
        var runs: [[String]] = []
        for _ in 0..<2 {
            let collector = Collector()
            var fleet = FleetSimulation(
                seed: 7, scale: FleetScale(shards: 2, replicas: 3, gateways: 4),
                trace: { collector.events.append($0) })
            try fleet.run()
            runs.append(collector.events)
        }
        #expect(runs[0] == runs[1] && runs[0].count > 1_000)
    }

    private final class Collector {
        var events: [String] = []
    }
}
