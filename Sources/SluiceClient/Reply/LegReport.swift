internal import SluiceWire

/// One leg of a search: a collection on a shard, who answered for it, how long it took, or why it did not.
public struct LegReport: Hashable, Sendable {
    public enum Status: String, Hashable, Sendable {
        case ok
        case timeout
        case unavailable
        case saturated
        case backendError = "backend_error"
        case cancelled
        case invalid
        /// Every replica has been failing, and is given a rest.
        case breakerOpen = "breaker_open"
        /// A newer gateway said something that this version has no name for.
        case unknown
    }

    public var collection: String
    public var shard: String
    /// The replica asked last; empty if none was reached.
    public var replica: String
    public var status: Status
    /// How many rows it brought to the merge.
    public var rows: Int
    /// Waiting for a connection to the replica.
    public var wait: Duration
    /// From sending the statement to its last row.
    public var execute: Duration
    /// How often a replica was asked, hedges included.
    public var attempts: Int
    /// Attempts made while another still ran.
    public var hedges: Int
    /// How many rows it was asked for; 0 if the gateway does not say.
    public var asked: Int
    public var rung: SearchReply.Rung
    /// Its rows are at most so old; nil if that is not known. A primary's are not old at all.
    public var staleness: Duration?
    /// No replica was as fresh as was asked for, and this one answered although it is not.
    public var isStale: Bool
    /// PostgreSQL's error code, if it refused.
    public var sqlState: String?
    public var message: String?

    init(_ leg: SluiceWire.LegReport) {
        collection = leg.collection
        shard = leg.shard
        replica = leg.replica
        status = Status(rawValue: leg.status.name) ?? .unknown
        rows = leg.rows
        wait = leg.wait
        execute = leg.execute
        attempts = leg.attempts
        hedges = leg.hedges
        asked = leg.asked
        rung = SearchReply.Rung(leg.rung)
        staleness = leg.staleness
        isStale = leg.isStale
        sqlState = leg.sqlstate
        message = leg.message
    }
}
