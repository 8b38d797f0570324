package import Logging
internal import Synchronization

/// The least severe level that is logged, for the whole process; it can be changed at any time, and at once.
public final class LogLevels: Sendable {
    private let configured = Mutex(Logger.Level.info)
    /// Its place among all levels.
    private let current = Atomic(rank(.info))

    /// `info`, until a configuration says something else.
    public init() {}

    package var level: Logger.Level {
        Logger.Level.allCases[Int(current.load(ordering: .relaxed)) % Logger.Level.allCases.count]
    }

    /// What a configuration says. If it says the same as the one before it, what an operator has set meanwhile stays.
    package func configure(_ level: Logger.Level) {
        configured.withLock { configured in
            guard configured != level else { return }
            configured = level
            set(level)
        }
    }

    /// By an operator.
    package func set(_ level: Logger.Level) { current.store(Self.rank(level), ordering: .relaxed) }

    private static func rank(_ level: Logger.Level) -> UInt8 {
        UInt8(clamping: Logger.Level.allCases.firstIndex(of: level) ?? 0)
    }
}

extension Gateway {
    /// By an operator. A line says so, at the level that lets more through.
    package func setLogLevel(_ level: Logger.Level, of levels: LogLevels) {
        let before = levels.level
        if level < before { levels.set(level) }
        logger.notice("by an operator: log level \(level.rawValue)", metadata: ["before": "\(before.rawValue)"])
        levels.set(level)
    }
}
