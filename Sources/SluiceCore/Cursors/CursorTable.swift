/// Names one cursor to its client, who has nothing but this to show for it: 128 bits that cannot be guessed.
public struct CursorID: Hashable, Sendable {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// Merged lists that the gateway holds so that a client can fetch them page by page. A cursor lives for `timeToLive`
/// after its last use; when the bytes run out before that, the least recently used one goes. A client whose cursor is
/// gone searches again.
///
/// All operations are O(1).
public struct CursorTable<Value: Sendable>: Sendable {
    /// Values out of their range are taken as the nearest one within.
    public struct Configuration: Hashable, Sendable {
        /// Of all cursors together, `CursorTable.overhead` for each included; 0 or more.
        public var mostBytes = 64 << 20
        /// Of one cursor, without the overhead; 0 or more.
        public var mostBytesPerCursor = 4 << 20
        /// After the last use; more than zero, or nothing is held.
        public var timeToLive: Duration = .seconds(60)

        public init() {}
    }

    public enum Insertion: Hashable, Sendable {
        /// So many of the least recently used went to make room.
        case held(CursorID, evicted: Int)
        case refused(Refusal)
    }

    public enum Refusal: Hashable, Sendable {
        /// More than one cursor may hold, or than all together may.
        case tooLarge
        /// Nothing is held for any time.
        case disabled
        /// The generator gave an id that is taken, which chance does not do: it is broken.
        case idTaken
    }

    /// Bytes that each cursor counts besides its value's.
    public static var overhead: Int { SizedTable<CursorID, Value>.overhead }

    private let mostBytesPerCursor: Int
    private let timeToLive: Int64
    private var table: SizedTable<CursorID, Value>
    /// A clock that goes back must not change the order in which cursors end.
    private var latest = Instant(nanoseconds: .min)

    public init(_ configuration: Configuration = Configuration()) {
        mostBytesPerCursor = max(0, configuration.mostBytesPerCursor)
        timeToLive = max(0, configuration.timeToLive.nanoseconds)
        table = SizedTable(mostBytes: configuration.mostBytes)
    }

    public var count: Int { table.count }
    public var bytes: Int { table.bytes }
    /// When to call `expire`; nil while nothing is held.
    public var nextExpiry: Instant? { table.nextDue }

    /// - Parameters:
    ///   - bytes: what the value takes, by the caller's reckoning; less than 0 counts as 0.
    ///   - generator: a cryptographic one, as the system's: whoever guesses an id reads another client's rows.
    public mutating func insert(
        _ value: Value, bytes: Int, now: Instant, using generator: inout some RandomNumberGenerator
    ) -> Insertion {
        _ = expire(now: now)
        guard timeToLive > 0 else { return .refused(.disabled) }
        guard bytes <= mostBytesPerCursor, let size = table.size(of: bytes) else { return .refused(.tooLarge) }
        let id = CursorID(high: generator.next(), low: generator.next())
        guard !table.contains(id) else { return .refused(.idTaken) }
        return .held(id, evicted: table.insert(value, for: id, bytes: size, due: due))
    }

    /// The value, whose time to live begins anew; nil if it is gone.
    public mutating func peek(_ id: CursorID, now: Instant) -> Value? {
        _ = expire(now: now)
        guard let value = table.use(id) else { return nil }
        table.renew(id, due: due)
        return value
    }

    /// Changes the value in its place, which is a use of it as well; nil if it is gone. The bytes stay as they were.
    public mutating func update<Result>(
        _ id: CursorID, now: Instant, _ change: (inout Value) -> Result
    ) -> Result? {
        guard var value = peek(id, now: now) else { return nil }
        let result = change(&value)
        table.replace(value, for: id)
        return result
    }

    /// The value, which is not held any longer; nil if it was gone.
    public mutating func take(_ id: CursorID, now: Instant) -> Value? {
        _ = expire(now: now)
        return table.remove(id)
    }

    /// True if it was held.
    public mutating func remove(_ id: CursorID) -> Bool { table.remove(id) != nil }

    /// - Returns: how many went because their time was over.
    public mutating func expire(now: Instant) -> Int {
        latest = max(latest, now)
        return table.removeDue(now: latest)
    }

    private var due: Instant { latest.later(byNanoseconds: timeToLive) }
}
