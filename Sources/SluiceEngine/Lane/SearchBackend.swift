public import SluiceCore

/// One replica as the engine sees it: something to make connections to. The gateway implements it with libpq; tests
/// with a script.
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
    /// Runs one search. Cancelling the task stops the backend's work.
    func search(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> LegRows
    /// After a failure: waits until nothing of the search is left. False if the connection has been closed.
    func settle() async -> Bool
    func close() async
}

public struct BackendSearch: Sendable {
    public var shape: SearchShape
    public var settings: SearchSettings
    /// How long the server may take by its own clock.
    public var timeout: Duration
    public var vector: [UInt8]
    public var maximumBytes: Int
}

/// What went wrong with an attempt, as far as a decision or a report needs it.
public struct BackendFailure: Error, Hashable, Sendable {
    public var reason: AttemptFailure
    public var sqlState: String?
    /// For the log.
    public var detail: String

    public init(_ reason: AttemptFailure, sqlState: String? = nil, detail: String) {
        self.reason = reason
        self.sqlState = sqlState
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
