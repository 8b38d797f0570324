package import SluicePostgres

/// Judges what is known of a shard's servers, whatever lies there. Pure.
package enum ShardJudge {
    /// What came of a dial.
    package struct Replica: Hashable, Sendable {
        package var name: String
        /// Two names with the same one are one server.
        package var target: String
        /// Nil if it could not be reached.
        package var facts: ServerFacts?

        package init(name: String, target: String, facts: ServerFacts?) {
            self.name = name
            self.target = target
            self.facts = facts
        }
    }

    /// - Parameter replicas: all of the shard's; of those that cannot be reached nothing is said.
    package static func roles(_ shard: String, prefer: GatewayConfig.Preference, _ replicas: [Replica]) -> [Finding] {
        let reached = replicas.filter { $0.facts != nil }
        if reached.isEmpty { return [] }
        var findings: [Finding] = []
        let primaries = reached.filter { $0.facts?.isStandby == false }
        if Set(primaries.map(\.target)).count > 1 {
            findings.append(
                Finding(
                    .warning, shard: shard,
                    "\(primaries.map(\.name).joined(separator: " and ")) are primaries both: unless something keeps "
                        + "their rows the same, answers depend on who is asked"))
        }
        switch prefer {
        case .primary where primaries.isEmpty:
            findings.append(
                Finding(.warning, shard: shard, "it prefers its primary, and no replica that was reached is one"))
        case .standby where primaries.count == reached.count:
            findings.append(
                Finding(.warning, shard: shard, "it prefers its standbys, and no replica that was reached is one"))
        default: break
        }
        return findings
    }

    /// Nil if pgvector is new enough for all that a search may ask for.
    package static func version(_ facts: ServerFacts, shard: String, replica: String) -> Finding? {
        let numbers = facts.vectorVersion.split(separator: ".").map { Int($0) ?? 0 }
        guard numbers.lexicographicallyPrecedes([0, 8]) else { return nil }
        return Finding(
            .warning, shard: shard, replica: replica,
            "pgvector is \(facts.vectorVersion); iterative scans need 0.8.0 or newer: install it and run "
                + "ALTER EXTENSION vector UPDATE")
    }
}
