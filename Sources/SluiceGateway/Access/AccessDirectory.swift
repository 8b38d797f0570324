package import SluiceCore
internal import SluiceEngine
internal import Synchronization

/// The rules in force, for all sessions; they can be replaced while sessions are open.
package final class AccessDirectory: Sendable {
    private struct State {
        var rules: AccessRules
        var meters: [String: IdentityMeter] = [:]
        /// The most connections to each backend, which pool shares are shares of.
        var poolSizes: [Int]
    }

    private let state: Mutex<State>

    package init(_ rules: AccessRules, poolSizes: [Int]) {
        state = Mutex(State(rules: rules, poolSizes: poolSizes))
    }

    package var rules: AccessRules { state.withLock(\.rules) }

    /// - Returns: whether anything has changed.
    package func replace(_ rules: AccessRules) -> Bool {
        state.withLock { state in
            defer { state.rules = rules }
            return state.rules != rules
        }
    }

    /// Shares of pools are shares of these from now on.
    /// - Returns: whether anything has changed.
    func resized(_ poolSizes: [Int]) -> Bool {
        state.withLock { state in
            guard state.poolSizes != poolSizes else { return false }
            state.poolSizes = poolSizes
            state.meters = state.meters.filter { $0.value.limits.poolShare == nil }
            return true
        }
    }

    package func admit(
        token: (some Swift.Collection<UInt8>)?, peer: SessionPeer, at seconds: Int64, now: Instant
    ) throws(Refusal) -> SessionAccess {
        // Outside the lock: a hash takes longer than others should wait.
        let (credential, identity) = try rules.admit(token: token, peer: peer, at: seconds)
        return SessionAccess(credential: credential, identity: identity, meter: meter(of: identity, now: now))
    }

    /// What a session may do now; nil if it is not to go on.
    package func again(_ access: SessionAccess, at seconds: Int64, now: Instant) -> SessionAccess? {
        guard let identity = rules.identity(for: access.credential, at: seconds) else { return nil }
        let meter = meter(of: identity, now: now)
        if identity == access.identity, meter === access.meter { return access }
        return SessionAccess(credential: access.credential, identity: identity, meter: meter)
    }

    /// All sessions of an identity share one; other limits make another.
    private func meter(of identity: Identity, now: Instant) -> IdentityMeter {
        state.withLock { state in
            if let known = state.meters[identity.name], known.limits == identity.limits { return known }
            let made = IdentityMeter(identity, poolSizes: state.poolSizes, now: now)
            state.meters[identity.name] = made
            return made
        }
    }
}
