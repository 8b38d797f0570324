extension ConfigReference {
    static var dependabilityKeys: [Entry] { routingKeys + breakerKeys + attemptKeys + admissionKeys }

    private static var routingKeys: [Entry] {
        [
            .init(
                "routing.prefer", \.routing.prefer,
                "the default of `shards[].prefer`; roles are probed, not configured"),
            .init("routing.zone", \.routing.zone, "where this gateway runs"),
            .init(
                "routing.zone_spill_over", \.routing.zoneSpillOver,
                "other zones' replicas are asked as well from this share of their pools in use; 0: zones do not matter"
            ),
            .init(
                "routing.slow_start", \.routing.slowStart,
                "how long a new or recovered replica takes to get its full share"),
            .init(
                "routing.probe_interval", \.routing.probeInterval,
                "how often each replica is asked for its role, how far it is, and its tables' sizes"),
            .init(
                "routing.panic_threshold", \.routing.panicThreshold,
                "replicas are ejected for slowness only while at least this share of the shard's stays"),
        ]
    }

    private static var breakerKeys: [Entry] {
        [
            .init(
                "breaker.consecutive_failures", \.breaker.consecutiveFailures,
                "failures in a row that open a backend's breaker"),
            .init(
                "breaker.failure_share", \.breaker.failureShare, "of at least `min_volume` calls in 10 s, the same"),
            .init("breaker.min_volume", \.breaker.minVolume, "with fewer calls in 10 s shares do not count"),
            .init(
                "breaker.slow_threshold", \.breaker.slowThreshold, "a call that takes longer is slow; `0s` for never"),
            .init(
                "breaker.slow_share", \.breaker.slowShare,
                "slow ones of at least `min_volume` calls in 10 s that open it"),
            .init("breaker.open_time", \.breaker.openTime, "how long it stays open at first; doubles, with jitter"),
            .init("breaker.max_open_time", \.breaker.maxOpenTime, "the most that it doubles to"),
            .init("breaker.probes", \.breaker.probes, "searches at a time that try a half-open backend"),
        ]
    }

    private static var attemptKeys: [Entry] {
        [
            .init(
                "retries.budget", \.retries.budget,
                "extra attempts, hedges included, as a share of first attempts"),
            .init(
                "retries.floor", \.retries.floor,
                "extra attempts a second of each shard that are always allowed"),
            .init("retries.max_attempts", \.retries.maxAttempts, "attempts of one leg"),
            .init(
                "retries.backoff", \.retries.backoff,
                "a retry waits a random time up to this, the next one up to twice as long"),
            .init(
                "hedging.enabled", \.hedging.enabled, "ask a second replica when a leg takes longer than most"),
            .init(
                "hedging.quantile", \.hedging.quantile,
                "of the recent latencies of the collection on the shard: the delay before the second is asked"),
            .init("hedging.min_delay", \.hedging.minDelay, "the least of that delay"),
            .init("hedging.max_delay", \.hedging.maxDelay, "the most of it"),
            .init(
                "laggards.factor", \.laggards.factor,
                "once a request's `min_coverage` is reached, the others get this share of the time so far"),
            .init("laggards.min_wait", \.laggards.minWait, "the least of that time"),
            .init("laggards.max_wait", \.laggards.maxWait, "the most of it"),
        ]
    }

    private static var admissionKeys: [Entry] {
        [
            .init("admission.enabled", \.admission.enabled, "limit the searches at a time by their latency"),
            .init("admission.min_searches", \.admission.minSearches, "always let in"),
            .init(
                "admission.max_searches", else: "4 × all pools",
                "beyond that a search would only wait for a connection"),
            .init(
                "admission.max_waiting", \.admission.maxWaiting,
                "searches that may wait to be let in; beyond it `busy` comes at once"),
            .init("admission.max_wait", \.admission.maxWait, "the longest such wait; then `busy` comes"),
        ]
    }

    static var otherKeys: [Entry] {
        [
            .init("cursors.ttl", \.cursors.ttl, "how long a list waits for its next page"),
            .init(
                "cursors.max_bytes", \.cursors.maxBytes,
                "all lists together; the one used longest ago makes room"),
            .init("cursors.max_bytes_each", \.cursors.maxBytesEach, "a search whose list is larger is refused"),
            .init("cache.ttl", \.cache.ttl, "how old an answer from the result cache can be"),
            .init("cache.max_bytes", \.cache.maxBytes, "all answers in it"),
            .init(
                "freshness.wait", \.freshness.wait,
                "how long a leg waits for a replica that is as fresh as was asked for ([freshness](freshness.md))"),
            .init(
                "metrics.enabled", \.measures,
                "requests, legs and attempts are measured; without, `/metrics` has only what is sampled"),
            .init(
                "reload.watch", \.isWatched,
                "read the configuration anew when its file or a password file has changed "
                    + "([operations](operations.md#another-configuration))"),
            .init(
                "log.level", \.logLevel,
                "what is logged: this and what is more severe; can be changed while it runs "
                    + "([operations](operations.md#the-log))"),
            .init(
                "log.slow_search", \.slowSearch,
                "a search that takes as long is logged with its legs; `0s` for none"),
            .init(
                "log.explain_one_in", \.explainOneIn,
                "of so many slow searches one has its plan looked at "
                    + "([operations](operations.md#plans-of-slow-searches)); 0 for none"),
        ]
    }
}
