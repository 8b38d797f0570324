public import SluiceCore

/// One replica's server as the engine sees it: something to make connections to. The gateway implements it with libpq;
/// tests with a script.
public protocol SearchBackend: Sendable {
    var replicaName: String { get }
    var shardName: String { get }

    /// Makes a connection that lives on the lane's executor.
    /// - Parameter onClose: called once when the connection has ended, on whatever thread.
    func connect(
        lane: Int, deadline: Instant, onClose: @escaping @Sendable () -> Void
    ) async throws(BackendFailure) -> any BackendConnection
}

public protocol BackendConnection: Sendable {
    /// What the server said when the connection was made.
    var role: ReplicaRole { get }
    /// As in `BackendFacts`.
    var incarnation: UInt64? { get }

    /// Runs one search. Cancelling the task stops the backend's work.
    func search(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> LegRows
    /// How the server would run a search's statement, which it does not run.
    func explain(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> PlanOutline
    /// On the lane's thread: ends the search that runs, if there is one, with `cancelled`.
    func interrupt()
    /// After a failure: waits until nothing of the search is left. False if the connection has been closed.
    func settle() async -> Bool
    /// Asks the server what it is, how far it has got, and how many rows its tables have.
    func inspect(_ tables: [TableName], deadline: Instant) async throws(BackendFailure) -> BackendFacts
    /// Runs commands in one round trip, outside a transaction in one of their own. Cancelling the task stops them.
    func run(_ commands: [WriteCommand], deadline: Instant) async throws(BackendFailure) -> [WriteResult]
    /// Copies rows into a table within the open transaction; says how many the server took.
    /// - Parameter rows: all of a binary COPY, in pieces.
    func copy(
        _ command: CopyCommand, _ rows: [ArraySlice<UInt8>], deadline: Instant
    ) async throws(BackendFailure) -> Int
    /// Returns when the server has let go of the connection, or after a while.
    func close() async
}

/// A `COPY … FROM STDIN (FORMAT binary)`.
public struct CopyCommand: Sendable {
    public var sql: String
    /// The table's own name, by which the server speaks of it in the context of an error.
    public var relation: String

    init(sql: String, relation: String) {
        self.sql = sql
        self.relation = relation
    }
}

public struct TableName: Hashable, Sendable {
    public var schema: String
    public var table: String

    public init(schema: String, table: String) {
        self.schema = schema
        self.table = table
    }
}

public struct BackendFacts: Sendable {
    public var role: ReplicaRole
    /// Of a primary.
    public var timeline: UInt32?
    /// How far a primary has written, or a standby replayed.
    public var position: UInt64?
    /// Another number after each start of the server, and another one on each server.
    public var incarnation: UInt64?
    /// The cluster's, the same on all its servers; nil if the server does not say it.
    public var systemIdentifier: UInt64?
    /// The planner's estimates, in the order of the tables asked for; nil where there is none.
    public var estimatedRows: [Double?]

    public init(
        role: ReplicaRole, timeline: UInt32? = nil, position: UInt64? = nil, incarnation: UInt64? = nil,
        systemIdentifier: UInt64? = nil, estimatedRows: [Double?]
    ) {
        self.role = role
        self.timeline = timeline
        self.position = position
        self.incarnation = incarnation
        self.systemIdentifier = systemIdentifier
        self.estimatedRows = estimatedRows
    }

    func report(asked: Instant) -> ReplicaReport {
        ReplicaReport(
            role: role, timeline: timeline, position: position, incarnation: incarnation,
            systemIdentifier: systemIdentifier, asked: asked)
    }
}

public struct BackendSearch: Sendable {
    public var shape: SearchShape
    public var settings: SearchSettings
    /// How long the server may take by its own clock.
    public var timeout: Duration
    /// In binary form: what the shape's first parameter is.
    public var subject: [UInt8]
    /// The same is asked for each of these, in the same round trip; the rows' `further` are theirs.
    public var furtherSubjects: [[UInt8]]
    public var parameters: [ParameterValue]
    /// Every row must carry it: a row that does not belongs to another request.
    public var token: Int64
    public var maximumBytes: Int
}

/// What went wrong with an attempt, as far as a decision or a report needs it.
public struct BackendFailure: Error, Hashable, Sendable {
    public var reason: AttemptFailure
    public var sqlState: String?
    /// How long to wait before asking again, where that is known.
    public var retryAfter: Duration?
    /// How many legs waited before this one, if it was refused for that.
    public var queueDepth: Int?
    /// For the log.
    public var detail: String
    /// Of a write that the server refused: what of it.
    public var place: Place?
    /// Of a write: the server was not asked, for this.
    var fencedBy: WriteRefusal?
    var isUnsent: Bool { fencedBy != nil }

    /// Names only, as the server's texts may quote data.
    public struct Place: Hashable, Sendable {
        /// The command, from 0.
        public var command: Int
        /// The row of a COPY, from 1.
        public var line: Int?
        public var constraint: String?
        public var column: String?

        public init(command: Int, line: Int? = nil, constraint: String? = nil, column: String? = nil) {
            self.command = command
            self.line = line
            self.constraint = constraint
            self.column = column
        }
    }

    public init(
        _ reason: AttemptFailure, sqlState: String? = nil, retryAfter: Duration? = nil, queueDepth: Int? = nil,
        detail: String
    ) {
        self.reason = reason
        self.sqlState = sqlState
        self.retryAfter = retryAfter
        self.queueDepth = queueDepth
        self.detail = detail
    }
}

/// A thread that runs a lane: its executor, its clock and its timers.
public protocol LaneExecutor: SerialExecutor, TaskExecutor {
    func now() -> Instant
    /// On the lane's own thread only.
    func schedule(at instant: Instant, _ body: @escaping @Sendable () -> Void) -> LaneTimer
    /// On the lane's own thread only.
    func cancel(_ timer: LaneTimer)
    /// Runs `body` on the lane's thread; from any thread.
    func execute(_ body: @escaping @Sendable () -> Void)
}

public struct LaneTimer: Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}
