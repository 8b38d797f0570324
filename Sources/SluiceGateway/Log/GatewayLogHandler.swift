public import Logging
internal import SluiceCore
internal import SluiceReactor
internal import Synchronization

/// Hands lines on to another handler: those of the level that `LogLevels` says just now, and of lines that are repeated
/// only so many, with a line on how many were left out.
public struct GatewayLogHandler: LogHandler {
    /// What all loggers of a process share.
    public final class Shared: Sendable {
        public let levels = LogLevels()
        fileprivate let repeats = Mutex(RepeatLimiter<Line>())

        public init() {}
    }

    /// What two lines must share to be repeats of one another. Numbers in a message do not count, nor does which
    /// request it was.
    fileprivate struct Line: Hashable, Sendable {
        /// As it was the first time.
        let shown: String
        var level: Logger.Level
        var label: String
        var message: String
        var metadata: Logger.Metadata

        /// - Parameter own: the logger's metadata.
        init(_ event: LogEvent, _ own: Logger.Metadata, label: String) {
            level = event.level
            self.label = label
            shown = event.message.description
            message = shown.withoutNumbers
            metadata = own.merging(event.metadata ?? [:]) { $1 }
            for name in Self.ofOneRequest { metadata[name] = nil }
        }

        private static let ofOneRequest = ["request", "request_id", "session", "span_id", "trace", "trace_id"]

        static func == (left: Line, right: Line) -> Bool {
            left.level == right.level && left.label == right.label && left.message == right.message
                && left.metadata == right.metadata
        }

        func hash(into hasher: inout Hasher) {
            hasher.combine(level)
            hasher.combine(message)
            for name in metadata.keys.sorted() { hasher.combine(metadata[name]?.description) }
        }
    }

    private let label: String
    private let shared: Shared
    private var inner: any LogHandler
    /// Of this logger alone.
    private var ownLevel: Logger.Level?

    public init(_ inner: any LogHandler, label: String, shared: Shared) {
        self.inner = inner
        self.label = label
        self.shared = shared
        // It is asked for nothing that is not to be logged.
        self.inner.logLevel = .trace
    }

    public var logLevel: Logger.Level {
        get { ownLevel ?? shared.levels.level }
        set { ownLevel = newValue }
    }

    public var metadata: Logger.Metadata {
        get { inner.metadata }
        set { inner.metadata = newValue }
    }

    public var metadataProvider: Logger.MetadataProvider? {
        get { inner.metadataProvider }
        set { inner.metadataProvider = newValue }
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { inner[metadataKey: key] }
        set { inner[metadataKey: key] = newValue }
    }

    public func log(event: LogEvent) {
        let line = Line(event, inner.metadata, label: label)
        let now = Instant(nanoseconds: Reactor.now())
        let (isWritten, leftOut) = shared.repeats.withLock { $0.seen(line, now: now) }
        // What was left out may be of another logger: its line tells of that one's metadata, and not of this one's.
        var summary = inner
        if !leftOut.isEmpty { summary.metadata = [:] }
        if !leftOut.isEmpty, summary.metadataProvider != nil { summary.metadataProvider = nil }
        for each in leftOut {
            var metadata = each.line.metadata
            metadata["left_out"] = "\(each.count)"
            summary.log(
                event: LogEvent(
                    level: each.line.level, message: "repeated: \(each.line.shown)", metadata: metadata,
                    source: nil, file: event.file, function: event.function, line: event.line))
        }
        if isWritten { inner.log(event: event) }
    }
}

extension String {
    /// Each number, with its fraction, is `#`.
    fileprivate var withoutNumbers: String {
        var text = ""
        text.reserveCapacity(utf8.count)
        var isInNumber = false
        for scalar in unicodeScalars {
            let isDigit = ("0"..."9").contains(scalar)
            if isDigit {
                if !isInNumber { text += "#" }
                isInNumber = true
            } else if !isInNumber || scalar != "." {
                text.unicodeScalars.append(scalar)
                isInNumber = false
            }
        }
        return text
    }
}
