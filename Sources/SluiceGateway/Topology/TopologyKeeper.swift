internal import Logging
internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor
internal import SluiceTopology
internal import Synchronization

/// Follows the topology sources of all shards that have one.
final class TopologyKeeper: Sendable {
    private struct Follower: Sendable {
        let watch: ShardWatch
        let task: Task<Void, Never>
    }

    /// Something is to be served by other members.
    let changes = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    private let followers = Mutex<[String: Follower]>([:])
    private let keepsState: Bool
    private let resolver = AddressResolver(workers: BlockingWorkers(limit: 2, queueLimit: 1_024))
    private let logger: Logger

    /// - Parameter keepsState: false for a look that changes no state file.
    init(_ config: GatewayConfig, keepsState: Bool = true, logger: Logger) {
        self.keepsState = keepsState
        self.logger = logger
        follow(config)
    }

    deinit { stop() }

    /// Begins to follow what is new in a configuration, and ends what is not in it any more. A shard whose source has
    /// changed keeps its timeline, and its members until the source is heard.
    func follow(_ config: GatewayConfig) {
        let wanted = Dictionary(
            config.shards.compactMap { shard in shard.source.map { (shard.name, $0.settings) } },
            uniquingKeysWith: { first, _ in first })
        followers.withLock { followers in
            var earlier: [String: ShardWatch] = [:]
            for (name, follower) in followers where wanted[name] != follower.watch.settings {
                follower.task.cancel()
                earlier[name] = follower.watch
                followers[name] = nil
            }
            for (name, settings) in wanted where followers[name] == nil {
                let watch = watch(name, settings, after: earlier[name])
                followers[name] = Follower(watch: watch, task: Task { await watch.run() })
            }
        }
    }

    private func watch(_ shard: String, _ settings: TopologySettings, after earlier: ShardWatch?) -> ShardWatch {
        ShardWatch(
            shard: shard, settings, after: earlier, keepsState: keepsState, logger: logger,
            names: { [resolver] name, patience in
                try? await resolver.addresses(
                    of: name, deadline: Instant(nanoseconds: Reactor.now()).advanced(by: patience).nanoseconds)
            },
            now: { Instant(nanoseconds: Reactor.now()) },
            onRound: { [changes] in if $0 { changes.continuation.yield() } })
    }

    func stop() {
        changes.continuation.finish()
        followers.withLock { followers in
            for follower in followers.values { follower.task.cancel() }
        }
    }

    /// Returns when each source has been heard or has failed once, or at the limit.
    func awaitFirst(within limit: Duration) async {
        let watches = followers.withLock { $0.values.map(\.watch) }
        guard !watches.isEmpty else { return }
        let ends = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        // Not waited for: whoever waits for a source that says nothing goes when it is told to stop.
        Task {
            for watch in watches { await watch.awaitFirst() }
            ends.continuation.finish()
        }
        let timer = Task {
            try? await Task.sleep(for: limit)
            ends.continuation.finish()
        }
        for await _ in ends.stream {}
        timer.cancel()
    }

    func watch(_ shard: String) -> ShardWatch? { followers.withLock { $0[shard]?.watch } }

    /// The members of each shard, as they were known last.
    var places: [String: [MemberPlace]] { followers.withLock { $0.mapValues(\.watch.places) } }

    /// Those of the shards whose source names a leader.
    func fences(of config: GatewayConfig) -> [String: any WriteFence] {
        let fenced = config.shards.filter { $0.source?.settings.namesLeader == true }
        return Dictionary(
            fenced.map { ($0.name, ShardFence(shard: $0.name, keeper: self) as any WriteFence) },
            uniquingKeysWith: { first, _ in first })
    }
}

/// A shard's fence, whoever follows its source just now.
private struct ShardFence: WriteFence {
    let shard: String
    let keeper: TopologyKeeper

    func verdict(now: Instant) -> ShardTopology.Verdict {
        keeper.watch(shard)?.verdict(now: now) ?? .refused(.unheard)
    }

    func refusal(of place: MemberPlace, on timeline: UInt32, now: Instant) -> WriteRefusal? {
        guard let watch = keeper.watch(shard) else { return .unheard }
        return watch.refusal(of: place, on: timeline, now: now)
    }

    func noteRefusal(_ refusal: WriteRefusal) { keeper.watch(shard)?.noteRefusal(refusal) }
}

extension GatewayConfig {
    /// The same with the members that the shards' sources name, asked once; and what there is to say of those.
    /// - Parameter limit: what is not known by then is left out.
    func resolvingSources(within limit: Duration) async -> (config: GatewayConfig, findings: [Finding]) {
        guard hasSources else { return (self, []) }
        let logger = Logger(label: "sluice") { _ in SwiftLogNoOpLogHandler() }
        let keeper = TopologyKeeper(self, keepsState: false, logger: logger)
        defer { keeper.stop() }
        await keeper.awaitFirst(within: limit)
        let now = Instant(nanoseconds: Reactor.now())
        let findings = shards.flatMap { shard in
            keeper.watch(shard.name).map { TopologyJudge.findings(shard.name, $0.report(now: now)) } ?? []
        }
        return (serving(keeper.places), findings)
    }
}

/// Judges what a shard's source has said. Pure.
enum TopologyJudge {
    static func findings(_ shard: String, _ report: ShardWatch.Report) -> [Finding] {
        var findings = report.complaints.map { Finding(.warning, .topology, shard: shard, "topology: \($0)") }
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
