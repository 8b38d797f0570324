import SluiceBench
import SluiceClient
import Synchronization

/// A target that answers as a test tells it to, and keeps what it was asked.
final class ScriptedTarget: BenchTarget {
    struct Asked: Sendable {
        var searches: [SearchQuery] = []
        var batches: [Int] = []
        var gets: [[Int64]] = []
        var loadedRows = 0
        var loads = 0
        var deleted: [Int64] = []
        var pings = 0
    }

    private let state = Mutex(Asked())
    private let answer: @Sendable () async throws(BenchFailure) -> BenchAnswer
    /// Rows that are there.
    private let there: Set<Int64>

    init(
        there: Set<Int64> = [], _ answer: @escaping @Sendable () async throws(BenchFailure) -> BenchAnswer = { .plain }
    ) {
        self.there = there
        self.answer = answer
    }

    var asked: Asked { state.withLock { $0 } }
    var name: String { "scripted" }

    func collections() async throws(BenchFailure) -> [DescribedCollection] { [] }

    func ping() async throws(BenchFailure) {
        state.withLock { $0.pings += 1 }
        _ = try await answer()
    }

    func search(_ query: SearchQuery) async throws(BenchFailure) -> BenchAnswer {
        state.withLock { $0.searches.append(query) }
        return try await answer()
    }

    func batch(_ vectors: [SearchQuery.Vector], _ query: SearchQuery) async throws(BenchFailure) -> BenchAnswer {
        state.withLock { $0.batches.append(vectors.count) }
        return try await answer()
    }

    func get(_ collection: String, ids: [Int64], deadline: Duration?) async throws(BenchFailure) -> BenchAnswer {
        state.withLock { $0.gets.append(ids) }
        return try await answer()
    }

    func load(_ collection: String, _ rows: LoadBlock) async throws(BenchFailure) {
        state.withLock {
            $0.loadedRows += rows.rowCount
            $0.loads += 1
        }
        _ = try await answer()
    }

    /// Rows 1, 2, … k; without an index the last of them is another, so recall is less than 1.
    func nearest(_ query: SearchQuery) async throws(BenchFailure) -> [Neighbour] {
        (1...query.k).map { place in
            let isMissed = query.exact && place == query.k
            return Neighbour(collection: "a", id: isMissed ? 1_000 : Int64(place), distance: isMissed ? 0.5 : 1)
        }.filter { query.exact || (query.efSearch ?? 0) >= 100 || $0.id % 2 == 0 }
            .sorted { $0.distance < $1.distance }
    }

    func rows(_ collection: String, ids: [Int64], columns: [String]) async throws(BenchFailure) -> [DrawnRow] {
        ids.filter(there.contains).map { DrawnRow(id: $0, vector: nil) }
    }

    func delete(_ collection: String, ids: [Int64]) async throws(BenchFailure) {
        state.withLock { $0.deleted += ids }
    }

    func close() async {}
}
