public import SluiceCore

/// What a request came to.
public struct Outcome<Answer: Sendable>: Sendable {
    public var result: Result<Answer, SearchError>
    /// Work of this request that the backends may still be ending, after a cancel or a time-out. The request's place
    /// among those in flight is free only after it.
    public var unsettled: [Task<Void, Never>]

    public init(result: Result<Answer, SearchError>, unsettled: [Task<Void, Never>] = []) {
        self.result = result
        self.unsettled = unsettled
    }
}

public typealias SearchOutcome = Outcome<SearchAnswer>

/// The k nearest over all legs, nearest first.
public struct SearchAnswer: Sendable {
    /// The first list, and of most searches the only one.
    public var hits: [Candidate]
    /// Every leg, in the order of the collections asked for and of their shards.
    public var legs: [LegReport]
    /// The share of the rows, by their estimated number, that the answer covers, from 0 to 1.
    public var coverage: Double
    /// From the planning to the merged list.
    public var elapsed = Duration.zero
    /// Fewer rows came than were asked for, and more may match.
    public var mayBeIncomplete = false
    /// A shard was asked again for rows that its first share had cut off.
    public var isRepaired = false
    /// With more time it could have been a better one.
    var isCurtailed: Bool { legs.contains { $0.isCurtailed || $0.status == .timeout } }
    public var source = AnswerSource.executed
    /// What few answers have.
    public var extras: AnswerExtras?

    public init(hits: [Candidate], legs: [LegReport], coverage: Double) {
        self.hits = hits
        self.legs = legs
        self.coverage = coverage
    }

    /// What the hits take in a reply.
    public var hitBytes: Int {
        let own = hits.reduce(0) { $0 + Self.bytesPerHit + legs[$1.leg].rows.cells(of: $1.row).count }
        guard let extras else { return own }
        return extras.furtherLists.enumerated().reduce(own) { sum, list in
            list.element.reduce(sum + Self.bytesPerHit) {
                $0 + Self.bytesPerHit + cells(of: $1, list: list.offset + 1).count
            }
        }
    }

    /// The protocol's: leg, id and distance.
    static var bytesPerHit: Int { 18 }

    /// The same without the legs' rows that are no hits of its only list: what is held is no larger than it must be.
    func compacted() -> SearchAnswer {
        guard extras?.furtherLists.isEmpty != false else { return self }
        var compact = self
        var builders = legs.map { LegRows.Builder(columnTypes: $0.rows.columnTypes) }
        for place in hits.indices {
            let hit = hits[place]
            compact.hits[place].row = builders[hit.leg].add(hit, cells: legs[hit.leg].rows.cells(of: hit.row))
        }
        for place in legs.indices { compact.legs[place].rows = builders[place].rows(of: legs[place].rows.count) }
        return compact
    }

    /// - Parameter list: the one that the hit is in.
    public func cells(of hit: Candidate, list: Int) -> ArraySlice<UInt8> {
        legs[hit.leg].rows.of(subject: subject(of: list)).cells(of: hit.row)
    }

    /// Which of a batch's vectors a list is of.
    private func subject(of list: Int) -> Int { list / max(1, extras?.listsPerVector ?? 1) }

    /// The hardest that any leg was searched.
    public var rung: EscalationLadder.Rung { legs.reduce(.asAsked) { max($0, $1.rung) } }

    /// Some of its hits, as a reply has them.
    func page(_ range: Range<Int>, cursor: CursorID?, hasMore: Bool) -> SearchAnswer {
        var page = self
        page.hits = Array(hits[range])
        var extras = extras ?? AnswerExtras()
        if !extras.fused.isEmpty { extras.fused = Array(extras.fused[range]) }
        extras.cursor = cursor
        extras.hasMore = hasMore
        page.extras = extras
        return page
    }

    /// About what it takes in memory.
    var bytes: Int {
        let hitBytes = (extras?.furtherLists.reduce(hits.count) { $0 + $1.count } ?? hits.count) * 64
        return legs.reduce(hitBytes) { $0 + 512 + $1.rows.bytes }
    }
}

/// What few answers have.
public struct AnswerExtras: Sendable {
    /// The lists after the first: by vector, then, if they are separate, by collection.
    public var furtherLists: [[Candidate]] = []
    public var listsPerVector = 1
    /// Of a hybrid search, one for each hit.
    public var fused: [Fusion.FusedRow] = []
    /// How many hits each group has, in their order.
    public var groupSizes: [Int] = []
    /// The ids that no row has.
    public var missing: [Int64] = []
    /// The last column is a vector of this form.
    public var vectorForm: VectorForm?
    /// What has the hits that are left.
    public var cursor: CursorID?
    public var hasMore = false

    public init() {}
}

/// How many rows a filter finds.
public struct CountAnswer: Sendable {
    public var rows: Double
    public var isExact: Bool
    public var legs: [LegReport]
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
    /// From its start to its end, with waits, retries and hedges.
    public var took = Duration.zero
    /// Hedges included.
    public var attempts = 0
    public var hedges = 0
    public var sqlState: String?
    public var message: String?
    /// When the pool expects to have room, if that was missing.
    public var retryAfter: Duration?
    public var queueDepth: Int?
    /// How many rows it was asked for.
    public var asked: Int
    /// How hard it was searched.
    public var rung = EscalationLadder.Rung.asAsked
    /// Its rows are at most so old; nil if that is not known.
    public var staleness: Duration?
    /// They may be older than was asked for.
    public var isStale = false
    /// Fewer rows came than were asked for, and more may match.
    var mayBeIncomplete = false
    /// More was tried, and did not come to its end.
    var isCurtailed = false
    var lastFailure: AttemptFailure?
    /// Why the attempt that was due could not be made.
    var refusal = AttemptFailure.unreachable

    public var collection: String { leg.collection }
    public var shard: String { leg.shardName }
    /// The names of the columns that each row has after id and distance.
    public var columns: [String] { leg.shape.columns }

    init(of leg: PlannedLeg) {
        self.leg = leg
        asked = leg.shape.rowLimit
    }
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
    /// Those of a batch's further vectors, in their order.
    public let further: [LegRows]
    /// How many there were before all but the hits were left out; nil if none was.
    private let found: Int?

    public init(
        ids: [Int64] = [], distances: [Double] = [], columnTypes: [UInt32] = [], cells: [UInt8] = [],
        offsets: [Int] = [0], further: [LegRows] = [], found: Int? = nil
    ) {
        self.found = found
        self.ids = ids
        self.distances = distances
        self.columnTypes = columnTypes
        self.cells = cells
        self.offsets = offsets
        self.further = further
    }

    /// A batch's rows for one of its vectors.
    public func of(subject: Int) -> LegRows {
        if subject == 0 { return self }
        return further.indices.contains(subject - 1) ? further[subject - 1] : .none
    }

    /// How many rows there are for all vectors of a batch.
    public var total: Int { further.reduce(found ?? count) { $0 + $1.count } }

    /// Collects some rows of a leg.
    struct Builder {
        let columnTypes: [UInt32]
        private var ids: [Int64] = []
        private var distances: [Double] = []
        private var cells: [UInt8] = []
        private var offsets = [0]

        init(columnTypes: [UInt32]) { self.columnTypes = columnTypes }

        /// - Returns: the row's place.
        mutating func add(_ hit: Candidate, cells bytes: ArraySlice<UInt8>) -> Int {
            ids.append(hit.id)
            distances.append(hit.distance)
            cells += bytes
            offsets.append(cells.count)
            return ids.count - 1
        }

        /// - Parameter found: how many the leg had brought.
        func rows(of found: Int) -> LegRows {
            LegRows(
                ids: ids, distances: distances, columnTypes: columnTypes, cells: cells, offsets: offsets, found: found)
        }
    }

    var bytes: Int { further.reduce(cells.count + 24 * count) { $0 + $1.bytes } }

    public var count: Int { ids.count }

    /// One row's cells; empty for a row that is not there.
    public func cells(of row: Int) -> ArraySlice<UInt8> {
        guard row >= 0, row + 1 < offsets.count else { return [] }
        return cells[offsets[row]..<offsets[row + 1]]
    }
}
