package import SluiceCore

/// Whether a session's peer still moves: sends the frame to its end that it has begun, and takes what waits for it.
/// Looked at from time to time; between two looks nothing is noted, so that a session that moves costs nothing.
package struct SessionWatch: Sendable {
    package struct Limits: Hashable, Sendable {
        /// From a frame's first byte to its last.
        package var frame: Duration
        /// Without that the peer takes anything. After as much again the session ends.
        package var idle: Duration

        package init(frame: Duration, idle: Duration) {
            self.frame = frame
            self.idle = idle
        }

        /// Four looks within the shorter of the two.
        package var pause: Duration { max(.milliseconds(1), min(frame, idle) / 4) }
    }

    /// What the session shows.
    package struct Signs: Hashable, Sendable {
        /// Frames that have been cut so far.
        package var frames: UInt64
        /// A part of a frame has come, and the rest is waited for.
        package var isWithinFrame: Bool
        /// Bytes that the peer has taken so far.
        package var taken: UInt64
        /// Bytes wait for it.
        package var isOwed: Bool

        package init(frames: UInt64, isWithinFrame: Bool, taken: UInt64, isOwed: Bool) {
            self.frames = frames
            self.isWithinFrame = isWithinFrame
            self.taken = taken
            self.isOwed = isOwed
        }
    }

    package enum Verdict: Hashable, Sendable {
        /// There is nothing to wait for.
        case rest
        case lookAgain
        /// Streams end: the peer does not take them.
        case endStreams
        case closeUnfinished
        case closeUnread
    }

    private let limits: Limits
    private var frame: (count: UInt64, since: Instant)?
    private var unread: (taken: UInt64, since: Instant, isTold: Bool)?

    package init(_ limits: Limits) { self.limits = limits }

    package mutating func looked(_ signs: Signs, now: Instant) -> Verdict {
        if !signs.isWithinFrame {
            frame = nil
        } else if frame?.count != signs.frames {
            frame = (signs.frames, now)
        }
        if !signs.isOwed {
            unread = nil
        } else if unread?.taken != signs.taken {
            unread = (signs.taken, now, false)
        }
        if let frame, frame.since.duration(to: now) >= limits.frame { return .closeUnfinished }
        if let unread {
            let time = unread.since.duration(to: now)
            if time >= limits.idle * 2 { return .closeUnread }
            if time >= limits.idle, !unread.isTold {
                self.unread?.isTold = true
                return .endStreams
            }
        }
        return frame == nil && unread == nil ? .rest : .lookAgain
    }
}
