/// What a server says of itself when it is asked again.
public struct ServerState: Sendable {
    public var isStandby: Bool
    /// Of a primary.
    public var timeline: UInt32?
    /// How far a primary has written, or a standby replayed.
    public var position: UInt64?
    /// Another number after each start of the server, and another one on each server.
    public var incarnation: UInt64?
    /// Nil where the planner has none.
    public var estimatedRows: [Double?]
}

/// A place in a server's log, which PostgreSQL writes as two hexadecimal numbers: `16/B374D848`.
public enum LogPosition {
    /// Nil for anything else.
    public static func parse(_ text: some StringProtocol) -> UInt64? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let high = number(parts[0]), let low = number(parts[1]) else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }

    private static func number(_ digits: some StringProtocol) -> UInt32? {
        (1...8).contains(digits.utf8.count) && digits.allSatisfy(\.isHexDigit) ? UInt32(digits, radix: 16) : nil
    }
}
