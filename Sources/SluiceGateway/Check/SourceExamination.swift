internal import SluiceCore
internal import SluicePostgres
internal import SluiceReactor
internal import SluiceTopology

/// Asks the witnesses of all shards' sources, for `sluice doctor`.
enum SourceExamination {
    /// What was said, by the shard.
    typealias Words = [String: [SourceProbe.Word]]

    /// A witness is waited for longer than by a gateway, so that one that is slow is told from one that is not there.
    static func patience(_ settings: TopologySettings) -> Duration {
        min(max(settings.timeout * 5, .seconds(5)), .seconds(30))
    }

    /// All shards at a time.
    static func ask(_ config: GatewayConfig) async -> Words {
        guard config.hasSources else { return [:] }
        let names = AddressResolver(workers: BlockingWorkers(limit: 2, queueLimit: 1_024)).lookUp
        return await withTaskGroup(of: (String, [SourceProbe.Word]).self) { group in
            for shard in config.shards {
                guard let settings = shard.source?.settings else { continue }
                group.addTask {
                    let probe = SourceProbe(
                        settings, patience: patience(settings), names: names,
                        now: { Instant(nanoseconds: Reactor.now()) })
                    return (shard.name, await probe.ask())
                }
            }
            return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
    }

    /// - Parameter servers: those of all shards.
    static func findings(
        _ config: GatewayConfig, _ words: Words, servers: [Examination.Server]
    ) -> [Finding] {
        config.shards.flatMap { shard -> [Finding] in
            guard let settings = shard.source?.settings, let words = words[shard.name] else { return [] }
            // That it cannot be read is told by whoever follows the source.
            let kept = settings.stateFile.flatMap { (try? StateFile(path: $0, shard: shard.name).read()) ?? nil }
            let judge = SourceJudge(
                shard.name, settings, patience: patience(settings), remembered: kept?.timeline ?? 0)
            return judge.findings(
                words,
                servers: servers.filter { $0.shard == shard.name }.compactMap { server in
                    let identity = server.identity ?? server.isStandby.map { ServerIdentity(isStandby: $0) }
                    return identity.map { SourceJudge.Server(server.replica, $0) }
                })
        }
    }
}

extension AddressResolver {
    /// For sources.
    var lookUp: ShardWatch.NameLookUp {
        { name, patience in
            try? await self.addresses(
                of: name, deadline: Instant(nanoseconds: Reactor.now()).advanced(by: patience).nanoseconds)
        }
    }
}
