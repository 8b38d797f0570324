import SluiceGateway
import Testing

/// The section `limits`: its defaults, every key, and what does not go together.
@Suite struct LimitConfigTests {
    private static func limits(_ text: String) throws -> GatewayConfig.Limits {
        try GatewayConfig.parse(ConfigErrorTests.right + "limits: \(text)", file: "f", environment: [:]).limits
    }

    private static func problems(_ text: String) -> [String] {
        ConfigErrorTests.problems(ConfigErrorTests.right + "limits: \(text)")
    }

    /// Those that docs/configuration.md names.
    @Test func defaults() throws {
        let limits = try GatewayConfig.parse(ConfigErrorTests.right, file: "f", environment: [:]).limits
        #expect(limits == (try Self.limits("{}")))
        #expect(limits.maxBatch == 64 && limits.maxIDs == 10_000 && limits.maxWriteRows == 10_000)
        #expect(limits.maxFilterBytes == 65_536 && limits.maxFilterDepth == 16 && limits.maxFilterNodes == 1_024)
        #expect(limits.maxLZ4Ratio == 255 && limits.maxInFlightBytes == 64 << 20 && limits.maxMemory == 1 << 30)
        #expect(limits.maxSessionsPerAddress == 2_500 && limits.maxUnauthenticated == 1_024)
        #expect(limits.maxPings == 100_000 && limits.maxCancels == 1_000 && limits.maxErrors == 1_000)
        #expect(limits.frameTimeout == .seconds(30) && limits.streamIdle == .seconds(30))
        let loads = limits.loads
        #expect(loads.max == 4 && loads.windowPerShard == 4 << 20 && loads.maxWindow == 32 << 20)
        #expect(loads.idle == .seconds(60) && loads.batchTimeout == .seconds(120))
        #expect(loads.mergeTimeout == .seconds(86_400) && loads.retention == .seconds(7 * 86_400))
    }

    @Test func everyKey() throws {
        let limits = try Self.limits(
            """
            {max_batch: 2, max_ids: 3, max_write_rows: 4, max_filter_bytes: 17, max_filter_depth: 5,
              max_filter_nodes: 6, max_frame: 8KiB, max_lz4_ratio: 7, max_in_flight_bytes: 9KiB, max_memory: 10MiB,
              max_sessions: 11, max_sessions_per_address: 12, max_unauthenticated: 13, max_pings: 14, max_cancels: 15,
              max_errors: 16, frame_timeout: 18s, stream_idle: 19s,
              loads: {max: 0, window_per_shard: 20KiB, max_window: 40KiB, idle: 21s, batch_timeout: 22s,
                merge_timeout: 23s, retention: 24h}}
            """)
        #expect(limits.maxBatch == 2 && limits.maxIDs == 3 && limits.maxWriteRows == 4)
        #expect(limits.maxFilterBytes == 17 && limits.maxFilterDepth == 5 && limits.maxFilterNodes == 6)
        #expect(limits.maxFrame == 8_192 && limits.maxLZ4Ratio == 7 && limits.maxInFlightBytes == 9_216)
        #expect(limits.maxMemory == 10 << 20 && limits.maxSessions == 11 && limits.maxSessionsPerAddress == 12)
        #expect(limits.maxUnauthenticated == 13 && limits.maxPings == 14 && limits.maxCancels == 15)
        #expect(limits.maxErrors == 16 && limits.frameTimeout == .seconds(18) && limits.streamIdle == .seconds(19))
        let loads = limits.loads
        #expect(loads.max == 0 && loads.windowPerShard == 20_480 && loads.maxWindow == 40_960)
        #expect(loads.idle == .seconds(21) && loads.batchTimeout == .seconds(22) && loads.mergeTimeout == .seconds(23))
        #expect(loads.retention == .seconds(86_400))
    }

    @Test(arguments: [(6, 6), (64, 64), (100, 64), (256, 64), (257, 64), (260, 65), (40_000, 10_000)])
    func anAddressHasAPartOfTheSessions(sessions: Int, ofOne: Int) throws {
        #expect(try Self.limits("{max_sessions: \(sessions)}").maxSessionsPerAddress == ofOne)
    }

    /// What fits no frame would never be sent.
    @Test func windowsGrowWithTheLargestFrame() throws {
        let limits = try Self.limits("{max_frame: 16MiB}")
        #expect(limits.loads.windowPerShard == 32 << 20 && limits.loads.maxWindow == 64 << 20)
    }

    @Test(arguments: [
        ("{max_batch: 65}", "f:12: limits.max_batch: is \"65\"; it must be from 1 to 64"),
        ("{max_ids: 10001}", "f:12: limits.max_ids: is \"10001\"; it must be from 1 to 10000"),
        ("{max_write_rows: 0}", "f:12: limits.max_write_rows: is \"0\"; it must be from 1 to 10000"),
        ("{max_filter_bytes: 65537}", "f:12: limits.max_filter_bytes: is \"65537\"; it must be from 16 to 65536 bytes"),
        ("{max_filter_depth: 17}", "f:12: limits.max_filter_depth: is \"17\"; it must be from 1 to 16"),
        ("{max_filter_nodes: 1025}", "f:12: limits.max_filter_nodes: is \"1025\"; it must be from 1 to 1024"),
        ("{max_lz4_ratio: 256}", "f:12: limits.max_lz4_ratio: is \"256\"; it must be from 1 to 255"),
        (
            "{max_in_flight_bytes: 1048575}",
            "f:12: limits.max_in_flight_bytes: is below max_frame, which is 1048576 bytes"
        ),
        (
            "{max_memory: 67108863}",
            "f:12: limits.max_memory: max_memory must be at least twice loads.max_window, which is 33554432 bytes"
        ),
        (
            "{max_frame: 2MiB, max_memory: 8388607, loads: {window_per_shard: 4MiB, max_window: 4194303}}",
            "f:12: limits.max_memory: max_memory must be at least four times max_frame"
        ),
        (
            "{loads: {window_per_shard: 2097151}}",
            "f:12: limits.loads.window_per_shard: must be at least twice max_frame, which is 1048576 bytes"
        ),
        (
            "{loads: {max_window: 4194303}}",
            "f:12: limits.loads.max_window: must be at least four times max_frame, which is 1048576 bytes"
        ),
        ("{max_pings: 0}", "f:12: limits.max_pings: is \"0\"; it must be from 1 to 1000000000"),
        ("{loads: {ma: 3}}", "f:12: limits.loads.ma: unknown key; did you mean \"max\"?"),
        ("{max_ping: 3}", "f:12: limits.max_ping: unknown key; did you mean \"max_pings\"?"),
    ])
    func whatIsWrong(text: String, problem: String) {
        #expect(Self.problems(text).contains(problem), "\(Self.problems(text))")
    }
}
