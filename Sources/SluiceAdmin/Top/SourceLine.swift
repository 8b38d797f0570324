internal import SluiceGateway

/// Where a shard's replicas come from, and whether it can be written to, in one line of `sluice top`.
struct SourceLine {
    let text: String
    /// It is not heard as it should be, or nobody of the shard may be written to.
    let isDoubtful: Bool

    /// Nil if the configuration lists the replicas.
    init?(_ shard: GatewayState.Shard) {
        guard let topology = shard.topology else { return nil }
        var words = ["\(topology.source) \(topology.state == "current" ? topology.state : topology.state.uppercased())"]
        if let refused = topology.refused { words.insert("NO WRITES (\(refused))", at: 0) }
        if let age = topology.age { words.append("heard \(Shown.seconds(age)) ago") }
        if let leader = topology.leader { words.append("leader \(leader)") }
        if let timeline = topology.leaderTimeline { words.append("timeline \(timeline)") }
        if topology.timeline > topology.leaderTimeline ?? 0 { words.append("highest timeline \(topology.timeline)") }
        text = "  \(shard.name): \(words.joined(separator: ", "))"
        isDoubtful = topology.refused != nil || topology.state != "current"
    }

    /// Of one shard all that there is to say.
    static func details(of topology: GatewayState.Topology?) -> [String] {
        guard let topology else { return [] }
        let age = topology.age.map { ", heard \(Shown.seconds($0)) ago" } ?? ""
        var lines = ["source       \(topology.source)\(age): \(topology.words)"]
        if let words = topology.refusedWords { lines.append("writes       none: \(words)") }
        lines += topology.endpoints.map { endpoint in
            let answer = endpoint.age.map { "answered \(Shown.seconds($0)) ago (\(endpoint.said ?? ""))" }
            let error = endpoint.error.map { "\(Shown.seconds(endpoint.errorAge)) ago: \($0)" }
            return "  \(endpoint.name): \([answer, error].compactMap(\.self).joined(separator: "; "))"
        }
        return lines
    }
}
