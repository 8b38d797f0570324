internal import CLinuxEvents
internal import DequeModule
internal import Glibc
internal import HeapModule

/// What a descriptor is watched for.
public enum Interest: Sendable {
    case read
    case write
    case readWrite

    fileprivate var events: UInt32 {
        switch self {
        case .read: EPOLLIN.rawValue | EPOLLRDHUP.rawValue
        case .write: EPOLLOUT.rawValue
        case .readWrite: EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLOUT.rawValue
        }
    }
}

/// Told on the reactor's thread that its descriptor can be read or written, or that the peer has gone. Kept alive while
/// it is watched.
public protocol DescriptorOwner: AnyObject {
    func descriptorIsReady()
}

/// A descriptor that is being watched. Level-triggered: the owner is told as long as it does not read what is there.
public struct Watch: Hashable, Sendable {
    let descriptor: Int32
    let generation: UInt32
}

public struct TimerID: Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// The state of a reactor that only its own thread touches: ready jobs, watched descriptors, timers.
final class ReactorLoop {
    private struct Entry {
        var generation: UInt32
        var owner: any DescriptorOwner
    }

    private struct TimerSlot {
        /// Counts the slot's uses, so that a stale identifier finds nothing.
        var generation: UInt32
        var body: (() -> Void)?
    }

    private struct Timer: Comparable {
        var at: Int64
        var id: UInt64

        static func < (left: Timer, right: Timer) -> Bool { (left.at, left.id) < (right.at, right.id) }
    }

    /// The token of the wake-up event; no descriptor has this number.
    private static let wakeToken = UInt64.max
    private static let eventsPerPoll = 128

    let epoll: Int32
    private var wakeEvent: Int32 = -1
    var jobs: Deque<UnownedJob> = []
    /// By descriptor: the kernel hands out the smallest free number, so this stays as short as it can be.
    private var entries: [Entry?] = []
    private var nextGeneration: UInt32 = 0
    private var heap: Heap<Timer> = []
    private var timers: [TimerSlot] = []
    private var freeTimers: [Int] = []
    private var events = Array(repeating: epoll_event(), count: eventsPerPoll)

    init(epoll: Int32) { self.epoll = epoll }

    func watchWakeEvent(_ event: Int32) {
        wakeEvent = event
        _ = sluice_epoll_arm(epoll, event, EPOLLIN.rawValue, Self.wakeToken, 1)
    }

    // MARK: Descriptors

    func watch(_ descriptor: Int32, for interest: Interest, owner: any DescriptorOwner) throws(ReactorError) -> Watch {
        guard descriptor >= 0 else { throw ReactorError(operation: "epoll_ctl", errno: EBADF) }
        nextGeneration &+= 1
        let watch = Watch(descriptor: descriptor, generation: nextGeneration)
        let result = sluice_epoll_arm(epoll, descriptor, interest.events, Self.token(watch), 1)
        guard result == 0 else { throw ReactorError(operation: "epoll_ctl", errno: result) }
        let missing = Int(descriptor) + 1 - entries.count
        if missing > 0 { entries.append(contentsOf: repeatElement(nil, count: missing)) }
        entries[Int(descriptor)] = Entry(generation: nextGeneration, owner: owner)
        return watch
    }

    func change(_ watch: Watch, to interest: Interest) throws(ReactorError) {
        guard entry(watch.descriptor, watch.generation) != nil else { return }
        let result = sluice_epoll_arm(epoll, watch.descriptor, interest.events, Self.token(watch), 0)
        guard result == 0 else { throw ReactorError(operation: "epoll_ctl", errno: result) }
    }

    func unwatch(_ watch: Watch) {
        guard entry(watch.descriptor, watch.generation) != nil else { return }
        entries[Int(watch.descriptor)] = nil
        _ = sluice_epoll_remove(epoll, watch.descriptor)
    }

    /// Nil for a descriptor that has another owner by now, or none.
    private func entry(_ descriptor: Int32, _ generation: UInt32) -> Entry? {
        guard entries.indices.contains(Int(descriptor)), let entry = entries[Int(descriptor)],
            entry.generation == generation
        else { return nil }
        return entry
    }

    private static func token(_ watch: Watch) -> UInt64 {
        UInt64(watch.generation) << 32 | UInt64(UInt32(bitPattern: watch.descriptor))
    }

    // MARK: Timers

    func schedule(at instant: Int64, _ body: @escaping () -> Void) -> TimerID {
        let slot = freeTimers.popLast() ?? timers.count
        if slot == timers.count { timers.append(TimerSlot(generation: 0, body: nil)) }
        timers[slot].generation &+= 1
        timers[slot].body = body
        let id = UInt64(timers[slot].generation) << 32 | UInt64(slot)
        heap.insert(Timer(at: instant, id: id))
        return TimerID(rawValue: id)
    }

    /// The entry stays in the heap until its time, or until such gaps outnumber the timers.
    func cancel(_ timer: TimerID) {
        guard take(timer.rawValue) != nil else { return }
        if heap.count > 64, heap.count > 2 * (timers.count - freeTimers.count) {
            heap = Heap(heap.unordered.filter { isScheduled($0.id) })
        }
    }

    func fireTimers(now: Int64) {
        while let first = heap.min, first.at <= now {
            _ = heap.popMin()
            take(first.id)?()
        }
    }

    private func isScheduled(_ id: UInt64) -> Bool {
        let slot = Int(id & 0xFFFF_FFFF)
        return timers.indices.contains(slot) && timers[slot].generation == UInt32(id >> 32) && timers[slot].body != nil
    }

    private func take(_ id: UInt64) -> (() -> Void)? {
        guard isScheduled(id) else { return nil }
        let slot = Int(id & 0xFFFF_FFFF)
        freeTimers.append(slot)
        return timers[slot].body.take()
    }

    // MARK: epoll

    func poll(mayBlock: Bool) {
        let count = events.withUnsafeMutableBufferPointer { buffer in
            epoll_wait(epoll, buffer.baseAddress, Int32(buffer.count), mayBlock ? timeoutMilliseconds() : 0)
        }
        guard count > 0 else { return }
        for index in 0..<Int(count) { deliver(events[index].data.u64) }
    }

    private func deliver(_ token: UInt64) {
        if token == Self.wakeToken {
            sluice_event_drain(wakeEvent)
            return
        }
        let descriptor = Int32(bitPattern: UInt32(truncatingIfNeeded: token))
        // An event of an earlier owner of the same number is dropped.
        entry(descriptor, UInt32(token >> 32))?.owner.descriptorIsReady()
    }

    /// Rounded up, so that a timer is due when the wait ends.
    private func timeoutMilliseconds() -> Int32 {
        while let first = heap.min, !isScheduled(first.id) { _ = heap.popMin() }
        guard let next = heap.min else { return -1 }
        let left = max(0, next.at.subtractingReportingOverflow(Reactor.now()).partialValue)
        return Int32(clamping: left / 1_000_000 + (left % 1_000_000 == 0 ? 0 : 1))
    }
}

extension Reactor {
    /// Watches a descriptor until `unwatch`, and keeps the owner alive as long. On the reactor's thread only.
    public func watch(
        _ descriptor: Int32, for interest: Interest, owner: any DescriptorOwner
    ) throws(ReactorError) -> Watch {
        preconditionOnReactor()
        return try loop.watch(descriptor, for: interest, owner: owner)
    }

    public func change(_ watch: Watch, to interest: Interest) throws(ReactorError) {
        preconditionOnReactor()
        try loop.change(watch, to: interest)
    }

    /// Before the descriptor is closed: a closed one gives no event, and its number may be another's by then.
    public func unwatch(_ watch: Watch) {
        preconditionOnReactor()
        loop.unwatch(watch)
    }

    /// Runs `body` on the reactor's thread at an instant of `Reactor.now()`, or soon after. On that thread only.
    public func schedule(at instant: Int64, _ body: @escaping () -> Void) -> TimerID {
        preconditionOnReactor()
        return loop.schedule(at: instant, body)
    }

    public func cancel(_ timer: TimerID) {
        preconditionOnReactor()
        loop.cancel(timer)
    }
}
