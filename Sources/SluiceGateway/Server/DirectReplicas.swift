internal import CoreMetrics
package import SluiceCore
package import SluiceEngine
internal import SluicePostgres
package import SluiceReactor
package import SluiceWire

/// The replicas of a configuration, to be asked without a gateway: the same connections and the same statements, but no
/// sessions, lanes, pools, breakers, retries or hedges. What `sluice bench --direct` measures.
package struct DirectReplicas: Sendable {
    package let catalogue: Catalogue
    /// In the order of the catalogue's backend numbers.
    package let backends: [any SearchBackend]
    /// By shard: which of its replicas are asked, if there are such; nil for all.
    package let preferredRoles: [ReplicaRole?]
    package let connectTimeout: Duration
    package let maximumLegBytes: Int
    /// Sorted by name, as a gateway describes them.
    package let collections: [CollectionDescription]
    private let topology: Topology
    private let plans: PlanLimits
    private let limits: GatewayConfig.Limits
    private let versions: [VersionRecord]

    /// - Parameter reactors: what connections are made on, by the number of the lane.
    /// - Throws: `PostgresFailure` that says what is wrong with a connection string; `NoReplicas`.
    package init(_ config: GatewayConfig, on reactors: [Reactor]) throws {
        if let shard = config.shards.first(where: { $0.replicas.isEmpty }) { throw NoReplicas(shard: shard.name) }
        // A budget is kept by gateways that speak to each other; nobody here would give a permit.
        var alone = config
        for shard in alone.shards.indices {
            for replica in alone.shards[shard].replicas.indices {
                alone.shards[shard].replicas[replica].pool.connectionBudget = nil
            }
        }
        let blueprint = try Blueprint(alone)
        let lane = blueprint.laneConfiguration
        topology = blueprint.sharedState(on: reactors, metrics: NOOPMetricsHandler.instance).topology
        catalogue = topology.catalogue
        backends = topology.backends
        plans = lane.plans
        limits = config.limits
        versions = blueprint.versions
        collections = config.collections.sorted { $0.name < $1.name }.map { CollectionDescription($0) }
        preferredRoles = config.shards.map { shard in
            switch shard.prefer {
            case .any: nil
            case .primary: .primary
            case .standby: .standby
            }
        }
        connectTimeout = lane.connectTimeout
        maximumLegBytes = lane.maximumLegBytes
    }

    /// Only a running gateway, which looks into the source again and again, knows a shard's replicas.
    package struct NoReplicas: Error, CustomStringConvertible {
        let shard: String

        package var description: String {
            "the configuration lists no replicas of shard \(shard), which are found by its source; name them for this"
        }
    }

    /// What the servers run that there was a connection to.
    package var servers: [ServerDescription] { catalogue.servers(versions) }

    /// A planner for one lane.
    package func planner() -> Planner {
        Planner(statements: StatementPlanner(topology, limits: plans), limits: limits)
    }

    /// Requests as clients make them, as statements. By one caller at a time.
    package struct Planner {
        fileprivate var statements: StatementPlanner
        fileprivate let limits: GatewayConfig.Limits

        /// - Returns: the statements, and by when they have to be answered.
        package mutating func plan(
            _ request: SearchRequest, now: Instant
        ) throws(SearchError) -> (statements: [PlannedStatement], deadline: Instant) {
            let search: Search
            do throws(WireError) { search = try Search(request, limits: limits, now: now) } catch {
                throw SearchError(.invalidArgument, error.message)
            }
            return (try statements.statements(for: search), search.deadline)
        }

        package mutating func plan(
            _ request: GetRequest, now: Instant
        ) throws(SearchError) -> (statements: [PlannedStatement], deadline: Instant) {
            let rows: RowRequest
            do throws(WireError) { rows = try RowRequest(request, limits: limits, now: now) } catch {
                throw SearchError(.invalidArgument, error.message)
            }
            return (try statements.statements(for: rows), rows.deadline)
        }
    }
}
