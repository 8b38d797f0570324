extension PoolMachine {
    /// What one lane's slice of a pool may do. The slices of a replica add up to its `max_size`.
    public struct Configuration: Hashable, Sendable {
        /// Connections kept up even if nobody asks: 0...maxSize.
        public internal(set) var minSize: Int
        /// Connections the server may see at once, those being dialled and closed among them: 0...largestSize. A slice
        /// of size 0 refuses everything.
        public internal(set) var maxSize: Int
        /// A connection idle for this long is closed while more than `minSize` are up; nil: never. Zero or more.
        public let maxIdle: Duration?
        /// The longest life of a connection, shortened by a jitter of up to a tenth; nil: no limit. Zero or more.
        public let maxLifetime: Duration?
        /// Legs that may queue, zero or more. A leg for which a dial runs or can start is taken also beyond it.
        public let maxWaiting: Int
        /// A connection idle for longer than this is checked before use; nil: never. Zero or more.
        public let checkAfterIdle: Duration?
        /// Dials at the same time, 1 or more, so that a restart does not meet every client at once.
        public let maxDialling: Int
        /// The pause after a failed dial.
        public let redial: Backoff

        /// More than any PostgreSQL accepts (`max_connections` ends there), so that sums of sizes cannot overflow.
        public static let largestSize = 262_143

        /// Values out of range are clamped into it.
        public init(
            minSize: Int, maxSize: Int, maxWaiting: Int, maxIdle: Duration? = nil, maxLifetime: Duration? = nil,
            checkAfterIdle: Duration? = nil, maxDialling: Int = 4,
            redial: Backoff = Backoff(base: .milliseconds(100), cap: .seconds(5))
        ) {
            self.maxSize = min(max(0, maxSize), Self.largestSize)
            self.minSize = min(max(0, minSize), self.maxSize)
            self.maxIdle = maxIdle.map { max(.zero, $0) }
            self.maxLifetime = maxLifetime.map { max(.zero, $0) }
            self.maxWaiting = max(0, maxWaiting)
            self.checkAfterIdle = checkAfterIdle.map { max(.zero, $0) }
            self.maxDialling = min(max(1, maxDialling), Self.largestSize)
            self.redial = redial
        }

        mutating func resize(minSize: Int, maxSize: Int) {
            self.maxSize = min(max(0, maxSize), Self.largestSize)
            self.minSize = min(max(0, minSize), self.maxSize)
        }
    }
}
