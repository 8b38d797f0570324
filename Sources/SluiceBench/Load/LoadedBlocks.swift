internal import SluiceClient
internal import Synchronization

/// Blocks of rows that a load sends, by their numbers: each one's ids come after those of the one before. What is to be
/// deleted afterwards are the load's own rows, and no others: a block is refused if one of its ids is there already.
final class LoadedBlocks: Sendable {
    private struct State {
        var next: Int64 = 0
        var unapplied: Set<Int64> = []
        var halfApplied: Set<Int64> = []
    }

    private let state = Mutex(State())

    /// The number of the next block.
    func begin() -> Int64 {
        state.withLock { state in
            defer { state.next += 1 }
            return state.next
        }
    }

    func failed(_ number: Int64, _ failure: BenchFailure) {
        state.withLock { state in
            switch failure.effect {
            case .none: state.unapplied.insert(number)
            case .partial: state.halfApplied.insert(number)
            case .unknown: break
            }
        }
    }

    /// Those whose rows are there, or may be, joined where they follow one another; at most so many in each.
    func toDelete(most: Int64) -> [Range<Int64>] {
        let state = state.withLock { $0 }
        var ranges: [Range<Int64>] = []
        for number in 0..<state.next where !state.unapplied.contains(number) && !state.halfApplied.contains(number) {
            if let last = ranges.last, last.upperBound == number, last.count < most {
                ranges[ranges.count - 1] = last.lowerBound..<number + 1
            } else {
                ranges.append(number..<number + 1)
            }
        }
        return ranges
    }

    /// Blocks that some shards have and others refused.
    var halfApplied: [Int64] { state.withLock { $0.halfApplied.sorted() } }
}

extension Workload {
    private static let probedIDs: Int64 = 10_000
    private static let probeChunk = 1_000
    private static let mostDeleted: Int64 = 5_000

    /// Makes sure that a load meets no row that is not its own: such rows would be refused, and could be lost when the
    /// load's own are deleted. Looks at the first ids, and at what a search finds.
    /// - Throws: if there is a row with the first id or a greater one.
    func checkFirstID(on target: any BenchTarget) async throws(BenchFailure) {
        guard let loading, let vector = loading.vectors.first else { return }
        var query = SearchQuery(collections: [loading.collection], target: .vector(vector), k: 10)
        query.bypassCache = true
        var found = try await target.nearest(query).map(\.id).filter { $0 >= loading.firstID }
        var id = loading.firstID
        while found.isEmpty, id < loading.firstID + Self.probedIDs {
            let ids = Array(id..<id + Int64(Self.probeChunk))
            found = try await target.rows(loading.collection, ids: ids, columns: []).map(\.id)
            id += Int64(Self.probeChunk)
        }
        guard let one = found.min() else { return }
        throw BenchFailure(
            "invalid_argument",
            "\"\(loading.collection)\" has a row \(one), and the load's ids begin at \(loading.firstID); "
                + "give a --load-first-id above all that are there")
    }

    /// Takes what was loaded away again.
    /// - Returns: what is left there, in words; nil if nothing is.
    func deleteLoaded(on target: any BenchTarget) async throws(BenchFailure) -> String? {
        guard let loading else { return nil }
        let rows = Int64(loading.rows)
        for blocks in loaded.toDelete(most: max(1, Self.mostDeleted / rows)) {
            let end = loading.firstID + blocks.upperBound * rows
            var id = loading.firstID + blocks.lowerBound * rows
            while id < end {
                let last = min(id + Self.mostDeleted, end)
                try await target.delete(loading.collection, ids: Array(id..<last))
                id = last
            }
        }
        let left = loaded.halfApplied
        guard let first = left.first else { return nil }
        return "\(left.count) blocks of \(rows) rows were refused by some shards, and are left in "
            + "\"\(loading.collection)\" on the others; the first begins at id \(loading.firstID + first * rows)"
    }
}
