internal import SluiceGateway
internal import SluiceMetrics

extension GatewayState {
    /// Of shards whose replicas a source names.
    var topologyFamilies: [MetricFamily] {
        func family(
            _ name: String, _ help: String, _ value: (Topology) -> Double?
        ) -> MetricFamily {
            MetricFamily(
                name, .gauge, help,
                shards.flatMap { shard -> [MetricFamily.Sample] in
                    shard.topology.flatMap(value).map { [.init($0, [.init("shard", shard.name)])] } ?? []
                })
        }
        return [
            family("sluice_topology_age_seconds", "Since the source of the shard's topology was heard.") { $0.age },
            family("sluice_topology_writable", "1 if the source names a leader that may be written to.") {
                $0.isFenced ? ($0.writable == nil ? 0 : 1) : nil
            },
            family("sluice_topology_timeline", "The highest timeline that was seen.") { Double($0.timeline) },
            family("sluice_topology_members", "The members that are known.") { Double($0.members.count) },
            family("sluice_topology_complaints", "What is wrong with what the source says.") {
                Double($0.complaints.count)
            },
            MetricFamily(
                "sluice_topology_refused", .counter, "How often a write was held up, by the reason.",
                shards.flatMap { shard in
                    (shard.topology?.isFenced == true ? shard.topology?.refusals ?? [] : []).map {
                        .init(Double($0.count), [.init("shard", shard.name), .init("reason", $0.reason)])
                    }
                }),
        ]
    }
}
