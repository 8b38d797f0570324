internal import NIOCore
internal import SluiceCore
internal import Synchronization

/// The sessions of one event loop that have had their share of it and have more to do. One at a time goes on, and
/// between two of them the loop looks at everything else. On its event loop only.
///
/// One timer for all of them: a loop runs every timer that is due before it looks at its sockets again, so that
/// sessions with timers of their own, each due when the others have had their turns, would keep it from them for ever.
final class LoopTurns {
    private let eventLoop: any EventLoop
    private var waiting = CircularBuffer<WeakSession>()
    private var isArmed = false

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Has a session go on when all that wait already have had a turn.
    /// - Parameter pause: how long others have the loop before.
    func wait(_ handler: SessionHandler, _ pause: Duration) {
        waiting.append(WeakSession(handler: handler))
        arm(pause)
    }

    private func arm(_ pause: Duration) {
        guard !isArmed, !waiting.isEmpty else { return }
        isArmed = true
        let turns = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.scheduleTask(in: .init(pause)) { turns.value.next() }
    }

    private func next() {
        isArmed = false
        var pause = TurnBudget.shortestPause
        while let first = waiting.popFirst() {
            guard let taken = first.handler?.goOn() else { continue }
            pause = taken
            break
        }
        arm(pause)
    }
}

/// A session for a timer to find, which may be over by then.
struct WeakSession {
    weak var handler: SessionHandler?
}

/// The turns of every event loop.
final class AllTurns: Sendable {
    private let loops = Mutex<[ObjectIdentifier: NIOLoopBound<LoopTurns>]>([:])

    /// On that loop only.
    func turns(of eventLoop: any EventLoop) -> LoopTurns {
        loops.withLock { loops in
            let id = ObjectIdentifier(eventLoop)
            if let turns = loops[id] { return turns }
            let turns = NIOLoopBound(LoopTurns(eventLoop), eventLoop: eventLoop)
            loops[id] = turns
            return turns
        }.value
    }
}
