package import Logging
package import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor
package import SluiceTopology
internal import Synchronization

/// Follows the topology sources of all shards that have one.
package final class TopologyKeeper: Sendable {
    fileprivate struct Follower: Sendable {
        let watch: ShardWatch
        let task: Task<Void, Never>
    }

    fileprivate struct State {
        var followers: [String: Follower] = [:]
        /// Of all shards that were ever followed: what is served without a source for a while still has a timeline.
        var memories: [String: StateFile.Content] = [:]
    }

    /// What a configuration has followed, before it is in force. It is to be adopted or discarded.
    package struct Prospect: Sendable {
        fileprivate var followers: [String: Follower] = [:]
        /// Those that do not follow for what is in force.
        fileprivate var fresh: Set<String> = []

        /// The members of each shard, as they are known by now.
        package var places: [String: [MemberPlace]] { followers.mapValues(\.watch.places) }
    }

    /// Something is to be served by other members.
    let changes = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    private let state = Mutex(State())
    private let keepsState: Bool
    private let resolver = AddressResolver(workers: BlockingWorkers(limit: 2, queueLimit: 1_024))
    private let logger: Logger

    /// - Parameter keepsState: false for a look that changes no state file.
    package init(_ config: GatewayConfig, keepsState: Bool = true, logger: Logger) {
        self.keepsState = keepsState
        self.logger = logger
        adopt(prospect(of: config))
    }

    deinit { stop() }

    /// Begins to follow what is new in a configuration, beside what follows now. A shard whose source has changed, or
    /// that had none for a while, keeps its timeline, and its members until the source is heard.
    package func prospect(of config: GatewayConfig) -> Prospect {
        let wanted = Dictionary(
            config.shards.compactMap { shard in shard.source.map { (shard.name, $0.settings) } },
            uniquingKeysWith: { first, _ in first })
        let known = state.withLock { state in
            wanted.keys.reduce(into: [String: (follower: Follower?, memory: StateFile.Content?)]()) { known, name in
                known[name] = (state.followers[name], state.memory(of: name))
            }
        }
        // A new one reads its state file: not while every write waits for the lock.
        var prospect = Prospect()
        for (name, settings) in wanted {
            if let follower = known[name]?.follower, follower.watch.settings == settings {
                prospect.followers[name] = follower
                continue
            }
            let watch = watch(name, settings, after: known[name]?.memory)
            prospect.followers[name] = Follower(watch: watch, task: Task { await watch.run() })
            prospect.fresh.insert(name)
        }
        return prospect
    }

    /// Ends what followed until now and is not part of it.
    package func adopt(_ prospect: Prospect) {
        let fresh = state.withLock { state in
            for (name, follower) in state.followers where prospect.followers[name]?.watch !== follower.watch {
                follower.task.cancel()
                state.memories[name] = follower.watch.memory
            }
            let fresh = prospect.fresh.compactMap { prospect.followers[$0]?.watch }
            for watch in fresh { if let memory = state.memories[watch.shard] { watch.remember(memory) } }
            state.followers = prospect.followers
            return fresh
        }
        // A round that has ended meanwhile has told of members that were not served then.
        changes.continuation.yield()
        if keepsState { for watch in fresh { watch.beginKeeping() } }
    }

    /// What it was to follow is not to be; what it has heard counts for nothing.
    package func discard(_ prospect: Prospect) {
        for name in prospect.fresh { prospect.followers[name]?.task.cancel() }
    }

    private func watch(_ shard: String, _ settings: TopologySettings, after memory: StateFile.Content?) -> ShardWatch {
        ShardWatch(
            shard: shard, settings, after: memory, keepsState: false, logger: logger,
            names: resolver.lookUp,
            now: { Instant(nanoseconds: Reactor.now()) },
            onRound: { [changes] in if $0 { changes.continuation.yield() } })
    }

    package func stop() {
        changes.continuation.finish()
        state.withLock { state in
            for follower in state.followers.values { follower.task.cancel() }
        }
    }

    /// Returns when each source has been heard or has failed once, or at the limit.
    func awaitFirst(within limit: Duration) async {
        await Prospect(followers: state.withLock(\.followers)).awaitFirst(within: limit)
    }

    package func watch(_ shard: String) -> ShardWatch? { state.withLock { $0.followers[shard]?.watch } }

    /// The members of each shard, as they were known last.
    var places: [String: [MemberPlace]] {
        state.withLock { Prospect(followers: $0.followers).places }
    }

    /// Those of the shards whose source names a leader.
    func fences(of config: GatewayConfig) -> [String: any WriteFence] {
        let fenced = config.shards.filter { $0.source?.settings.namesLeader == true }
        return Dictionary(
            fenced.map { ($0.name, ShardFence(shard: $0.name, keeper: self) as any WriteFence) },
            uniquingKeysWith: { first, _ in first })
    }
}

extension TopologyKeeper.State {
    fileprivate func memory(of shard: String) -> StateFile.Content? {
        followers[shard]?.watch.memory ?? memories[shard]
    }
}

extension TopologyKeeper.Prospect {
    /// Returns when each source has been heard or has failed once, or at the limit.
    func awaitFirst(within limit: Duration) async {
        let watches = followers.values.map(\.watch)
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
}

/// A shard's fence, whoever follows its source just now.
private struct ShardFence: WriteFence {
    let shard: String
    let keeper: TopologyKeeper

    func verdict(now: Instant) -> ShardTopology.Verdict {
        keeper.watch(shard)?.verdict(now: now) ?? .refused(.unheard)
    }

    var named: MemberPlace? { keeper.watch(shard)?.named }
    var systemIdentifier: UInt64? { keeper.watch(shard)?.systemIdentifier }

    func refusal(
        of place: MemberPlace, on timeline: UInt32, systemIdentifier: UInt64?, now: Instant
    ) -> WriteRefusal? {
        guard let watch = keeper.watch(shard) else { return .unheard }
        return watch.refusal(of: place, on: timeline, systemIdentifier: systemIdentifier, now: now)
    }

    func noteRefusal(_ refusal: WriteRefusal) { keeper.watch(shard)?.noteRefusal(refusal) }
}

extension GatewayConfig {
    /// The same with the members that the shards' sources name, asked once; and what there is to say of those.
    /// - Parameters:
    ///   - limit: what is not known by then is left out.
    ///   - isProbed: what there is to say of single witnesses is said elsewhere.
    func resolvingSources(
        within limit: Duration, isProbed: Bool = false
    ) async -> (config: GatewayConfig, findings: [Finding]) {
        guard hasSources else { return (self, []) }
        let logger = Logger(label: "sluice") { _ in SwiftLogNoOpLogHandler() }
        let keeper = TopologyKeeper(self, keepsState: false, logger: logger)
        defer { keeper.stop() }
        await keeper.awaitFirst(within: limit)
        let now = Instant(nanoseconds: Reactor.now())
        let findings = shards.flatMap { shard in
            keeper.watch(shard.name).map {
                TopologyJudge.findings(shard.name, $0.report(now: now), isProbed: isProbed)
            } ?? []
        }
        return (serving(keeper.places), findings)
    }
}
