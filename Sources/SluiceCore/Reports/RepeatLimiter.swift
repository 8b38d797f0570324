/// Lets the same line be written so often within a while, and counts those that are left out. So many different lines
/// are known at a time; further ones are all written.
public struct RepeatLimiter<Line: Hashable & Sendable>: Sendable {
    public struct Policy: Hashable, Sendable {
        public var most = 5
        public var window: Duration = .seconds(10)
        public var mostLines = 256

        public init() {}
    }

    /// What was left out of a line while a window of its was open, which is closed now.
    public struct LeftOut: Hashable, Sendable {
        public var line: Line
        public var count: Int

        public init(line: Line, count: Int) {
            self.line = line
            self.count = count
        }
    }

    private struct Window {
        var end: Instant
        var seen = 0
    }

    private let policy: Policy
    private var windows: [Line: Window] = [:]
    /// The first end of a window.
    private var nextEnd = Instant.distantFuture

    public init(_ policy: Policy = .init()) { self.policy = policy }

    /// - Returns: whether it is to be written, and what is to be said before it.
    public mutating func seen(_ line: Line, now: Instant) -> (isWritten: Bool, leftOut: [LeftOut]) {
        let leftOut = nextEnd <= now ? closeWindows(now: now) : []
        if windows[line] == nil {
            guard windows.count < policy.mostLines else { return (true, leftOut) }
            let end = now.advanced(by: policy.window)
            windows[line] = Window(end: end)
            nextEnd = min(nextEnd, end)
        }
        windows[line]?.seen += 1
        return ((windows[line]?.seen ?? 1) <= policy.most, leftOut)
    }

    /// In the order of their ends.
    private mutating func closeWindows(now: Instant) -> [LeftOut] {
        let over = windows.filter { $0.value.end <= now }.sorted { $0.value.end < $1.value.end }
        for (line, _) in over { windows[line] = nil }
        nextEnd = windows.values.map(\.end).min() ?? .distantFuture
        return over.filter { $0.value.seen > policy.most }.map {
            LeftOut(line: $0.key, count: $0.value.seen - policy.most)
        }
    }
}
