package import SluiceCore
package import SluiceTopology

extension GatewayConfig {
    /// Where a shard's replicas come from, if the file does not list them.
    package struct TopologySource: Hashable, Sendable {
        package var settings: TopologySettings
        /// What each member's replica is like, but for its name and where it is.
        package var template: Replica

        /// - Parameter place: its name and host are checked where they came from: they have nothing in them that would
        ///   have to be escaped.
        func replica(at place: MemberPlace) -> Replica {
            var replica = template
            replica.name = place.name
            replica.dsn = Secret("\(template.dsn.revealed) host='\(place.host)' port=\(place.port)")
            replica.member = place
            return replica
        }
    }

    /// The same with the members that shards' sources name as their replicas.
    /// - Parameter places: by the shard's name.
    package func serving(_ places: [String: [MemberPlace]]) -> GatewayConfig {
        var config = self
        for number in config.shards.indices {
            guard let source = config.shards[number].source else { continue }
            config.shards[number].replicas = (places[config.shards[number].name] ?? []).map(source.replica)
        }
        return config
    }

    var hasSources: Bool { shards.contains { $0.source != nil } }

    /// Those of each replica, and what a member that comes would have.
    var poolsOfReplicas: [PoolSettings] {
        shards.flatMap { $0.replicas.map(\.pool) + ($0.source.map { [$0.template.pool] } ?? []) }
    }
}
