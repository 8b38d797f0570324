internal import Glibc

/// How many descriptors the process may have: each session, each connection to a replica and each listener takes one.
package enum DescriptorLimit {
    /// Raises the limit as far as the process may by itself.
    /// - Returns: the limit in force; nil if it cannot be read.
    @discardableResult
    package static func raise() -> Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            _ = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// What a configuration may need: twice the pools, since a connection may be replaced while its cancel is under
    /// way, and some for the process itself.
    static func need(_ config: GatewayConfig) -> Int {
        let pools = config.shards.flatMap(\.replicas).reduce(0) { $0 + $1.pool.maxSize }
        return config.limits.maxSessions + 2 * pools + 64
    }
}
