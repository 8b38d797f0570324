/// How many bytes of rows a client may still send: what it was granted less what it has sent.
public struct CreditLedger: Hashable, Sendable {
    public private(set) var left: Int

    /// - Parameter initial: bytes granted at the start.
    public init(initial: Int) { left = max(0, initial) }

    /// - Returns: false if the client has sent more than it was granted.
    public mutating func received(_ bytes: Int) -> Bool {
        guard bytes >= 0, bytes <= left else { return false }
        left -= bytes
        return true
    }

    public mutating func granted(_ bytes: Int) {
        left = left.addingReportingOverflow(max(0, bytes)).overflow ? .max : left + max(0, bytes)
    }
}

/// Gathers what has been used up of a window, to be granted again in portions that are worth a frame.
public struct CreditReturn: Hashable, Sendable {
    private let portion: Int
    private var gathered = 0

    public init(window: Int) { portion = max(1, window / 8) }

    /// - Returns: bytes to grant now; nil while they are few.
    public mutating func used(_ bytes: Int) -> Int? {
        gathered += max(0, bytes)
        guard gathered >= portion else { return nil }
        defer { gathered = 0 }
        return gathered
    }
}
