internal import DequeModule

/// Items on their way out: collected, sent in batches one after another, and again after a failure that may pass. What
/// there is no room for is dropped, and counted.
public struct BatchMachine<Item: Sendable>: Sendable {
    public struct Configuration: Hashable, Sendable {
        /// How many items are held at most, those on their way included.
        public var capacity = 4_096
        /// The most in one batch.
        public var batch = 512
        /// How long the first item of a batch waits for others.
        public var delay: Duration = .seconds(1)
        /// How often a batch is sent before it is dropped.
        public var attempts = 8
        public var backoff = Backoff(base: .milliseconds(500), cap: .seconds(30))
        /// The longest that a receiver's own wish is waited for.
        public var longestPause: Duration = .seconds(60)

        public init() {}
    }

    public enum Action: Sendable {
        /// `ended` must follow.
        case send([Item])
        /// Look again then, or when `added` or `stopping` asks for it.
        case wait(until: Instant?)
        /// Everything has been sent or dropped, and nothing will be taken any more.
        case end
    }

    public enum Outcome: Hashable, Sendable {
        case delivered
        /// It may be taken later.
        case later(after: Duration?)
        /// It will never be.
        case refused
    }

    private let configuration: Configuration
    private var queue: Deque<Item> = []
    /// When the first of the queue came.
    private var since = Instant(nanoseconds: 0)
    /// On its way, or waiting to be sent again.
    private var batch: [Item] = []
    private var isSending = false
    private var failures = 0
    private var notBefore = Instant(nanoseconds: 0)
    private var stopBy: Instant?
    private var isOver = false

    public private(set) var delivered: UInt64 = 0
    public private(set) var dropped: UInt64 = 0

    public init(_ configuration: Configuration = .init()) { self.configuration = configuration }

    public var held: Int { queue.count + batch.count }

    /// - Returns: whether `next` has something new to say.
    public mutating func added(_ item: Item, now: Instant) -> Bool {
        guard !isOver, held < configuration.capacity else {
            dropped += 1
            return false
        }
        if queue.isEmpty { since = now }
        queue.append(item)
        return queue.count == 1 || queue.count == configuration.batch
    }

    /// What is to be done now, as long as nothing is being sent.
    public mutating func next(now: Instant) -> Action {
        if isOver { return .end }
        if isSending { return .wait(until: nil) }
        if let stopBy, now >= stopBy {
            dropped += UInt64(held)
            return over()
        }
        if batch.isEmpty {
            guard !queue.isEmpty else { return stopBy == nil ? .wait(until: nil) : over() }
            let due = since.advanced(by: configuration.delay)
            guard stopBy != nil || queue.count >= configuration.batch || now >= due else { return .wait(until: due) }
            batch = Array(queue.prefix(configuration.batch))
            queue.removeFirst(batch.count)
            since = now
            (failures, notBefore) = (0, now)
        }
        guard now >= notBefore else { return .wait(until: min(notBefore, stopBy ?? notBefore)) }
        isSending = true
        return .send(batch)
    }

    /// What became of the batch that was to be sent.
    public mutating func ended(
        _ outcome: Outcome, now: Instant, using generator: inout some RandomNumberGenerator
    ) {
        guard isSending else { return }
        isSending = false
        switch outcome {
        case .delivered:
            delivered += UInt64(batch.count)
            batch = []
        case .refused: dropBatch()
        case .later(let wish):
            failures += 1
            guard failures < configuration.attempts else { return dropBatch() }
            let pause = configuration.backoff.delay(attempt: failures - 1, using: &generator)
            notBefore = now.advanced(by: max(pause, min(wish ?? .zero, configuration.longestPause)))
        }
    }

    /// What is held leaves without waiting for more; what has not left by then is dropped.
    public mutating func stopping(by limit: Instant) { stopBy = min(limit, stopBy ?? limit) }

    private mutating func dropBatch() {
        dropped += UInt64(batch.count)
        batch = []
    }

    private mutating func over() -> Action {
        queue.removeAll()
        batch = []
        isOver = true
        return .end
    }
}
