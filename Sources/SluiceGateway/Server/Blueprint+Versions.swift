internal import SluiceEngine
internal import SluicePostgres
internal import SluiceWire

extension Blueprint {
    /// What the replicas' servers run, as far as that is known.
    var servers: [ServerDescription] { catalogue.servers(versions) }
}

extension Catalogue {
    /// - Parameter versions: in the order of the backends.
    func servers(_ versions: [VersionRecord]) -> [ServerDescription] {
        shards.flatMap { shard in
            shard.replicas.compactMap { replica in
                guard versions.indices.contains(replica.backend),
                    let known = versions[replica.backend].versions
                else { return nil }
                return ServerDescription(
                    shard: shard.name, replica: replica.name, postgres: known.postgres, vector: known.vector)
            }
        }
    }
}
