import SluiceCore
import SluiceGateway
import Testing

/// How gateways find each other's claims among a server's connections, and what the configuration may say of budgets.
@Suite struct FleetTests {
    @Test func namesSayWhoHasWhat() {
        let rows: [[String?]] = [
            ["sluice/a", "3", "f"], ["sluice/a/5/9", "1", "f"], ["sluice/b/7/8", "1", "t"], ["sluice/b", "2", "f"],
            ["sluice/c", "4", "f"],
        ]
        #expect(
            FleetName.sightings(rows, own: "b") == [
                .init(id: "a", claim: 5, want: 9, connections: 4), .init(id: "b", claim: 7, want: 8, connections: 3),
                .init(id: "c", claim: nil, want: 0, connections: 4),
            ])
    }

    /// Its last connection has broken, and the server has not noticed yet.
    @Test func anOldClaimOfItsOwnIsNotTheOneThatIsShown() {
        let rows: [[String?]] = [["sluice/b/9/9", "1", "f"], ["sluice/b/2/9", "1", "t"]]
        #expect(FleetName.sightings(rows, own: "b") == [.init(id: "b", claim: 2, want: 9, connections: 2)])
        #expect(FleetName.sightings(rows, own: "a") == [.init(id: "b", claim: 9, want: 9, connections: 2)])
    }

    @Test func namesThatAreNoGatewaysAreLeftOut() {
        let rows: [[String?]] = [
            [nil, "3", "f"], ["sluice", "1", "f"], ["sluice/", "1", "f"], ["sluice/a/1", "1", "f"], ["psql", "1", "f"],
            ["sluice/a/1/2/3", "1", "f"], ["sluice//1/1", "1", "f"], [], ["sluice/a"],
        ]
        #expect(FleetName.sightings(rows, own: "b") == [])
        let odd: [[String?]] = [["sluice/a/x/-3", "-1", nil], ["sluice/a/99999999999/1", "x", "f"]]
        #expect(FleetName.sightings(odd, own: "b") == [.init(id: "a", claim: nil, want: 1, connections: 0)])
    }

    @Test func namesAreShortEnoughForAServer() {
        for _ in 0..<100 {
            let name = FleetName.claim(FleetName.newID(), claim: 262_143, want: 262_143)
            #expect(name.utf8.count < 64)
        }
    }

    // MARK: Dialling

    private static func at(_ second: Int64) -> Instant { Instant(nanoseconds: second * 1_000_000_000) }

    @Test func aDialWaitsUntilItIsAllowed() async {
        let permit = DialPermit()
        permit.close()
        async let allowed = permit.wait(until: Self.at(9), now: { Self.at(1) })
        permit.extend(to: Self.at(2))
        #expect(await allowed)
    }

    @Test func aDialDoesNotWaitBeyondItsDeadline() async {
        let permit = DialPermit()
        permit.extend(to: Self.at(1))
        #expect(await !permit.wait(until: Self.at(2), now: { Self.at(2) }))
        let waiting = Task { await permit.wait(until: Self.at(9), now: { Self.at(1) }) }
        waiting.cancel()
        #expect(await !waiting.value)
    }

    /// It was begun for a pool that may have less room when dialling is allowed again.
    @Test func aDialThatWaitsEndsWhenTheClaimGoes() async {
        let permit = DialPermit()
        permit.extend(to: Self.at(1))
        let allowed = await permit.wait(
            until: Self.at(9),
            now: {
                permit.close()
                return Self.at(1)
            })
        #expect(!allowed)
    }

    // MARK: The configuration

    private static func parse(_ text: String) throws -> GatewayConfig {
        try GatewayConfig.parse(ConfigErrorTests.right + text, file: "f", environment: [:])
    }

    @Test func defaults() throws {
        let config = try Self.parse("")
        #expect(config.shards.allSatisfy { $0.replicas[0].pool.connectionBudget == nil })
        #expect(config.fleet.floor == nil && config.fleet.reserve == nil && config.fleet.dsn == nil)
        #expect(config.fleet.discovery == .activity && config.fleet.interval == .seconds(1))
    }

    @Test func everyKey() throws {
        let config = try Self.parse(
            """
            reactors: 8
            pool: {max_size: 20, connection_budget: 50}
            fleet: {discovery: table, dsn: host=h dbname=d, floor: 4, reserve: 7, interval: 500ms}
            """)
        #expect(config.shards[0].replicas[0].pool.connectionBudget == 50)
        #expect(config.fleet.floor == 4 && config.fleet.reserve == 7 && config.fleet.interval == .milliseconds(500))
        #expect(config.fleet.dsn?.revealed == "host=h dbname=d" && config.fleet.discovery == .table)
    }

    /// One that has no more than its floor still has a connection for each.
    @Test func thereAreNoMoreReactorsThanTheFloorHasConnections() throws {
        let budget = "reactors: 8\npool: {max_size: 20, connection_budget: 50}\n"
        #expect(try Self.parse(budget).laneCount == 8)
        #expect(try Self.parse(budget).fleetFloor == 9)
        #expect(try Self.parse(budget + "fleet: {floor: 4}").laneCount == 3)
        #expect(try Self.parse("reactors: 8\npool: {max_size: 20}\nfleet: {floor: 4}").laneCount == 8)
    }

    @Test func aReplicaCanBeWithoutABudget() throws {
        let text = """
            reactors: 1
            pool: {connection_budget: 50}
            shards: [{name: s0, replicas: [{dsn: host=a, pool: {connection_budget: 0}}, {dsn: host=b}]}]
            \(ConfigErrorTests.collections)
            """
        let config = try GatewayConfig.parse(text, file: "f", environment: [:])
        #expect(config.shards[0].replicas.map(\.pool.connectionBudget) == [nil, 50])
    }

    @Test func whatDoesNotGoTogetherIsRefused() {
        func problems(_ text: String) -> [String] { ConfigErrorTests.problems(ConfigErrorTests.right + text) }
        let small = problems("reactors: 1\npool: {connection_budget: 3}")
        #expect(small.count == 2)
        for (problem, name) in zip(small, ["s0/s0-0", "s1/s1-0"]) {
            #expect(
                problem.hasSuffix(
                    "shards: connection_budget of \(name) is 3, and fleet.floor 2 and fleet.reserve 2 are 4; raise it, "
                        + "or lower those or reactors"))
        }
        #expect(problems("fleet: {discovery: table}") == ["f:12: fleet.dsn: is missing"])
        #expect(problems("fleet: {dsn: host=a}") == ["f:12: fleet.dsn: is for discovery: table"])
        #expect(problems("fleet: {floor: 1}") == ["f:12: fleet.floor: is \"1\"; it must be from 2 to 1000"])
        let pooled = """
            reactors: 1
            shards: [{name: s0, replicas: [{dsn: host=a, pooler: transaction, pool: {connection_budget: 9}}]}]
            \(ConfigErrorTests.collections)
            """
        #expect(
            ConfigErrorTests.problems(pooled).first?.contains("gateways do not see each other through the pooler")
                == true)
    }
}
