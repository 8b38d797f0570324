internal import SluiceCore
internal import SluicePostgres

extension ReshardConnector {
    /// Lets writers go on with the old tables, on connections of its own, even if the caller's task has been cancelled.
    /// A shard that cannot be reached does not keep those of the others waiting.
    func lowerOldFence(_ layout: ReshardLayout) async throws(ReshardProblem) {
        let connector = self
        let lowering = Task { () async -> [ReshardProblem] in
            await withTaskGroup(of: ReshardProblem?.self) { group in
                for shard in layout.old.shards {
                    group.addTask { await connector.lowerFence(of: layout.old, on: shard) }
                }
                return await group.reduce(into: []) { problems, problem in
                    if let problem { problems.append(problem) }
                }
            }
        }
        let problems = await lowering.value
        guard let first = problems.first else { return }
        throw ReshardProblem(
            first.kind,
            all: problems.flatMap(\.messages) + [
                "writes to \(layout.collection) may still be refused there: run it again, or with --abort"
            ])
    }

    private func lowerFence(of side: ReshardLayout.Side, on shard: String) async -> ReshardProblem? {
        let site: ReshardSite
        do throws(ReshardProblem) { site = try await primary(of: shard).get() } catch { return error }
        var problem: ReshardProblem?
        do throws(ReshardProblem) { try await site.lowerFence(on: side) } catch { problem = error }
        await site.connection.close()
        return problem
    }
}

extension ReshardSite {
    /// Does nothing where the table has no fence.
    func lowerFence(on side: ReshardLayout.Side) async throws(ReshardProblem) {
        let there = try await rows(ReshardStatements.triggers, [side.quoted])
        guard there.contains([ReshardStatements.fenceTrigger]) else { return }
        try await changeLocking([ReshardStatements.lowerFence(on: side.quoted)])
    }
}

// MARK: The epoch that is in force

extension ReshardSite {
    /// What the database says of the collection's epoch; nil if it says nothing.
    func epoch(of collection: String) async throws(ReshardProblem) -> Int? {
        guard try await value(LayoutTable.isThere) == "t" else { return nil }
        return try await value(ReshardStatements.epoch, [collection]).flatMap { Int($0) }
    }
}

extension ReshardConnector {
    /// The switch has begun, as far as the shards of both layouts that can be reached know of it. The record may be
    /// older, if the first old shard has failed over to a server that was behind.
    func hasSwitched(_ layout: ReshardLayout) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            for shard in layout.shards {
                group.addTask {
                    guard case .success(let site) = await primary(of: shard) else { return false }
                    var has = false
                    do throws(ReshardProblem) { has = try await Self.hasSwitched(layout, [site]) } catch {}
                    await site.connection.close()
                    return has
                }
            }
            return await group.reduce(false) { $0 || $1 }
        }
    }

    /// The same, of these sites.
    static func hasSwitched(_ layout: ReshardLayout, _ sites: [ReshardSite]) async throws(ReshardProblem) -> Bool {
        for site in sites {
            if let epoch = try await site.epoch(of: layout.collection), epoch >= layout.epoch { return true }
        }
        return false
    }
}
