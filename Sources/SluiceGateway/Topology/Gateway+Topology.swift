internal import Logging
internal import SluiceCore
internal import SluiceEngine

extension Gateway {
    /// Serves by the members that the shards' sources name by now, if they are others.
    func followTopology() async {
        _ = await changes.pass { await self.reports.pass { await self.takeMembers() } }
    }

    /// The same path that another configuration goes: members that come are dialled and warmed up, those that go are
    /// drained. Nothing else of the configuration is looked at again: a certificate that is broken just now does not
    /// keep a failover from being followed.
    private func takeMembers() async {
        let old = config
        let new = old.serving(topology.places)
        guard new.shards != old.shards else { return }
        let blueprint: Blueprint
        do { blueprint = try house.blueprint(of: new) } catch {
            return logger.error("the members that a topology source names cannot be served: \(error)")
        }
        if old.shards.contains(where: { $0.source != nil && $0.replicas.isEmpty }) {
            await examineFirst(new, since: old, blueprint)
        }
        await house.follow(blueprint)
        resized()
        take(new)
        for line in ConfigDifference(old, new).lines.prefix(Self.mostLines) { logger.notice("topology: \(line)") }
        for (was, shard) in zip(old.shards, new.shards) where was.replicas != shard.replicas {
            let names = shard.replicas.map(\.name).joined(separator: ", ")
            house.shared.journal.add(
                .init(.topology, shard: shard.name, "the members are \(names.isEmpty ? "none" : names)"), at: house.now)
        }
    }

    /// What lies on shards that had no members yet.
    private func examineFirst(_ new: GatewayConfig, since old: GatewayConfig, _ blueprint: Blueprint) async {
        do {
            try Self.take(try await examineNews(of: new, since: old, blueprint.catalogue), blueprint.catalogue, logger)
        } catch {
            for reason in (error as? StartRefused)?.reasons ?? ["\(error)"] { logger.error("\(reason)") }
        }
    }
}
