internal import SluiceCore
package import SluiceTopology

/// Judges what has come of following a shard's source. Pure.
package enum TopologyJudge {
    /// - Parameter isProbed: each of its witnesses is asked by itself, too, and what there is to say of it said there.
    package static func findings(
        _ shard: String, _ report: ShardWatch.Report, isProbed: Bool = false
    ) -> [Finding] {
        let witnesses = isProbed ? report.source.endpoints.map { "\($0.name): " } : []
        let complaints = report.complaints.filter { complaint in !witnesses.contains { complaint.hasPrefix($0) } }
        var findings = complaints.map { Finding(.warning, .topology, shard: shard, "topology: \($0)") }
        if report.isFenced, case .refused(let refusal) = report.verdict {
            let isUnheard = refusal == .unheard || refusal == .silent
            findings.append(
                Finding(
                    .error, isUnheard ? .reach : .topology, shard: shard, "it takes no writes: \(refusal.words)"))
        }
        if report.members.isEmpty {
            findings.append(Finding(.error, .reach, shard: shard, "its topology source names no members"))
        }
        for member in report.members where !member.isRunning {
            findings.append(
                Finding(
                    .warning, .topology, shard: shard, replica: member.name,
                    "its topology source does not say that it runs"))
        }
        return findings
    }
}
