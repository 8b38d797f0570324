/// Why a replica gets no ordinary attempts.
public enum Ejection: Hashable, Sendable {
    case none
    /// It answers, but slowly: still better than no answer.
    case slowness
    /// It does not answer, or is kept out by hand.
    case failure
}

/// Never all replicas of a shard are ejected for slowness: if too few would be left, the slow ones are used after all,
/// since the load of all on the few makes those slow too. Failures may eject every one.
///
/// Source: Envoy, "Panic threshold" of its load balancers; Finagle's PanicMode has the same default, a half.
public struct PanicThreshold: Hashable, Sendable {
    /// Of all the shard's replicas, how many must be left without the slow ones, 0...1. With 0 the slow ones are used
    /// only when nobody else is left.
    public var minimumHealthyShare: Double

    public init(minimumHealthyShare: Double = 0.5) { self.minimumHealthyShare = minimumHealthyShare }

    /// The slow replicas to be used in spite of their ejection: bit i for place i. Places from 64 on are not looked at.
    public func readmitted(count: Int, _ ejection: (Int) -> Ejection) -> UInt64 {
        let count = min(max(0, count), 64)
        var slow: UInt64 = 0
        var healthy = 0
        for place in 0..<count {
            switch ejection(place) {
            case .none: healthy += 1
            case .slowness: slow |= 1 << UInt64(place)
            case .failure: break
            }
        }
        let isPanic = healthy == 0 || Double(healthy) < minimumHealthyShare.clampedShare * Double(count)
        return isPanic ? slow : 0
    }
}
