package import SluiceClient
internal import SluiceCore
internal import SluiceTools

/// Takes vectors, ids and filter values out of a collection, so that a load asks for what is there.
package struct Drawing: Sendable {
    private let target: any BenchTarget
    private var random: SplitMix64

    /// Enough that no cache has seen them all a moment ago, few enough to be drawn in a second.
    package static let rows = 1_000
    /// With fewer hits among guessed ids, the ids are no dense range.
    private static let dense = 50
    private static let chunk = 250

    package init(from target: any BenchTarget, seed: UInt64) {
        self.target = target
        random = SplitMix64(seed: seed)
    }

    /// Rows from all over a collection; none if it is empty.
    package mutating func rows(
        of collection: DescribedCollection, column: String? = nil
    ) async throws(BenchFailure) -> [DrawnRow] {
        let columns = column.map { [$0] } ?? []
        var found: Set<Int64> = []
        // Searches for random vectors find rows in a few places, but they tell the range of the ids.
        var k = 100
        for _ in 0..<10 {
            var query = SearchQuery(
                collections: [collection.name], target: .vector(randomVector(of: collection)), k: k)
            query.bypassCache = true
            let hits: [Neighbour]
            do throws(BenchFailure) { hits = try await target.nearest(query) } catch {
                // A gateway may be set to give fewer.
                guard error.code == "invalid_argument", k > 10 else { throw error }
                (k, query.k) = (10, 10)
                hits = try await target.nearest(query)
            }
            for hit in hits { found.insert(hit.id) }
        }
        guard let least = found.min(), let greatest = found.max() else { return [] }
        var drawn: [Int64: DrawnRow] = [:]
        for _ in 0..<(Self.rows / Self.chunk) {
            let guesses = (0..<Self.chunk).map { _ in Int64.random(in: least...greatest, using: &random) }
            for row in try await target.rows(collection.name, ids: Array(Set(guesses)), columns: columns) {
                drawn[row.id] = row
            }
        }
        if drawn.count < Self.dense {
            for chunk in Array(found.sorted().prefix(Self.rows)).chunks(of: Self.chunk) {
                for row in try await target.rows(collection.name, ids: chunk, columns: columns) { drawn[row.id] = row }
            }
        }
        return drawn.values.sorted { $0.id < $1.id }.shuffled(using: &random)
    }

    /// Where there is nothing to draw.
    package mutating func randomVectors(of collection: DescribedCollection) -> [SearchQuery.Vector] {
        (0..<Self.rows).map { _ in randomVector(of: collection) }
    }

    private mutating func randomVector(of collection: DescribedCollection) -> SearchQuery.Vector {
        let dimensions = collection.dimensions
        switch collection.vectorType {
        case .bit: return .bits((0..<dimensions).map { _ in Bool.random(using: &random) })
        case .sparsevec:
            var components: [Int: Float] = [:]
            for _ in 0..<min(16, dimensions) {
                components[Int.random(in: 0..<dimensions, using: &random)] = Float.random(in: 0.1...1, using: &random)
            }
            return .sparse(dimensions: dimensions, components)
        case .halfvec: return .half(randomUnit(dimensions))
        case .vector, .unknown: return .float(randomUnit(dimensions))
        }
    }

    private mutating func randomUnit(_ dimensions: Int) -> [Float] {
        let raw = (0..<dimensions).map { _ in Float.random(in: -1...1, using: &random) }
        let length = raw.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return raw.map { $0 / max(length, .leastNormalMagnitude) }
    }

    // MARK: Files

    /// The first vectors of a file, for a collection of a type.
    /// - Throws: what says what is wrong with the file.
    package static func vectors(
        in path: String, for collection: DescribedCollection, most: Int = 10_000
    ) throws -> (vectors: [SearchQuery.Vector], ofRows: Int) {
        let reader = try VectorReader(path: path)
        guard reader.rowCount > 0 else { throw FileProblem(path, "there is no vector in it") }
        var vectors: [SearchQuery.Vector] = []
        var floats: [Float] = []
        while vectors.count < most, try reader.next(into: &floats) {
            switch collection.vectorType {
            case .halfvec: vectors.append(.half(floats))
            case .bit: vectors.append(.bits(floats.map { $0 > 0 }))
            case .sparsevec:
                let components = Dictionary(uniqueKeysWithValues: floats.enumerated().map { ($0, $1) })
                vectors.append(.sparse(dimensions: floats.count, components))
            case .vector, .unknown: vectors.append(.float(floats))
            }
        }
        return (vectors, reader.rowCount)
    }
}

extension Array {
    func chunks(of size: Int) -> [[Element]] {
        stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
    }
}
