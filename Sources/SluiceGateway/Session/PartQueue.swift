internal import SluiceEngine
internal import Synchronization

/// Parts of one stream on their way to the session, which sends them as the client reads.
final class PartQueue: Sendable {
    let stream: AsyncStream<AnswerPart>
    private let continuation: AsyncStream<AnswerPart>.Continuation
    private let backlog: SharedBacklog
    private let account: MemoryAccount?
    private let most: Int
    private let untaken: Int
    private let held = Atomic<Int>(0)
    private let isFull = Atomic<Bool>(false)

    /// - Parameters:
    ///   - most: bytes that the session's streams may hold together.
    ///   - account: the session's.
    init(_ backlog: SharedBacklog, most: Int, account: MemoryAccount?) {
        self.backlog = backlog
        self.account = account
        self.most = most
        untaken = backlog.untaken.load(ordering: .relaxed)
        (stream, continuation) = AsyncStream.makeStream()
    }

    func add(_ part: AnswerPart) {
        guard !isFull.load(ordering: .relaxed) else { return }
        guard backlog.bytes.add(part.bytes, ordering: .relaxed).newValue <= most else {
            backlog.bytes.subtract(part.bytes, ordering: .relaxed)
            return isFull.store(true, ordering: .relaxed)
        }
        held.add(part.bytes, ordering: .relaxed)
        account?.add(part.bytes)
        continuation.yield(part)
    }

    func finish() { continuation.finish() }

    func sent(_ part: AnswerPart) {
        held.subtract(part.bytes, ordering: .relaxed)
        letGo(part.bytes)
    }

    private func letGo(_ bytes: Int) {
        backlog.bytes.subtract(bytes, ordering: .relaxed)
        account?.add(-bytes)
    }

    /// What has not been sent will not be.
    func drop() {
        letGo(held.exchange(0, ordering: .relaxed))
    }

    var failure: SearchError? {
        if backlog.untaken.load(ordering: .relaxed) != untaken {
            return SearchError(
                .deadlineExceeded, "the client took nothing of the stream for too long (limits.stream_idle)")
        }
        guard isFull.load(ordering: .relaxed) else { return nil }
        return SearchError(
            .busy, "this session's streams hold more than \(most) bytes that have not been read; read them first",
            retryAfter: .seconds(1))
    }
}

/// Bytes of hits that all streams of a session hold because their client has not read them.
final class SharedBacklog: Sendable {
    let bytes = Atomic<Int>(0)
    /// How often the streams were ended because the client took nothing.
    let untaken = Atomic<Int>(0)
}
