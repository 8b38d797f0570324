package import SluiceWire

/// How to load.
public struct LoadOptions: Sendable {
    public enum Mode: String, Hashable, Sendable, CaseIterable {
        /// The rows are new: an id that is there already is an error.
        case append
        /// Rows whose ids are there already take their place.
        case upsert
        /// The rows take the place of all that are there, in one transaction for each shard.
        case replace
    }

    public var mode = Mode.append
    /// How many bad rows may be left out: from 0 (one bad row fails the load) to 4,294,967,295.
    public var skipBad = 0
    /// Build the collection's index when the rows are there.
    public var buildIndex = false
    /// The load's name. A load that failed, or of which it is not known, is made whole by loading the same rows again
    /// with the same id: the shards that have it are left as they are.
    public var id = WriteKey.random()

    public init() {}
}

/// How far a load is. For a row of a progress bar; some may be left out.
public struct LoadProgress: Hashable, Sendable {
    public enum Phase: String, Hashable, Sendable {
        case rows
        /// The rows take the place of those that are there.
        case merging
        case index
        case committing
        /// A newer gateway's.
        case unknown
    }

    public var phase: Phase
    /// Of the phase: rows, or for an index the blocks that it is at.
    public var done: Int
    /// 0 if that is not known.
    public var total: Int
    /// Nil for the load as a whole.
    public var shard: String?
    /// Rows that have left this client.
    public var rowsSent: Int
}

/// One shard of a load or a write.
public struct ShardReport: Hashable, Sendable {
    public enum Outcome: String, Hashable, Sendable {
        case committed
        /// An earlier run with the same id or key did it.
        case already
        /// The shard is as it was.
        case notApplied = "not_applied"
        /// It may be committed or not: the database's answer did not come.
        case unknown
    }

    public var shard: String
    /// The server that was written to; nil if none was reached.
    public var replica: String?
    public var outcome: Outcome
    /// How many of the request's rows it holds, or has deleted.
    public var rows: Int
    /// Where its write-ahead log was after the commit; nil if that is not known.
    public var lsn: UInt64?
    /// PostgreSQL's error code, if it refused.
    public var sqlState: String?
    public var message: String?

    init(_ report: SluiceWire.ShardReport) {
        shard = report.shard
        replica = report.replica
        outcome = Outcome(rawValue: report.outcome.name) ?? .unknown
        rows = report.rows
        lsn = report.lsn
        sqlState = report.sqlstate
        message = report.message
    }
}

/// A row that could not be loaded.
public struct BadRow: Hashable, Sendable {
    /// From 0, in the order in which the rows were given.
    public var row: Int
    public var message: String

    init(_ row: SluiceWire.BadRow) {
        self.row = row.row
        message = row.message
    }
}

/// How a load ended.
public struct LoadReport: Hashable, Sendable {
    public enum Index: String, Hashable, Sendable {
        case notAsked = "not_asked"
        case built
        case wasThere = "was_there"
        case failed
        /// A newer gateway said something that this version has no name for.
        case unknown
    }

    public var id: WriteKey
    /// Held by the shards through this load.
    public var rows: Int
    public var shards: [ShardReport]
    /// At most 1,000 of them.
    public var badRows: [BadRow]
    public var badRowCount: Int
    public var index: Index
    /// Why the index is not there, if it was to be built.
    public var indexMessage: String?
    /// What the gateway took.
    public var elapsed: Duration
    /// For searches that are to see these rows.
    public var token: ConsistencyToken

    package init(_ result: LoadResult, id: WriteKey) {
        self.id = id
        rows = result.rows
        shards = result.shards.map(ShardReport.init)
        badRows = result.badRows.map(BadRow.init)
        badRowCount = max(result.badRowCount, result.badRows.count)
        index = Index(rawValue: result.index.name) ?? .unknown
        indexMessage = result.indexMessage
        elapsed = result.elapsed
        token = ConsistencyToken(result.shards)
    }
}

/// What became of a write, row by row.
public struct WriteReport: Hashable, Sendable {
    public enum Outcome: String, Hashable, Sendable {
        case inserted
        case updated
        case deleted
        /// There was no such row to delete.
        case absent
        /// This one is at fault; the others of its shard are not applied because of it.
        case failed
        /// Nothing was done for it.
        case notApplied = "not_applied"
        /// It may have been done or not: the database's answer did not come.
        case unknown
        /// An earlier request with the same key did it.
        case repeated

        /// Whether the row is as the request wants it.
        public var isDone: Bool {
            switch self {
            case .inserted, .updated, .deleted, .absent, .repeated: true
            case .failed, .notApplied, .unknown: false
            }
        }
    }

    /// Of the rows, in the order given.
    public var rows: [Outcome]
    /// Of the ids to delete, in the order given.
    public var deletes: [Outcome]
    public var shards: [ShardReport]
    /// For searches that are to see this write.
    public var token: ConsistencyToken
    /// What the gateway took.
    public var elapsed: Duration
    /// All of it had been done already, by an earlier request with the same key.
    public var isRepeated: Bool

    /// Whether everything that was asked for is done. A write is all or nothing for each shard, not over all of them.
    public var isDone: Bool { (rows + deletes).allSatisfy(\.isDone) }

    package init(_ result: WriteResult) {
        rows = result.rows.map { Outcome(rawValue: $0.name) ?? .unknown }
        deletes = result.deletes.map { Outcome(rawValue: $0.name) ?? .unknown }
        shards = result.shards.map(ShardReport.init)
        token = ConsistencyToken(result.shards)
        elapsed = result.elapsed
        isRepeated = result.isRepeated
    }
}
