package import NIOCore

/// When the names of gateways are looked up again: as long as the answer may be kept, at most an interval, and soon
/// after a connection has failed. Nothing runs by itself: it is asked whenever a request comes.
package struct RefreshClock: Sendable {
    /// Not oftener than this, whatever happens.
    package static let shortest: TimeAmount = .seconds(1)

    package var interval: TimeAmount = .seconds(30)
    private var began = NIODeadline.uptimeNanoseconds(0)
    private var due = NIODeadline.uptimeNanoseconds(0)
    private var isRunning = false

    package init() {}

    /// True if it is to be done now; then `succeeded` or `failed` follows.
    package mutating func begin(now: NIODeadline) -> Bool {
        guard !isRunning, now >= due else { return false }
        isRunning = true
        began = now
        return true
    }

    /// - Parameter timeToLive: in seconds.
    package mutating func succeeded(timeToLive: UInt32, now: NIODeadline) {
        isRunning = false
        began = now
        due = now + max(Self.shortest, min(interval, .seconds(Int64(timeToLive))))
    }

    package mutating func failed(now: NIODeadline) {
        isRunning = false
        began = now
        due = now + max(Self.shortest, min(interval, .seconds(5)))
    }

    package mutating func connectionFailed(now: NIODeadline) { due = min(due, began + Self.shortest) }
}
