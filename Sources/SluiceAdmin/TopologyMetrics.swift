package import SluiceGateway
package import SluiceMetrics

/// Of shards whose replicas a source names.
package enum TopologyMetrics {
    private typealias Sample = MetricFamily.Sample

    package static func families(_ shards: [(name: String, topology: GatewayState.Topology)]) -> [MetricFamily] {
        func family(
            _ name: String, _ help: String, _ value: (GatewayState.Topology) -> Double?
        ) -> MetricFamily {
            MetricFamily(
                name, .gauge, help,
                shards.compactMap { shard in value(shard.topology).map { Sample($0, [.init("shard", shard.name)]) } })
        }
        return [
            family("sluice_topology_source_age_seconds", "Since the source of the shard's topology was heard.") {
                $0.age
            },
            family("sluice_topology_source_up", "1 if the source of the shard's topology is heard as it should be.") {
                $0.isUp ? 1 : 0
            },
            family("sluice_topology_writable", "1 if the source names a leader that may be written to.") {
                $0.isFenced ? ($0.writable == nil ? 0 : 1) : nil
            },
            family("sluice_topology_timeline", "The highest timeline that was seen.") { Double($0.timeline) },
            family("sluice_topology_members", "The members that are known.") { Double($0.members.count) },
            family("sluice_topology_complaints", "What is wrong with what the source says.") {
                Double($0.complaints.count)
            },
        ] + events(shards)
    }

    private static func events(_ shards: [(name: String, topology: GatewayState.Topology)]) -> [MetricFamily] {
        func family(
            _ name: String, _ kind: MetricFamily.Kind, _ help: String, label: String,
            _ values: (GatewayState.Topology) -> [(String, Double)]
        ) -> MetricFamily {
            MetricFamily(
                name, kind, help,
                shards.flatMap { shard in
                    values(shard.topology).map { of, value in
                        Sample(value, [.init("shard", shard.name), .init(label, of)])
                    }
                })
        }
        return [
            family(
                "sluice_topology_endpoint_up", .gauge, "1 if it answered when it was asked last.", label: "endpoint"
            ) { topology in
                // One that was never asked is neither.
                topology.endpoints.filter { $0.age != nil || $0.error != nil }
                    .map { ($0.name, $0.isAnswering ? 1 : 0) }
            },
            family(
                "sluice_topology_changes", .counter, "How often there was another leader, or other members.",
                label: "kind"
            ) { topology in
                let members = ("members", Double(topology.memberChanges))
                return topology.isFenced ? [("leader", Double(topology.leaderChanges)), members] : [members]
            },
            family(
                "sluice_topology_refusals", .counter, "How often a write was held up, by the reason.", label: "cause"
            ) { topology in
                topology.isFenced ? topology.refusals.map { ($0.reason, Double($0.count)) } : []
            },
        ]
    }
}

extension GatewayState {
    var topologyFamilies: [MetricFamily] {
        TopologyMetrics.families(shards.compactMap { shard in shard.topology.map { (shard.name, $0) } })
    }
}
