import Foundation
import SluiceTools
import Testing

/// `sluice pool-plan`, as its user has it.
@Suite struct PoolPlanCommandTests {
    private func run(_ arguments: String...) throws -> CommandLineTests.Outcome {
        try CommandLineTests.run(["pool-plan"] + arguments)
    }

    private func json(_ arguments: String...) throws -> [String: Any] {
        let outcome = try CommandLineTests.run(["pool-plan", "--json"] + arguments)
        return try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
    }

    @Test func thePlanHasItsReasons() throws {
        let said = try run("--gateways", "4", "--rate", "400", "--query-time", "10ms", "--azure-tier", "GP 2 vCores")
        #expect(said.code == 78 && said.errors.isEmpty, "4 busy of 2 processors")
        let fine = try run("--gateways", "4", "--rate", "400", "--query-time", "2500us", "--azure-tier", "gp-2")
        #expect(fine.code == 0 && fine.errors.isEmpty)
        for words in [
            "400 statements/s x 2.50 ms = 1.00 busy connections in the mean (Little's law)",
            "GP 2 vCores: 859 - 15 reserved - 0 of other programs = 844 connections for gateways",
            "/ (4 + 1 while a new version takes over) = at most 168 for each", "min_size: 1", "It fits.",
        ] {
            #expect(fine.output.contains(words), "\(fine.output)")
        }
    }

    @Test func thePlanIsJSONToo() throws {
        let plan = try json(
            "--gateways", "1", "--surge", "0", "--rate", "200", "--query-time", "10ms",
            "--max-connections", "100")
        #expect(plan["verdict"] as? String == "fits")
        // Two busy in the mean: of six connections all are at 1.8 % of the arrivals, of seven at 0.48 %.
        #expect(plan["min_size"] as? Int == 2 && plan["max_size"] as? Int == 7)
        #expect(plan["connections_for_gateways"] as? Int == 97 && plan["most_at_server"] as? Int == 7)
        let share = try #require(plan["wait_share"] as? Double)
        #expect(abs(share - 0.0048) < 0.0001)
        let twice = try json(
            "--gateways", "1", "--surge", "0", "--rate", "100", "--query-time", "10ms",
            "--statements-per-search", "2", "--max-connections", "100")
        #expect(twice["max_size"] as? Int == 7)
        let small = try json("--gateways", "20", "--rate", "200", "--query-time", "10ms", "--max-connections", "24")
        #expect(small["verdict"] as? String == "tight" && small["max_size"] as? Int == 1)
        let none = try json("--gateways", "20", "--rate", "1", "--query-time", "1ms", "--max-connections", "23")
        #expect(none["verdict"] as? String == "overloaded" && none["max_size"] as? Int == 0)
    }

    @Test(arguments: [
        ("B1ms", 50), ("GP 2 vCores", 859), ("gp4", 1_718), ("MO 4 vCores", 3_437), ("MO-16", 5_000),
        ("mo 4 vcore", 3_437),
    ])
    func azureTiers(name: String, connections: Int) throws {
        #expect(AzureTier(name)?.connections == connections)
        let plan = try json("--gateways", "1", "--rate", "1", "--query-time", "1ms", "--azure-tier", name)
        #expect(plan["connections_for_gateways"] as? Int == connections - 15)
    }

    @Test(arguments: [
        ["--azure-tier", "GP 3 vCores"], ["--azure-tier", ""], [], ["--max-connections", "0"],
        ["--max-connections", "9", "--azure-tier", "B1ms"], ["--max-connections", "9", "--others", "-1"],
        ["--max-connections", "9", "--rate", "nan"], ["--max-connections", "9", "--rate", "-1"],
        ["--max-connections", "9", "--query-time", "0ms"], ["--max-connections", "9", "--query-time", "soon"],
        ["--max-connections", "9", "--gateways", "0"], ["--max-connections", "9", "--processors", "0"],
        ["--max-connections", "99999999999999999999"],
    ])
    func whatIsNoPlanIsRefused(arguments: [String]) throws {
        var all = arguments
        for (name, value) in [("--gateways", "2"), ("--rate", "10"), ("--query-time", "5ms")]
        where !arguments.contains(name) {
            all += [name, value]
        }
        let said = try CommandLineTests.run(["pool-plan"] + all)
        #expect(said.code == 64 && said.output.isEmpty && !said.errors.isEmpty)
    }
}
