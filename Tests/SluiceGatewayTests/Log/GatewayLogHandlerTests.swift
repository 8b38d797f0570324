import Logging
import SluiceGateway
import Synchronization
import Testing

@Suite struct GatewayLogHandlerTests {
    private final class Written: Sendable {
        let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
    }

    private struct Writer: LogHandler {
        let written: Written
        var logLevel = Logger.Level.info
        var metadata: Logger.Metadata = [:]

        init(_ written: Written) { self.written = written }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            let text = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
            written.lines.withLock { $0.append("\(event.level) \(event.message)\(text)") }
        }
    }

    private let written = Written()
    private let shared = GatewayLogHandler.Shared()

    private func logger(_ label: String = "test") -> Logger {
        Logger(label: label) { GatewayLogHandler(Writer(written), label: $0, shared: shared) }
    }

    // MARK: Levels

    @Test func theLevelChangesForAllLoggersAtOnce() {
        let (one, other) = (logger("one"), logger("other"))
        one.debug("a")
        shared.levels.set(.debug)
        one.debug("b")
        other.debug("c")
        shared.levels.set(.error)
        one.warning("d")
        other.error("e")
        #expect(written.all == ["debug b", "debug c", "error e"])
    }

    @Test func aLoggersOwnLevelIsItsOwn() {
        var own = logger()
        let other = own
        own.logLevel = .trace
        own.trace("a")
        other.trace("b")
        shared.levels.set(.critical)
        own.trace("c")
        #expect(written.all == ["trace a", "trace c"])
    }

    /// What an operator has set stays if a configuration is read anew that says what it said before.
    @Test func aConfigurationChangesTheLevelIfItChangesItself() {
        let levels = shared.levels
        #expect(levels.level == .info)
        levels.configure(.notice)
        #expect(levels.level == .notice)
        levels.set(.debug)
        levels.configure(.notice)
        #expect(levels.level == .debug)
        levels.configure(.warning)
        #expect(levels.level == .warning)
    }

    // MARK: Repeats

    @Test func repeatsOfALineAreLimited() {
        let logger = logger()
        for attempt in 0..<50 {
            logger.warning("replica cannot be reached: \(attempt) dials failed", metadata: ["replica": "s0-a"])
        }
        #expect(
            written.all.count == 5 && written.all[4] == "warning replica cannot be reached: 4 dials failed replica=s0-a"
        )
    }

    /// Where something happens, and how bad it is, makes another line of it; which request it happened to does not.
    @Test func otherLinesAreNotRepeats() {
        let logger = logger()
        for round in 0..<10 {
            for replica in ["s0-a", "s0-b"] {
                logger.notice("breaker opened", metadata: ["replica": "\(replica)", "request_id": "\(round)"])
                logger.warning("breaker opened", metadata: ["replica": "\(replica)", "trace_id": "\(round)"])
            }
        }
        #expect(written.all.count == 4 * 5)
        for round in 0..<10 { logger.notice("slow search", metadata: ["took": "\(round).5 ms"]) }
        #expect(written.all.count == 4 * 5 + 10)
    }

    /// As it has been written: on the line, or on the logger.
    @Test func linesOfLoggersForOtherThingsAreNotRepeats() {
        for replica in ["s0-a", "s0-b"] {
            var logger = logger()
            logger[metadataKey: "replica"] = "\(replica)"
            for attempt in 0..<10 { logger.warning("dial \(attempt) failed") }
        }
        #expect(written.all.count == 2 * 5)
        #expect(written.all.filter { $0.hasSuffix(" replica=s0-b") }.count == 5)
    }

    @Test func metadataOfALoggerIsKept() {
        var logger = logger()
        logger[metadataKey: "session"] = "7"
        logger.info("a")
        #expect(logger[metadataKey: "session"] == "7" && written.all == ["info a session=7"])
    }
}
