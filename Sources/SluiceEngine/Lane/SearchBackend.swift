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

    /// Runs one search. Cancelling the task stops the backend's work.
    func search(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> LegRows
    /// On the lane's thread: ends the search that runs, if there is one, with `cancelled`.
    func interrupt()
    /// After a failure: waits until nothing of the search is left. False if the connection has been closed.
    func settle() async -> Bool
    /// Asks the server what it is and how many rows its tables have.
    func inspect(_ tables: [TableName], deadline: Instant) async throws(BackendFailure) -> BackendFacts
    /// Returns when the server has let go of the connection, or after a while.
    func close() async
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
    /// The planner's estimates, in the order of the tables asked for; nil where there is none.
    public var estimatedRows: [Double?]

    public init(role: ReplicaRole, estimatedRows: [Double?]) {
        self.role = role
        self.estimatedRows = estimatedRows
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
