internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor

/// The configuration as the engine's words: each distinct server has one backend, whatever names it has.
struct Blueprint {
    private struct Server: Hashable {
        var target: ConnectionString
        var isPooled: Bool
    }

    private struct Place {
        var shard: String
        var replica: String
        var server: Server
    }

    let catalogue: Catalogue
    let pools: [PoolMachine.Configuration]
    let laneCount: Int
    private let places: [Place]
    private let workers = BlockingWorkers(limit: 8, queueLimit: 64)

    init(_ config: GatewayConfig) throws {
        var places: [Place] = []
        var pools: [PoolMachine.Configuration] = []
        var known: [Server: Int] = [:]
        let shards = try config.shards.map { shard in
            let replicas = try shard.replicas.map { replica in
                let server = Server(
                    target: try ConnectionString(replica.dsn.revealed, password: replica.password?.revealed),
                    isPooled: replica.pooler == .transaction)
                if let backend = known[server] { return Catalogue.Replica(name: replica.name, backend: backend) }
                known[server] = places.count
                places.append(Place(shard: shard.name, replica: replica.name, server: server))
                pools.append(.init(size: replica.pool.size, maxWaiting: replica.pool.maxWaiting))
                return Catalogue.Replica(name: replica.name, backend: places.count - 1)
            }
            return Catalogue.Shard(name: shard.name, replicas: replicas)
        }
        self.places = places
        self.pools = pools
        catalogue = Catalogue(shards: shards, collections: Self.collections(config))
        // A lane without a single connection of some replica could not use it.
        laneCount = max(1, min(config.reactors, pools.map(\.size).min() ?? 1))
    }

    func backends(on reactors: [Reactor]) -> [PostgresBackend] {
        places.map { place in
            PostgresBackend(
                shardName: place.shard, replicaName: place.replica,
                settings: ConnectionSettings(
                    target: place.server.target, isPooled: place.server.isPooled, workers: workers),
                reactors: reactors)
        }
    }

    private static func collections(_ config: GatewayConfig) -> [Collection] {
        let places = Dictionary(uniqueKeysWithValues: config.shards.enumerated().map { ($1.name, $0) })
        return config.collections.map { collection in
            Collection(
                name: collection.name, schema: collection.schema, table: collection.table,
                idColumn: collection.idColumn, vectorColumn: collection.vectorColumn,
                metric: Metric(rawValue: collection.metric.rawValue) ?? .l2, dimensions: collection.dimensions,
                columns: collection.columns, shards: collection.shards.compactMap { places[$0] })
        }
    }
}
