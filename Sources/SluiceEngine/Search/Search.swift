public import SluiceCore

/// A client's request, its deadline already an instant.
public struct Search: Sendable {
    /// What one collection is asked instead of the rest; nil for the same.
    public struct Override: Sendable {
        public var vector: QueryVector?
        public var k: Int?
        public var columns: [String]?
        public var filter: Filter?

        public init(
            vector: QueryVector? = nil, k: Int? = nil, columns: [String]? = nil, filter: Filter? = nil
        ) {
            self.vector = vector
            self.k = k
            self.columns = columns
            self.filter = filter
        }
    }

    public var collections: [String]
    public var vector: QueryVector
    public var k: Int
    public var columns: [String]
    public var filter: Filter?
    public var overrides: [String: Override] = [:]
    public var deadline: Instant
    public var settings = ScanSettings()
    /// Only rows at most so far away.
    public var maxDistance: Double?
    /// The model that made the vector: collections of another refuse it.
    public var model: String?
    /// True to compare with every row instead of using an index.
    public var exact: Bool
    /// Answer even if some legs fail, as long as one does not.
    public var allowsPartial: Bool
    /// The share of the rows that an answer must cover, 0...1; laggards get little time once it is reached. Nil: all,
    /// or with `allowsPartial` whatever comes before the deadline.
    public var minCoverage: Double?
    public var allowsHedges = true
    public var priority = SearchPriority.interactive

    public init(
        collections: [String], vector: QueryVector, k: Int, columns: [String], deadline: Instant, exact: Bool,
        allowsPartial: Bool
    ) {
        self.collections = collections
        self.vector = vector
        self.k = k
        self.columns = columns
        self.deadline = deadline
        self.exact = exact
        self.allowsPartial = allowsPartial
    }
}

/// A vector to search for, in pgvector's binary form, as it arrived.
public struct QueryVector: Hashable, Sendable {
    public var form: VectorForm
    public var dimensions: Int
    public var bytes: [UInt8]

    public init(form: VectorForm = .vector, dimensions: Int, bytes: [UInt8]) {
        self.form = form
        self.dimensions = dimensions
        self.bytes = bytes
    }
}

/// What a search came to.
public struct SearchOutcome: Sendable {
    public var result: Result<SearchAnswer, SearchError>
    /// Work of this search that the backends may still be ending, after a cancel or a time-out. The request's place
    /// among those in flight is free only after it.
    public var unsettled: [Task<Void, Never>]

    public init(result: Result<SearchAnswer, SearchError>, unsettled: [Task<Void, Never>] = []) {
        self.result = result
        self.unsettled = unsettled
    }
}

/// The k nearest over all legs, nearest first.
public struct SearchAnswer: Sendable {
    public var hits: [Candidate]
    /// Every leg, in the order of the collections asked for and of their shards.
    public var legs: [LegReport]
    /// The share of the rows, by their estimated number, that the answer covers, from 0 to 1.
    public var coverage: Double
    /// From the planning to the merged list.
    public var elapsed: Duration

    /// What the hits' columns take in a reply.
    public var cellBytes: Int { hits.reduce(0) { $0 + legs[$1.leg].rows.cells(of: $1.row).count } }
}

public enum LegStatus: UInt8, Hashable, Sendable {
    // The raw values are the protocol's.
    case ok = 0
    case timeout = 1
    case unavailable = 2
    case saturated = 3
    case backendError = 4
    case cancelled = 5
    case invalid = 6
    case breakerOpen = 7
}

/// What became of one leg.
public struct LegReport: Sendable {
    public let leg: PlannedLeg
    /// The replica asked last; empty if none was reached.
    public var replica = ""
    public var status = LegStatus.unavailable
    public var rows = LegRows.none
    /// Waiting for a connection, over all attempts.
    public var wait = Duration.zero
    /// From sending the statement to the last row, of the last attempt.
    public var execute = Duration.zero
    /// Hedges included.
    public var attempts = 0
    public var hedges = 0
    public var sqlState: String?
    public var message: String?
    /// When the pool expects to have room, if that was missing.
    public var retryAfter: Duration?
    public var queueDepth: Int?
    var lastFailure: AttemptFailure?
    /// Why the attempt that was due could not be made.
    var refusal = AttemptFailure.unreachable

    public var collection: String { leg.collection }
    public var shard: String { leg.shardName }
    /// The names of the columns that each row has after id and distance.
    public var columns: [String] { leg.shape.columns }

    init(of leg: PlannedLeg) { self.leg = leg }
}

/// Rows as a backend sends them. `cells` holds, for each row, its columns one after another: a big-endian Int32 length
/// (-1 for null) and that many bytes in PostgreSQL's binary form. A class, since a leg's report passes many hands.
public final class LegRows: Sendable {
    static let none = LegRows()

    public let ids: [Int64]
    public let distances: [Double]
    /// PostgreSQL's type OIDs of the columns after id and distance.
    public let columnTypes: [UInt32]
    public let cells: [UInt8]
    /// Where each row's cells begin; one more than there are rows.
    public let offsets: [Int]

    public init(
        ids: [Int64] = [], distances: [Double] = [], columnTypes: [UInt32] = [], cells: [UInt8] = [],
        offsets: [Int] = [0]
    ) {
        self.ids = ids
        self.distances = distances
        self.columnTypes = columnTypes
        self.cells = cells
        self.offsets = offsets
    }

    public var count: Int { ids.count }

    /// One row's cells; empty for a row that is not there.
    public func cells(of row: Int) -> ArraySlice<UInt8> {
        guard row >= 0, row + 1 < offsets.count else { return [] }
        return cells[offsets[row]..<offsets[row + 1]]
    }
}
