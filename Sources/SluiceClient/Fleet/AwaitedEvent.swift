internal import NIOCore
internal import NIOPosix

/// A call waits for what other tasks bring about: until then, until its time is up, or until it is cancelled.
/// - Parameters:
///   - limit: nil for as long as it takes.
///   - enlist: takes whom to resume, once, with what has come.
///   - timeIsUp: resumes it, if that has not been done yet.
///   - cancelled: the same.
func awaitEvent<Event: Sendable>(
    until limit: TimeLimit?, enlist: (CheckedContinuation<Event, Never>) -> Void,
    timeIsUp: @escaping @Sendable (TimeLimit) -> Void, cancelled: @escaping @Sendable () -> Void
) async -> Event {
    var timer: Scheduled<Void>?
    let event = await withTaskCancellationHandler {
        await withCheckedContinuation { (waiter: CheckedContinuation<Event, Never>) in
            enlist(waiter)
            timer = limit.map { limit in
                MultiThreadedEventLoopGroup.singleton.next().scheduleTask(deadline: limit.deadline) { timeIsUp(limit) }
            }
            // A cancel that came before the line above found nobody to tell: say it again.
            if Task.isCancelled { cancelled() }
        }
    } onCancel: {
        cancelled()
    }
    timer?.cancel()
    return event
}

extension SluiceError {
    static var callCancelled: SluiceError { SluiceError(.cancelled, "the call was cancelled") }
}
