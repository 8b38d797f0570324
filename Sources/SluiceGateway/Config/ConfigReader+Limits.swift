extension ConfigReader {
    private static let times = Duration.milliseconds(1)...Duration.seconds(3_600)
    private static let rates = 1...1_000_000_000

    func readLimits(_ node: ConfigNode) -> GatewayConfig.Limits {
        let keys = node.table([
            "max_k", "max_rows", "max_batch", "max_ids", "max_write_rows", "max_filter_bytes", "max_filter_depth",
            "max_filter_nodes", "max_frame", "max_lz4_ratio", "max_in_flight", "max_in_flight_bytes", "max_reply",
            "max_stream", "max_unsent", "max_memory", "max_sessions", "max_sessions_per_address",
            "max_unauthenticated", "max_pings", "max_cancels", "max_errors", "default_deadline", "max_deadline",
            "handshake_timeout", "frame_timeout", "stream_idle", "shutdown_grace", "loads",
        ])
        var limits = GatewayConfig.Limits()
        readRequestLimits(keys, into: &limits)
        readByteLimits(keys, into: &limits)
        readSessionLimits(keys, into: &limits)
        keys["default_deadline"].read(into: &limits.defaultDeadline) { $0.duration(Self.times, or: $1) }
        keys["max_deadline"].read(into: &limits.maxDeadline) { $0.duration(Self.times, or: $1) }
        keys["handshake_timeout"].read(into: &limits.handshakeTimeout) { $0.duration(Self.times, or: $1) }
        keys["frame_timeout"].read(into: &limits.frameTimeout) { $0.duration(Self.times, or: $1) }
        keys["stream_idle"].read(into: &limits.streamIdle) { $0.duration(Self.times, or: $1) }
        keys["shutdown_grace"].read(into: &limits.shutdownGrace) {
            $0.duration(.zero...Self.times.upperBound, or: $1)
        }
        if limits.maxDeadline < limits.defaultDeadline {
            (keys["max_deadline"] ?? keys["default_deadline"] ?? node).complain(
                "max_deadline is below default_deadline")
        }
        limits.loads = readLoads(keys["loads"], limits)
        if limits.maxMemory / 2 < limits.loads.maxWindow {
            (keys["max_memory"] ?? keys["loads"] ?? node).complain(
                "max_memory must be at least twice loads.max_window, which is \(limits.loads.maxWindow) bytes")
        }
        return limits
    }

    private func readRequestLimits(_ keys: [String: ConfigNode], into limits: inout GatewayConfig.Limits) {
        keys["max_k"].read(into: &limits.maxK) { $0.integer(1...10_000, or: $1) }
        keys["max_rows"].read(into: &limits.maxRows) { $0.integer(1...1_000_000_000, or: $1) }
        // Those of the protocol, or fewer.
        keys["max_batch"].read(into: &limits.maxBatch) { $0.integer(1...64, or: $1) }
        keys["max_ids"].read(into: &limits.maxIDs) { $0.integer(1...10_000, or: $1) }
        keys["max_write_rows"].read(into: &limits.maxWriteRows) { $0.integer(1...10_000, or: $1) }
        keys["max_filter_bytes"].read(into: &limits.maxFilterBytes) { $0.bytes(16...65_536, or: $1) }
        keys["max_filter_depth"].read(into: &limits.maxFilterDepth) { $0.integer(1...16, or: $1) }
        keys["max_filter_nodes"].read(into: &limits.maxFilterNodes) { $0.integer(1...1_024, or: $1) }
        keys["max_in_flight"].read(into: &limits.maxInFlight) { $0.integer(1...65_536, or: $1) }
    }

    private func readByteLimits(_ keys: [String: ConfigNode], into limits: inout GatewayConfig.Limits) {
        keys["max_frame"].read(into: &limits.maxFrame) { $0.bytes(4_096...67_108_864, or: $1) }
        keys["max_lz4_ratio"].read(into: &limits.maxLZ4Ratio) { $0.integer(1...255, or: $1) }
        keys["max_reply"].read(into: &limits.maxReply) { $0.bytes(4_096...134_217_728, or: $1) }
        keys["max_stream"].read(into: &limits.maxStream) { $0.bytes(4_096...4_294_967_296, or: $1) }
        keys["max_unsent"].read(into: &limits.maxUnsent) { $0.bytes(65_536...1_073_741_824, or: $1) }
        if limits.maxUnsent < 2 * limits.maxReply {
            (keys["max_unsent"] ?? keys["max_reply"])?.complain("max_unsent must be at least twice max_reply")
        }
        limits.maxInFlightBytes = max(limits.maxInFlightBytes, limits.maxFrame)
        keys["max_in_flight_bytes"].read(into: &limits.maxInFlightBytes) { $0.bytes(4_096...(1 << 40), or: $1) }
        if limits.maxInFlightBytes < limits.maxFrame {
            keys["max_in_flight_bytes"]?.complain("is below max_frame, which is \(limits.maxFrame) bytes")
        }
        keys["max_memory"].read(into: &limits.maxMemory) { $0.bytes(1_048_576...(1 << 50), or: $1) }
        if limits.maxMemory < 4 * limits.maxFrame {
            (keys["max_memory"] ?? keys["max_frame"])?.complain("max_memory must be at least four times max_frame")
        }
    }

    private func readSessionLimits(_ keys: [String: ConfigNode], into limits: inout GatewayConfig.Limits) {
        let counts = 1...1_000_000
        keys["max_sessions"].read(into: &limits.maxSessions) { $0.integer(counts, or: $1) }
        // No address has more than a part of them; where there are few, that is of no use.
        limits.maxSessionsPerAddress = min(limits.maxSessions, max(64, limits.maxSessions / 4))
        keys["max_sessions_per_address"].read(into: &limits.maxSessionsPerAddress) { $0.integer(counts, or: $1) }
        keys["max_unauthenticated"].read(into: &limits.maxUnauthenticated) { $0.integer(counts, or: $1) }
        keys["max_pings"].read(into: &limits.maxPings) { $0.integer(Self.rates, or: $1) }
        keys["max_cancels"].read(into: &limits.maxCancels) { $0.integer(Self.rates, or: $1) }
        keys["max_errors"].read(into: &limits.maxErrors) { $0.integer(Self.rates, or: $1) }
    }

    private func readLoads(_ node: ConfigNode?, _ limits: GatewayConfig.Limits) -> GatewayConfig.Loads {
        var loads = GatewayConfig.Loads()
        let keys =
            node?.table([
                "max", "window_per_shard", "max_window", "idle", "batch_timeout", "merge_timeout", "retention",
            ]) ?? [:]
        let days = Duration.milliseconds(1)...Duration.seconds(366 * 86_400)
        // A client that has no rows on their way may send the largest frame.
        let (least, leastOfAll) = (2 * limits.maxFrame, 4 * limits.maxFrame)
        loads.windowPerShard = max(loads.windowPerShard, least)
        loads.maxWindow = max(loads.maxWindow, leastOfAll)
        keys["max"].read(into: &loads.max) { $0.integer(0...10_000, or: $1) }
        keys["window_per_shard"].read(into: &loads.windowPerShard) { $0.bytes(8_192...(1 << 40), or: $1) }
        keys["max_window"].read(into: &loads.maxWindow) { $0.bytes(16_384...(1 << 40), or: $1) }
        if loads.windowPerShard < least {
            keys["window_per_shard"]?.complain("must be at least twice max_frame, which is \(limits.maxFrame) bytes")
        }
        if loads.maxWindow < leastOfAll {
            keys["max_window"]?.complain("must be at least four times max_frame, which is \(limits.maxFrame) bytes")
        }
        keys["idle"].read(into: &loads.idle) { $0.duration(Self.times, or: $1) }
        keys["batch_timeout"].read(into: &loads.batchTimeout) { $0.duration(days, or: $1) }
        keys["merge_timeout"].read(into: &loads.mergeTimeout) { $0.duration(days, or: $1) }
        keys["retention"].read(into: &loads.retention) { $0.duration(days, or: $1) }
        return loads
    }
}
