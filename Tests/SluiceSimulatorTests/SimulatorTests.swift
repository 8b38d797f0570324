import SluiceSimulator
import Testing

@Suite struct SimulatorTests {
    @Test func everyRuleHoldsForManySeeds() async {
        let broken = await SeedRun(from: 1, count: 400).run()
        #expect(broken.isEmpty, "\(broken.prefix(5))")
    }

    @Test(arguments: PlantedBug.allCases)
    func aPlantedBugIsFound(bug: PlantedBug) async {
        let broken = await SeedRun(from: 1, count: 500, bug: bug).run(stoppingAfter: 1)
        #expect(!broken.isEmpty)
    }

    @Test func aSeedReplaysExactly() throws {
        var runs: [[String]] = []
        for _ in 0..<2 {
            var events: [String] = []
            withExtendedLifetime(Collector()) { collector in
                var simulation = Simulation(seed: 7, trace: { collector.events.append($0) })
                try? simulation.run()
                events = collector.events
            }
            runs.append(events)
        }
        #expect(runs[0] == runs[1] && runs[0].count > 100)
    }

    private final class Collector {
        var events: [String] = []
    }
}
