/// One search over all its legs: when it is decided, and what the answer covers.
public struct FanOutMachine: Sendable {
    public enum Action: Hashable, Sendable {
        case wait
        /// Nothing that may still come changes the verdict: cancel the legs that run, and answer.
        case finish(Verdict)
    }

    public enum Verdict: Hashable, Sendable {
        /// `coverage` is the share of the asked (collection, shard) pairs that answered, from 0 to 1.
        case answer(coverage: Double)
        /// The leg whose failure decides the reply.
        case fail(leg: Int)
    }

    private let legCount: Int
    private let allowsPartial: Bool
    private var ended: Set<Int> = []
    private var answered = 0
    private var firstFailure: Int?

    public init(legCount: Int, allowsPartial: Bool) {
        self.legCount = legCount
        self.allowsPartial = allowsPartial
    }

    public mutating func legSucceeded(_ leg: Int) -> Action {
        guard ended.insert(leg).inserted else { return .wait }
        answered += 1
        return verdict()
    }

    public mutating func legFailed(_ leg: Int) -> Action {
        guard ended.insert(leg).inserted else { return .wait }
        if firstFailure == nil { firstFailure = leg }
        return verdict()
    }

    private func verdict() -> Action {
        if let firstFailure, !allowsPartial { return .finish(.fail(leg: firstFailure)) }
        guard ended.count == legCount else { return .wait }
        if let firstFailure, answered == 0 { return .finish(.fail(leg: firstFailure)) }
        return .finish(.answer(coverage: Double(answered) / Double(legCount)))
    }
}
