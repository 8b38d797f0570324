/// What a server says of itself when it is asked again.
public struct ServerState: Sendable {
    public var isStandby: Bool
    /// Of a primary.
    public var timeline: UInt32?
    /// How far a primary has written, or a standby replayed.
    public var position: UInt64?
    /// Another number after each start of the server, and another one on each server.
    public var incarnation: UInt64?
    /// The cluster's; nil where the role may not ask for it.
    public var systemIdentifier: UInt64?
    /// Nil where the planner has none.
    public var estimatedRows: [Double?]
}
