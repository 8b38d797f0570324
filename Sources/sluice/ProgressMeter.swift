import Foundation
import SluiceClient
import Synchronization

/// Progress on standard error: one line that moves on a terminal, else a line every few seconds.
final class ProgressMeter: Sendable {
    private struct State {
        var shown: ContinuousClock.Instant
        var phase = LoadProgress.Phase.rows
        var isDrawn = false
    }

    private let start = ContinuousClock.now
    private let total: Int?
    private let isTerminal = isatty(2) == 1
    private let state = Mutex(State(shown: .now))

    /// - Parameter total: how many rows there will be, if that is known.
    init(total: Int?) { self.total = total }

    func note(_ progress: LoadProgress) {
        let now = ContinuousClock.now
        let isDue = state.withLock { state in
            guard state.shown.duration(to: now) >= pause || state.phase != progress.phase else { return false }
            (state.shown, state.phase, state.isDrawn) = (now, progress.phase, true)
            return true
        }
        guard isDue else { return }
        draw(Self.line(progress, total: total, elapsed: start.duration(to: now)))
    }

    /// Puts another line in the place of the last.
    /// - Parameter line: is only asked for what is shown.
    func show(_ line: () -> String) {
        let now = ContinuousClock.now
        let isDue = state.withLock { state in
            guard state.shown.duration(to: now) >= pause else { return false }
            (state.shown, state.isDrawn) = (now, true)
            return true
        }
        if isDue { draw(line()) }
    }

    private var pause: Duration { isTerminal ? .milliseconds(100) : .seconds(5) }

    private func draw(_ text: String) { write(isTerminal ? "\r\u{1B}[K\(text)" : "\(text)\n") }

    /// Takes the line away.
    func end() {
        if isTerminal, state.withLock({ $0.isDrawn }) { write("\r\u{1B}[K") }
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

    static func line(_ progress: LoadProgress, total: Int?, elapsed: Duration) -> String {
        let seconds = max(0.001, Double(Output.microseconds(elapsed)) / 1e6)
        let whole = progress.phase == .rows ? total : progress.total > 0 ? progress.total : nil
        var parts: [String] = []
        if let whole, whole > 0 {
            let share = min(1, Double(progress.done) / Double(whole))
            let bar = Int(share * 24)
            parts.append(
                "[\(String(repeating: "#", count: bar))\(String(repeating: ".", count: 24 - bar))] "
                    + String(format: "%.0f%%", share * 100))
        }
        let shard = progress.shard.map { " on \($0)" } ?? ""
        guard progress.phase == .rows else {
            return (["\(progress.phase.rawValue)\(shard)"] + parts).joined(separator: " ")
        }
        let rate = Double(progress.done) / seconds
        parts.append("\(progress.done) rows, \(String(format: "%.0f", rate)) rows/s")
        if let whole, rate > 0, progress.done < whole {
            parts.append(left(Double(whole - progress.done) / rate))
        }
        return parts.joined(separator: ", ")
    }

    private static func left(_ seconds: Double) -> String {
        let whole = Int(min(seconds.rounded(.up), 359_999))
        guard whole >= 60 else { return "\(whole) s left" }
        let minutes = whole / 60
        return minutes >= 60 ? "\(minutes / 60) h \(minutes % 60) min left" : "\(minutes) min \(whole % 60) s left"
    }
}
