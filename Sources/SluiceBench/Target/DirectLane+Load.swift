internal import SluiceCore
internal import SluiceEngine
internal import SluiceGateway
internal import SluiceReactor

/// Rows that are written to the primaries.
extension DirectLane {
    /// What became of a part of a load.
    private enum Fate: Sendable {
        case done
        /// The server said no, and has done nothing.
        case refused(BenchFailure)
        case unknown(BenchFailure)

        var failure: BenchFailure? {
            switch self {
            case .done: nil
            case .refused(let failure), .unknown(let failure): failure
            }
        }
    }

    private typealias Ended = (slot: Slot, fate: Fate)

    /// Asks the shards' primaries what is needed for loads.
    func prepare(_ question: BlockLoad.Question) async throws(BenchFailure) -> BlockLoad {
        var answers: [[WriteResult]] = []
        for shard in question.shards { answers.append(try await run(question.command, onPrimaryOf: shard)) }
        do throws(SearchError) { return try BlockLoad(question, answers) } catch { throw BenchFailure(error) }
    }

    /// Copies a block's rows: to all their shards, or to none unless a commit fails.
    func load(_ rows: [UInt8], by blocks: BlockLoad) async throws(BenchFailure) {
        let parts: [BlockLoad.Part]
        do throws(SearchError) { parts = try blocks.parts(of: rows) } catch {
            throw BenchFailure(error).with(.none)
        }
        // In the shards' order, so that no two loads wait for each other.
        var slots: [Slot] = []
        for part in parts { slots.append(await lease(part.shard, .writing)) }
        let deadline = reactor.now().advanced(by: BlockLoad.timeout)
        let copied = await onAll(slots) { lane, place, slot in
            await lane.run(on: slot) { connection throws(BackendFailure) in
                _ = try await connection.run(BlockLoad.opening, deadline: deadline)
                _ = try await connection.copy(blocks.command, parts[place].copy, deadline: deadline)
            }
        }
        slots = copied.map(\.slot)
        let failure = copied.lazy.compactMap(\.fate.failure).first
        let end = failure == nil ? BlockLoad.commit : BlockLoad.rollback
        let ended = await onAll(slots) { lane, _, slot in
            // Closed in its transaction, which is as good as a rollback.
            guard slot.connection != nil else { return (slot, .done) }
            return await lane.run(on: slot) { connection throws(BackendFailure) in
                _ = try await connection.run(end, deadline: deadline)
            }
        }
        for (part, one) in zip(parts, ended) {
            var slot = one.slot
            // Its transaction may still be open.
            if one.fate.failure != nil, let connection = slot.connection.take() { await connection.close() }
            giveBack(slot, to: part.shard, .writing)
        }
        if let failure { throw failure.with(.none) }
        try Self.check(ended.map(\.fate))
    }

    private static func check(_ fates: [Fate]) throws(BenchFailure) {
        guard let failure = fates.lazy.compactMap(\.failure).first else { return }
        let isKnown = fates.allSatisfy { if case .unknown = $0 { false } else { true } }
        let isRefused = fates.allSatisfy { if case .refused = $0 { true } else { false } }
        throw failure.with(!isKnown ? .unknown : isRefused ? .none : .partial)
    }

    func delete(_ ids: [Int64], by blocks: BlockLoad) async throws(BenchFailure) {
        for (shard, command) in blocks.deletes(ids) { _ = try await run(command, onPrimaryOf: shard) }
    }

    private func run(
        _ command: WriteCommand, onPrimaryOf shard: Int
    ) async throws(BenchFailure) -> [WriteResult] {
        var slot = await lease(shard, .writing)
        defer { giveBack(slot, to: shard, .writing) }
        let connection = try await connection(of: &slot)
        do throws(BackendFailure) {
            return try await connection.run([command], deadline: reactor.now().advanced(by: BlockLoad.timeout))
        } catch {
            if await !connection.settle() { slot.connection = nil }
            throw BenchFailure(error)
        }
    }

    private func run(
        on slot: Slot, _ work: @Sendable (any BackendConnection) async throws(BackendFailure) -> Void
    ) async -> Ended {
        var slot = slot
        let connection: any BackendConnection
        do throws(BenchFailure) { connection = try await self.connection(of: &slot) } catch {
            return (slot, .refused(error))
        }
        do throws(BackendFailure) {
            try await work(connection)
            return (slot, .done)
        } catch {
            if await !connection.settle() { slot.connection = nil }
            return (slot, error.sqlState == nil ? .unknown(BenchFailure(error)) : .refused(BenchFailure(error)))
        }
    }

    /// The same on all of these connections side by side; what became of it, in their order.
    private func onAll(
        _ slots: [Slot], _ work: @escaping @Sendable (DirectLane, Int, Slot) async -> Ended
    ) async -> [Ended] {
        guard slots.count > 1 else {
            var all: [Ended] = []
            for (place, slot) in slots.enumerated() { all.append(await work(self, place, slot)) }
            return all
        }
        return await withTaskGroup(of: (Int, Ended).self) { group in
            for (place, slot) in slots.enumerated() {
                group.addTask(executorPreference: reactor) { (place, await work(self, place, slot)) }
            }
            var all: [(place: Int, ended: Ended)] = []
            for await (place, ended) in group { all.append((place, ended)) }
            return all.sorted { $0.place < $1.place }.map(\.ended)
        }
    }
}

extension BenchFailure {
    fileprivate func with(_ effect: Effect) -> BenchFailure {
        var failure = self
        failure.effect = effect
        return failure
    }
}
