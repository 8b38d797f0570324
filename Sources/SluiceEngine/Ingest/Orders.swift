public import SluiceCore

/// A request's or a load's name, made by its client: what has it already is not done again.
public struct WriteKey: Hashable, Sendable {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// As PostgreSQL writes a `uuid`.
    var text: String {
        let digits = Self.digits(high) + Self.digits(low)
        let cuts = [0, 8, 12, 16, 20, 32]
        return zip(cuts, cuts.dropFirst()).map { start, end in String(digits[start..<end]) }.joined(separator: "-")
    }

    /// The same key within a layout of a collection: what a shard of another layout has noted says nothing of the rows
    /// that lie there in this one.
    func inLayout(_ epoch: Int) -> WriteKey {
        guard epoch > 1 else { return self }
        var mask = SplitMix64(seed: UInt64(clamping: epoch))
        return WriteKey(high: high ^ mask.next(), low: low ^ mask.next())
    }

    /// For names of things that last as long as a load.
    var shortText: String { String(Self.digits(high) + Self.digits(low)) }

    private static func digits(_ word: UInt64) -> [Character] {
        let text = String(word, radix: 16)
        return Array(String(repeating: "0", count: 16 - text.count) + text)
    }
}

public enum LoadMode: Hashable, Sendable {
    /// New rows; an id that is there already is a bad row.
    case append
    /// New rows, and new values for rows that are there.
    case upsert
    /// These rows instead of all that were there.
    case replace
}

/// What a client wants to load.
public struct LoadOrder: Sendable {
    public var collection: String
    public var mode: LoadMode
    /// What each row has after id and vector.
    public var columns: [String]
    public var key: WriteKey
    /// How many bad rows may be left out.
    public var skippable: Int
    public var buildsIndex: Bool
    /// Rows of which it is not true may be neither brought nor replaced.
    public var filter: Filter?

    public init(
        collection: String, mode: LoadMode, columns: [String], key: WriteKey, skippable: Int = 0,
        buildsIndex: Bool = false
    ) {
        self.collection = collection
        self.mode = mode
        self.columns = columns
        self.key = key
        self.skippable = skippable
        self.buildsIndex = buildsIndex
    }
}

/// Rows to be stored and rows to be deleted, together at most 10,000.
public struct WriteOrder: Sendable {
    public var collection: String
    public var columns: [String]
    /// Packed rows.
    public var rows: [UInt8]
    public var deletes: [Int64]
    public var deadline: Instant
    public var key: WriteKey?
    /// How many rows and ids it may have.
    public var most = WriteOrder.mostRows
    /// Rows of which it is not true may be neither stored, replaced nor deleted.
    public var filter: Filter?
    public var tenant: Tenant?
    public var origin = RequestOrigin()

    public init(
        collection: String, columns: [String], rows: [UInt8], deletes: [Int64], deadline: Instant,
        key: WriteKey? = nil
    ) {
        self.collection = collection
        self.columns = columns
        self.rows = rows
        self.deletes = deletes
        self.deadline = deadline
        self.key = key
    }

    public static let mostRows = 10_000
}

/// What a shard holds after a load or a write.
public struct ShardReport: Hashable, Sendable {
    public enum Outcome: UInt8, Hashable, Sendable {
        case committed = 0
        /// An earlier run with the same key has done it.
        case already = 1
        case notApplied = 2
        /// The connection was lost when it may have been committed.
        case unknown = 3
    }

    public var shard: String
    public var replica = ""
    public var outcome = Outcome.notApplied
    public var rows = 0
    /// A position in the shard's log at which what was written is there; nil if it is not known.
    public var position: UInt64?
    public var sqlState: String?
    public var message: String?

    public init(shard: String) { self.shard = shard }
}

/// What became of one row of a write.
public enum RowOutcome: UInt8, Hashable, Sendable {
    case inserted = 0
    case updated = 1
    case deleted = 2
    /// There was no such row to delete.
    case absent = 3
    /// This row is at fault.
    case failed = 4
    /// Another row of its shard is at fault, or the shard could not be written to.
    case notApplied = 5
    case unknown = 6
    /// An earlier request with this key has done it.
    case repeated = 7
}

public struct WriteAnswer: Sendable {
    public var rows: [RowOutcome]
    public var deletes: [RowOutcome]
    public var shards: [ShardReport]
    public var elapsed: Duration
    /// All of it had been done by an earlier request with this key.
    public var isRepeated: Bool
}

/// A row that was not loaded.
public struct BadRow: Hashable, Sendable {
    /// From 0, in the order in which the rows came.
    public var number: Int
    public var reason: String
}

public struct LoadAnswer: Sendable {
    public enum Index: UInt8, Hashable, Sendable {
        case notAsked = 0
        case built = 1
        case wasThere = 2
        case failed = 3
    }

    public var shards: [ShardReport]
    /// The first thousand.
    public var badRows: [BadRow] = []
    public var badRowCount = 0
    public var index = Index.notAsked
    public var indexMessage: String?
    public var elapsed: Duration = .zero
    /// Why not everything is loaded.
    public var failure: SearchError?

    /// Rows that the shards hold through this load.
    public var rows: Int {
        shards.reduce(0) { $0 + ($1.outcome == .committed || $1.outcome == .already ? $1.rows : 0) }
    }
}

/// What a load tells while it runs.
public enum LoadEvent: Sendable {
    public enum Phase: UInt8, Hashable, Sendable {
        case rows = 0
        case merging = 1
        case index = 2
        case committing = 3
    }

    /// Rows may be sent: so many bytes of them before more credit comes.
    case ready(credit: Int, shards: [String])
    /// So many bytes more; and how many rows the servers have taken so far.
    case credit(Int, rows: Int)
    case progress(Phase, done: Int, total: Int, shard: String)
}

public struct IngestLimits: Hashable, Sendable {
    /// Loads at a time.
    public var loads = 4
    /// Bytes of rows that one load may hold for each of its shards, and in all.
    public var windowPerShard = 4 << 20
    public var mostWindow = 32 << 20
    /// How long a client may take to send something.
    public var idle: Duration = .seconds(60)
    /// How long a server may take for one batch of rows.
    public var batch: Duration = .seconds(120)
    /// How long a server may take for what follows the rows: merging, indexes.
    public var merge: Duration = .seconds(86_400)
    /// How long keys are remembered.
    public var retention: Duration = .seconds(7 * 86_400)

    public init() {}
}
