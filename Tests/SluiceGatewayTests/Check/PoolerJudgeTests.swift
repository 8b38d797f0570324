import SluiceGateway
import Testing

/// What `doctor` says of a PgBouncer, by what its console shows.
@Suite struct PoolerJudgeTests {
    private let judge = PoolerJudge(shard: "s0", replica: "a")

    private func said(
        pool: Int = 8, clients: Int = 8, isShared: Bool = false, _ change: (inout PoolerCondition) -> Void = { _ in }
    ) -> [String] {
        var condition = PoolerCondition(serverConnections: 8, maxClients: 100)
        change(&condition)
        let use = PoolerJudge.Use(pool: pool, clients: clients, isShared: isShared, patience: .seconds(10))
        return judge.findings(condition, use).map(\.description)
    }

    @Test func clients() {
        #expect(said(clients: 100) == [])
        #expect(said(clients: 101).first?.contains("max_client_conn is 100; raise that to at least 101") == true)
        #expect(said(clients: 95) { $0.otherClients = 5 } == [])
        #expect(
            said(clients: 95) { $0.otherClients = 6 }.first?.contains("and other programs have 6 now, whose") == true)
    }

    @Test func connectionsToTheServer() {
        #expect(said(pool: 8) == [])
        #expect(
            said(pool: 9) == [
                "warning: s0/a: its PgBouncer has up to 8 connections to the server for 9 of pool.max_size: the other "
                    + "searches wait in PgBouncer, where neither admission nor replica choice sees them; raise "
                    + "default_pool_size or lower pool.max_size"
            ])
        #expect(said(pool: 9, isShared: true).first?.hasSuffix("or lower pool.connection_budget") == true)
    }

    @Test func waits() {
        #expect(said { $0.waitTimeout = .seconds(10) } == [])
        #expect(said { $0.waitTimeout = nil } == [])
        #expect(
            said { $0.waitTimeout = .seconds(2) }.first?
                .contains("for 2s (query_wait_timeout), and a search may take 10s") == true)
    }

    @Test func transactionsAreNeeded() {
        #expect(said { $0.mode = "session" } == [])
        #expect(said { $0.mode = "statement" }.first?.hasPrefix("error: s0/a: its PgBouncer has pool_mode") == true)
    }

    @Test func whatIsNotShownIsForPeopleToSee() {
        let use = PoolerJudge.Use(pool: 8, clients: 16, patience: .seconds(10))
        let message = judge.unknown("not allowed", use).message
        for word in ["(not allowed)", "stats_users", "at least 8,", "at least 16,", "at least 10s"] {
            #expect(message.contains(word), "\(message)")
        }
    }

    // MARK: The console's tables, as PgBouncer 1.18 has them

    private static let config = [
        ["key": "default_pool_size", "value": "20", "default": "20", "changeable": "yes"],
        ["key": "max_client_conn", "value": "500"], ["key": "max_db_connections", "value": "0"],
        ["key": "max_user_connections", "value": "0"], ["key": "pool_mode", "value": "session"],
        ["key": "query_wait_timeout", "value": "120"],
    ]

    private static func condition(
        _ changes: [String: String] = [:], databases: [[String: String]] = [], pools: [[String: String]] = []
    ) -> PoolerCondition? {
        let rows = config.map { row in
            row.merging(changes[row["key"] ?? ""].map { ["value": $0] } ?? [:]) { $1 }
        }
        return PoolerCondition(config: rows, databases: databases, pools: pools, database: "app", role: "sluice")
    }

    @Test func aDatabasesOwnSettingsWin() {
        let own = ["name": "app", "pool_size": "8", "pool_mode": "transaction", "max_connections": "0"]
        #expect(
            Self.condition(databases: [["name": "x", "pool_size": "3"], own])
                == PoolerCondition(serverConnections: 8, serverSetting: "its pool_size", maxClients: 500))
        #expect(
            Self.condition(["query_wait_timeout": "0"])
                == PoolerCondition(
                    mode: "session", serverConnections: 20, serverSetting: "default_pool_size", maxClients: 500,
                    waitTimeout: nil))
    }

    @Test func theSmallestOfTheLimitsCounts() {
        let database = Self.condition(databases: [["name": "app", "pool_size": "20", "max_connections": "5"]])
        #expect(database?.serverConnections == 5 && database?.serverSetting == "max_db_connections")
        let role = Self.condition(["max_user_connections": "4", "max_db_connections": "7"])
        #expect(role?.serverConnections == 4 && role?.serverSetting == "max_user_connections")
    }

    @Test func otherProgramsClientsAreCounted() {
        let pools = [
            ["database": "app", "user": "sluice", "cl_active": "9", "cl_waiting": "9"],
            ["database": "app", "user": "web", "cl_active": "2", "cl_waiting": "1"],
            ["database": "other", "user": "sluice", "cl_active": "4", "cl_waiting": "0"],
            ["database": "pgbouncer", "user": "pgbouncer", "cl_active": "1", "cl_waiting": "0"],
        ]
        #expect(Self.condition(pools: pools)?.otherClients == 7)
    }

    @Test func whatIsNoNumberIsNotTaken() {
        #expect(Self.condition(["max_client_conn": "many"]) == nil)
        #expect(Self.condition(["max_client_conn": "99999999999"]) == nil)
        #expect(Self.condition(["default_pool_size": "-1"]) == nil)
        #expect(Self.condition(["query_wait_timeout": "1e300"])?.waitTimeout == .seconds(1_000_000_000))
        #expect(PoolerCondition(config: [], databases: [], pools: [], database: "a", role: "b") == nil)
        let pools = [["database": "x", "user": "y", "cl_active": "-5"]]
        #expect(Self.condition(pools: pools)?.otherClients == 0)
    }
}
