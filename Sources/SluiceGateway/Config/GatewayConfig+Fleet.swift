extension GatewayConfig {
    /// Gateways that share the servers' connection budgets.
    package struct Fleet: Hashable, Sendable {
        package enum Discovery: String, Hashable, Sendable, CaseIterable {
            /// In the list of the server's connections.
            case activity
            /// In a table, whose database `dsn` names.
            case table
        }

        package var discovery = Discovery.activity
        package var dsn: Secret?
        package var password: Secret?
        /// What relative paths in `dsn` are relative to.
        package var folder = "."
        /// Of each budget, the connection that a gateway looks by included, while it does not see the others; nil: a
        /// connection for each reactor.
        package var floor: Int?
        /// Connections of each budget that no gateway claims; nil: as many as `floor`.
        package var reserve: Int?
        /// How often a gateway looks at who is there.
        package var interval: Duration = .seconds(1)

        /// Connections to a server besides the pool's.
        var overhead: Int { discovery == .activity ? 1 : 0 }
    }

    /// Threads that run searches.
    package var laneCount: Int { min(reactors, mostLanes) }

    /// A lane without a single connection of some replica could not use it.
    var mostLanes: Int {
        var most = poolsOfReplicas.map(\.maxSize)
        if hasBudgets, let floor = fleet.floor { most.append(floor - fleet.overhead) }
        return max(1, most.min() ?? 1)
    }

    var hasBudgets: Bool { shards.contains { $0.replicas.contains { $0.pool.connectionBudget != nil } } }

    /// What a gateway that does not see the others has of each budget.
    package var fleetFloor: Int { fleet.floor ?? laneCount + fleet.overhead }

    var fleetReserve: Int { fleet.reserve ?? fleetFloor }
}
