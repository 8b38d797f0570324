extension ConfigReader {
    /// Of everything that is waited for while a client waits.
    static let timeouts = Duration.milliseconds(1)...Duration.seconds(600)
    private static let lifetimes = Duration.milliseconds(100)...Duration.seconds(86_400)
    private static let share = 0.0...1.0

    func readPool(
        _ node: ConfigNode, defaults: GatewayConfig.PoolSettings, isOverride: Bool
    ) -> GatewayConfig.PoolSettings {
        let own = [
            "min_size", "max_size", "max_idle", "max_lifetime", "check_after_idle", "max_dialling", "max_waiting",
            "connection_budget",
        ]
        let keys = node.table(isOverride ? own : own + ["acquire_timeout", "connect_timeout"])
        var pool = defaults
        keys["max_size"].read(into: &pool.maxSize) { $0.integer(1...1_000, or: $1) }
        pool.minSize = min(pool.minSize, pool.maxSize)
        keys["min_size"].read(into: &pool.minSize) { $0.integer(0...1_000, or: $1) }
        if pool.minSize > pool.maxSize { keys["min_size"]?.complain("is above max_size, which is \(pool.maxSize)") }
        keys["max_idle"].read(into: &pool.maxIdle) { $0.duration(Self.lifetimes, or: $1) }
        keys["max_lifetime"].read(into: &pool.maxLifetime) { $0.duration(Self.lifetimes, or: $1) }
        keys["check_after_idle"].read(into: &pool.checkAfterIdle) { $0.duration(Self.lifetimes, or: $1) }
        keys["max_dialling"].read(into: &pool.maxDialling) { $0.integer(1...1_000, or: $1) }
        keys["max_waiting"].read(into: &pool.maxWaiting) { $0.integer(0...100_000, or: $1) }
        if let budget = keys["connection_budget"]?.integer(Self.budgets, or: 0) {
            pool.connectionBudget = budget > 0 ? budget : nil
        }
        keys["acquire_timeout"].read(into: &pool.acquireTimeout) { $0.duration(Self.timeouts, or: $1) }
        keys["connect_timeout"].read(into: &pool.connectTimeout) { $0.duration(Self.timeouts, or: $1) }
        return pool
    }

    func readRouting(_ node: ConfigNode) -> GatewayConfig.Routing {
        let keys = node.table([
            "prefer", "zone", "zone_spill_over", "slow_start", "probe_interval", "panic_threshold",
        ])
        var routing = GatewayConfig.Routing()
        keys["prefer"].read(into: &routing.prefer) { $0.choice(GatewayConfig.Preference.self, or: $1) }
        routing.zone = keys["zone"]?.name()
        keys["zone_spill_over"].read(into: &routing.zoneSpillOver) { $0.number(Self.share, or: $1) }
        keys["slow_start"].read(into: &routing.slowStart) { $0.duration(.zero...Duration.seconds(3_600), or: $1) }
        keys["probe_interval"].read(into: &routing.probeInterval) { $0.duration(Self.lifetimes, or: $1) }
        keys["panic_threshold"].read(into: &routing.panicThreshold) { $0.number(Self.share, or: $1) }
        return routing
    }

    func readBreaker(_ node: ConfigNode) -> GatewayConfig.Breaker {
        let keys = node.table([
            "consecutive_failures", "failure_share", "min_volume", "slow_threshold", "slow_share", "open_time",
            "max_open_time", "probes",
        ])
        var breaker = GatewayConfig.Breaker()
        keys["consecutive_failures"].read(into: &breaker.consecutiveFailures) { $0.integer(1...10_000, or: $1) }
        keys["failure_share"].read(into: &breaker.failureShare) { $0.number(0.01...1, or: $1) }
        keys["min_volume"].read(into: &breaker.minVolume) { $0.integer(1...1_000_000, or: $1) }
        keys["slow_threshold"].read(into: &breaker.slowThreshold) {
            $0.duration(.zero...Self.timeouts.upperBound, or: $1)
        }
        keys["slow_share"].read(into: &breaker.slowShare) { $0.number(0.01...1, or: $1) }
        keys["open_time"].read(into: &breaker.openTime) { $0.duration(Self.timeouts, or: $1) }
        keys["max_open_time"].read(into: &breaker.maxOpenTime) { $0.duration(Self.timeouts, or: $1) }
        keys["probes"].read(into: &breaker.probes) { $0.integer(1...100, or: $1) }
        if breaker.maxOpenTime < breaker.openTime {
            (keys["max_open_time"] ?? keys["open_time"])?.complain("max_open_time is below open_time")
        }
        return breaker
    }

    func readRetries(_ node: ConfigNode) -> GatewayConfig.Retries {
        let keys = node.table(["budget", "floor", "max_attempts", "backoff"])
        var retries = GatewayConfig.Retries()
        keys["budget"].read(into: &retries.budget) { $0.number(Self.share, or: $1) }
        keys["floor"].read(into: &retries.floor) { $0.integer(0...10_000, or: $1) }
        keys["max_attempts"].read(into: &retries.maxAttempts) { $0.integer(1...16, or: $1) }
        keys["backoff"].read(into: &retries.backoff) { $0.duration(.zero...Duration.seconds(10), or: $1) }
        return retries
    }

    func readHedging(_ node: ConfigNode) -> GatewayConfig.Hedging {
        let keys = node.table(["enabled", "quantile", "min_delay", "max_delay"])
        var hedging = GatewayConfig.Hedging()
        keys["enabled"].read(into: &hedging.enabled) { $0.flag(or: $1) }
        keys["quantile"].read(into: &hedging.quantile) { $0.number(0.5...0.999, or: $1) }
        keys["min_delay"].read(into: &hedging.minDelay) { $0.duration(Self.timeouts, or: $1) }
        keys["max_delay"].read(into: &hedging.maxDelay) { $0.duration(Self.timeouts, or: $1) }
        if hedging.maxDelay < hedging.minDelay {
            (keys["max_delay"] ?? keys["min_delay"])?.complain("max_delay is below min_delay")
        }
        return hedging
    }

    func readLaggards(_ node: ConfigNode) -> GatewayConfig.Laggards {
        let keys = node.table(["factor", "min_wait", "max_wait"])
        var laggards = GatewayConfig.Laggards()
        keys["factor"].read(into: &laggards.factor) { $0.number(0...100, or: $1) }
        keys["min_wait"].read(into: &laggards.minWait) { $0.duration(.zero...Self.timeouts.upperBound, or: $1) }
        keys["max_wait"].read(into: &laggards.maxWait) { $0.duration(.zero...Self.timeouts.upperBound, or: $1) }
        if laggards.maxWait < laggards.minWait {
            (keys["max_wait"] ?? keys["min_wait"])?.complain("max_wait is below min_wait")
        }
        return laggards
    }

    func readAdmission(_ node: ConfigNode) -> GatewayConfig.Admission {
        let keys = node.table(["enabled", "min_searches", "max_searches", "max_waiting", "max_wait"])
        var admission = GatewayConfig.Admission()
        keys["enabled"].read(into: &admission.enabled) { $0.flag(or: $1) }
        keys["min_searches"].read(into: &admission.minSearches) { $0.integer(1...100_000, or: $1) }
        admission.maxSearches = keys["max_searches"]?.integer(1...100_000, or: admission.minSearches)
        keys["max_waiting"].read(into: &admission.maxWaiting) { $0.integer(0...100_000, or: $1) }
        keys["max_wait"].read(into: &admission.maxWait) { $0.duration(.zero...Self.timeouts.upperBound, or: $1) }
        if let most = admission.maxSearches, most < admission.minSearches {
            (keys["max_searches"] ?? keys["min_searches"])?.complain("max_searches is below min_searches")
        }
        return admission
    }
}

extension ConfigNode? {
    /// Replaces a default, if the key is there.
    func read<Value>(into value: inout Value, _ read: (ConfigNode, Value) -> Value) {
        if let self { value = read(self, value) }
    }
}
