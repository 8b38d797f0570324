extension BreakerMachine {
    /// Values out of their range are taken as the nearest one within.
    public struct Configuration: Hashable, Sendable {
        /// Failures in a row that open it; at least 1.
        public var consecutiveFailures = 5
        /// 0...1 of the calls in the window; at least one must have failed.
        public var failureShare = 0.5
        /// Calls in the window below which no share says anything.
        public var minimumVolume = 20
        /// A call that takes longer is slow; nil: none is.
        public var slowThreshold: Duration?
        /// 0...1 of the calls in the window; at least one must have been slow.
        public var slowShare = 0.8
        /// How far back the shares look.
        public var window: Duration = .seconds(10)
        /// How long it stays open: the base the first time, doubled each time after, up to the cap.
        public var openTime = Backoff(base: .seconds(1), cap: .seconds(30))
        /// The open time is drawn evenly from this share below to this share above; 0...1, so it can exceed the cap.
        public var jitter = 0.2
        /// After being closed for this long, the open time starts from the base again.
        public var calmTime: Duration = .seconds(30)
        /// Probes at the same time, 1...64.
        public var halfOpenProbes = 1
        /// Probes that must succeed before it closes; at least 1.
        public var successesToClose = 2
        /// A probe that has not ended by then no longer takes a slot.
        public var probeTimeout: Duration = .seconds(10)

        public init() {}
    }

    public enum Position: Hashable, Sendable {
        case closed
        case open(Cause)
        case halfOpen(Cause)
    }

    public enum Cause: String, Hashable, Sendable, CaseIterable {
        case consecutiveFailures
        case failureShare
        case slowShare
        case probeFailed
        case byHand
    }

    public enum Permission: Hashable, Sendable {
        case allow
        /// This attempt tries whether the backend is well again: start it with `attemptStarted(asProbe: true, now:)`.
        case probe
        /// No attempt. `retryAfter` is more than zero.
        case refuse(retryAfter: Duration)
    }

    public enum Outcome: Hashable, Sendable {
        case success(took: Duration)
        /// It was given up because another replica was faster: a slow call, whatever the threshold says.
        case slow
        case failure
        /// Says nothing about the backend: our own saturation, a client's cancel, a statement that is at fault itself.
        case neutral
    }

    /// What changed, for logs and metrics.
    public enum Transition: Hashable, Sendable {
        case opened(Cause, for: Duration)
        case halfOpened
        case closed
    }
}
