package import SluiceClient

/// Its name where the protocol's own type of that name is known, too.
package typealias DescribedCollection = CollectionDescription

/// What is measured: a gateway, or the replicas themselves.
package protocol BenchTarget: Sendable {
    /// As a measurement names it.
    var name: String { get }
    /// Where those who ask cost the least; empty for anywhere.
    var executors: [any TaskExecutor] { get }

    func collections() async throws(BenchFailure) -> [DescribedCollection]
    func ping() async throws(BenchFailure)
    func search(_ query: SearchQuery) async throws(BenchFailure) -> BenchAnswer
    func batch(_ vectors: [SearchQuery.Vector], _ query: SearchQuery) async throws(BenchFailure) -> BenchAnswer
    func get(_ collection: String, ids: [Int64], deadline: Duration?) async throws(BenchFailure) -> BenchAnswer
    func load(_ collection: String, _ rows: LoadBlock) async throws(BenchFailure)

    /// What a search found, for drawing rows and for recall.
    func nearest(_ query: SearchQuery) async throws(BenchFailure) -> [Neighbour]
    /// Those of the rows that are there, with their vectors.
    func rows(_ collection: String, ids: [Int64], columns: [String]) async throws(BenchFailure) -> [DrawnRow]
    func delete(_ collection: String, ids: [Int64]) async throws(BenchFailure)
    func close() async
    /// Of what is measured, as far as it says; by name.
    func versions() async -> [String: String]
}

extension BenchTarget {
    package var executors: [any TaskExecutor] { [] }

    package func versions() async -> [String: String] { [:] }
}

/// What a load notes of an answer.
package struct BenchAnswer: Sendable {
    package struct Leg: Sendable {
        package var shard: String
        package var attempts: Int
        package var hedges: Int
        /// Microseconds.
        package var waiting: Double
        package var executing: Double

        package init(shard: String, attempts: Int = 1, hedges: Int = 0, waiting: Double, executing: Double) {
            self.shard = shard
            self.attempts = attempts
            self.hedges = hedges
            self.waiting = waiting
            self.executing = executing
        }
    }

    package var legs: [Leg]
    /// A shard is missing.
    package var isPartial: Bool

    package static let plain = BenchAnswer(legs: [], isPartial: false)

    package init(legs: [Leg], isPartial: Bool) {
        self.legs = legs
        self.isPartial = isPartial
    }
}

package struct Neighbour: Hashable, Sendable {
    package var collection: String
    package var id: Int64
    package var distance: Double

    package init(collection: String, id: Int64, distance: Double) {
        self.collection = collection
        self.id = id
        self.distance = distance
    }
}

package struct DrawnRow: Sendable {
    package var id: Int64
    package var vector: SearchQuery.Vector?
    package var columns: [String: Value]

    package init(id: Int64, vector: SearchQuery.Vector?, columns: [String: Value] = [:]) {
        self.id = id
        self.vector = vector
        self.columns = columns
    }
}

package struct BenchFailure: Error, Sendable, CustomStringConvertible {
    /// What it is counted as.
    package var code: String
    package var message: String
    /// The target has enough to do.
    package var isBusy = false
    /// Nobody was there: asking again at once would only burn the processor.
    package var isUnreached = false
    /// Of a request that writes.
    package var effect = Effect.unknown

    package enum Effect: Sendable {
        case unknown
        /// Nothing was done.
        case none
        /// Some shards did it, others refused.
        case partial
    }

    package init(_ code: String, _ message: String, isBusy: Bool = false, isUnreached: Bool = false) {
        self.code = code
        self.message = message
        self.isBusy = isBusy
        self.isUnreached = isUnreached
    }

    package init(_ error: SluiceError) {
        self.init(
            error.code.description, error.message, isBusy: error.code == .busy,
            isUnreached: error.code == .notConnected)
        effect = Effect(error)
    }

    package var description: String { "\(code): \(message)" }
}

extension BenchFailure.Effect {
    /// Codes of what is refused before anything is done.
    private static let refusals: Set<SluiceError.Code> = [
        .notConnected, .invalidArgument, .unknownCollection, .unknownColumn, .dimensionMismatch, .busy, .badRow,
        .tooManyInFlight, .permissionDenied, .notSupported, .modelMismatch,
    ]

    init(_ error: SluiceError) {
        let outcomes = Set((error.load?.shards ?? []).map(\.outcome))
        if outcomes.isEmpty {
            self = Self.refusals.contains(error.code) ? .none : .unknown
        } else if outcomes.contains(.unknown) || !outcomes.contains(.notApplied) {
            self = .unknown
        } else {
            self = outcomes.count == 1 ? .none : .partial
        }
    }
}
