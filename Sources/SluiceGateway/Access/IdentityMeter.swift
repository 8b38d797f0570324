internal import SluiceCore
internal import SluiceEngine
internal import Synchronization

/// What all sessions of an identity use together, held against its limits.
package final class IdentityMeter: Sendable {
    private struct Rates {
        var requests: RateAllowance?
        var bytes: RateAllowance?
    }

    let limits: IdentityLimits
    /// What the engine has to know of the identity.
    let tenant: Tenant?
    private let rates: Mutex<Rates>
    private let hasRates: Bool
    private let inFlight = Atomic<Int>(0)

    init(_ identity: Identity, poolSizes: [Int], now: Instant) {
        limits = identity.limits
        tenant =
            identity.name.isEmpty
            ? nil
            : Tenant(
                name: identity.name,
                share: limits.poolShare.map { share in
                    PoolShare(most: poolSizes.map { max(1, Int(Double($0) * share)) })
                }
            )
        rates = Mutex(
            Rates(
                requests: limits.requestsPerSecond.map { RateAllowance(perSecond: $0, now: now) },
                bytes: limits.bytesPerSecond.map { RateAllowance(perSecond: $0, now: now) }))
        hasRates = limits.requestsPerSecond != nil || limits.bytesPerSecond != nil
    }

    /// Counts a request of so many bytes.
    /// - Throws: `busy` with a time after which it is worth trying again.
    func requested(bytes: Int, now clock: @autoclosure () -> Instant) throws(SearchError) {
        guard hasRates else { return }
        let now = clock()
        let refusal = rates.withLock { rates -> SearchError? in
            if rates.requests?.tryTake(now: now) == false {
                return busy("requests", rates.requests?.wait() ?? .zero)
            }
            // What one frame or answer takes is known too late to be refused: what is overdrawn has to fill up.
            guard rates.bytes?.tryTake(1, now: now) != false else {
                return busy("bytes", rates.bytes?.wait() ?? .zero)
            }
            rates.bytes?.take(bytes, now: now)
            return nil
        }
        if let refusal { throw refusal }
    }

    /// Counts an answer.
    func answered(bytes: Int, now clock: @autoclosure () -> Instant) {
        guard limits.bytesPerSecond != nil else { return }
        let now = clock()
        rates.withLock { $0.bytes?.take(bytes, now: now) }
    }

    private func busy(_ what: String, _ wait: Duration) -> SearchError {
        SearchError(
            .busy, "this identity has used up its \(what) a second; temporarily busy, retry", retryAfter: wait)
    }

    /// A place among the requests in flight, until its work has ended.
    /// - Returns: false if there is none.
    func begin() -> Bool {
        guard let most = limits.maxInFlight else { return true }
        guard inFlight.add(1, ordering: .relaxed).newValue <= most else {
            inFlight.subtract(1, ordering: .relaxed)
            return false
        }
        return true
    }

    func end() { if limits.maxInFlight != nil { inFlight.subtract(1, ordering: .relaxed) } }
}
