/// Answers kept for a while, so that the same search asked again costs nothing. An answer is given at most
/// `timeToLive` after it was stored, however often it was asked for; whoever asks accepts that it is that old.
///
/// All operations are O(1), but for `removeAll(where:)`.
public struct ResultCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// Values out of their range are taken as the nearest one within.
    public struct Configuration: Hashable, Sendable {
        /// Of all that is held together, `ResultCache.overhead` for each included; 0 or more.
        public var mostBytes = 64 << 20
        /// More than zero, or nothing is held.
        public var timeToLive: Duration = .seconds(1)

        public init() {}
    }

    public enum Insertion: Hashable, Sendable {
        /// So many of the least recently used went to make room.
        case stored(evicted: Int)
        /// It is larger than the whole bound, or nothing lives.
        case refused
    }

    /// Totals since it was made; they wrap.
    public struct Counters: Hashable, Sendable {
        public var hits: UInt64 = 0
        public var misses: UInt64 = 0
        public var evicted: UInt64 = 0
        public var expired: UInt64 = 0

        public init() {}
    }

    /// Bytes that each value counts besides its own.
    public static var overhead: Int { SizedTable<Key, Value>.overhead }

    private let timeToLive: Int64
    private var table: SizedTable<Key, Value>
    /// A clock that goes back must not change the order in which entries end.
    private var latest = Instant(nanoseconds: .min)
    public private(set) var counters = Counters()

    public init(_ configuration: Configuration = Configuration()) {
        timeToLive = max(0, configuration.timeToLive.nanoseconds)
        table = SizedTable(mostBytes: configuration.mostBytes)
    }

    public var count: Int { table.count }
    public var bytes: Int { table.bytes }
    /// When to call `expire`; nil while nothing is held.
    public var nextExpiry: Instant? { table.nextDue }

    /// What was stored under the key, if it still lives.
    public mutating func value(for key: Key, now: Instant) -> Value? {
        _ = expire(now: now)
        let value = table.use(key)
        if value == nil { counters.misses &+= 1 } else { counters.hits &+= 1 }
        return value
    }

    /// Takes the place of what was stored under the key; that is gone too if this is refused, as it is outdated.
    /// - Parameter bytes: what the value takes, by the caller's reckoning; less than 0 counts as 0.
    public mutating func insert(_ value: Value, for key: Key, bytes: Int, now: Instant) -> Insertion {
        _ = expire(now: now)
        guard timeToLive > 0, let size = table.size(of: bytes) else {
            _ = table.remove(key)
            return .refused
        }
        let evicted = table.insert(value, for: key, bytes: size, due: latest.later(byNanoseconds: timeToLive))
        counters.evicted &+= UInt64(evicted)
        return .stored(evicted: evicted)
    }

    /// True if something was stored under the key.
    public mutating func remove(_ key: Key) -> Bool { table.remove(key) != nil }

    /// For what a write has made wrong. Looks at every key.
    /// - Returns: how many went.
    public mutating func removeAll(where isChosen: (Key) -> Bool) -> Int { table.removeAll(where: isChosen) }

    /// - Returns: how many went because their time was over.
    public mutating func expire(now: Instant) -> Int {
        latest = max(latest, now)
        let expired = table.removeDue(now: latest)
        counters.expired &+= UInt64(expired)
        return expired
    }
}
