extension ConfigReference {
    static var limitKeys: [Entry] {
        [
            .init("limits.max_k", \.limits.maxK, "neighbours that a search may ask for"),
            .init(
                "limits.max_rows", \.limits.maxRows,
                "rows that all legs of one search together are asked for, for all its vectors"),
            .init("limits.max_batch", \.limits.maxBatch, "vectors in a search"),
            .init("limits.max_ids", \.limits.maxIDs, "ids in a get"),
            .init("limits.max_write_rows", \.limits.maxWriteRows, "rows and ids in a write"),
            .init(
                "limits.max_filter_bytes", \.limits.maxFilterBytes,
                "of a filter in its binary form, and of all filters of a request together"),
            .init("limits.max_filter_depth", \.limits.maxFilterDepth, "levels of a filter"),
            .init("limits.max_filter_nodes", \.limits.maxFilterNodes, "nodes of a filter"),
            .init(
                "limits.max_frame", \.limits.maxFrame,
                "the largest frame a client may send; compressed, also what it may become"),
            .init(
                "limits.max_lz4_ratio", \.limits.maxLZ4Ratio,
                "how many times its own length a compressed payload may become; 255 is all that LZ4 can do"),
            .init("limits.max_in_flight", \.limits.maxInFlight, "requests of one session"),
            .init(
                "limits.max_in_flight_bytes", \.limits.maxInFlightBytes,
                "what those requests may have sent; beyond it `too_many_in_flight`. At least `max_frame`"),
            .init(
                "limits.max_reply", \.limits.maxReply,
                "what the columns of one answer's hits may take; beyond it the search is refused"),
            .init(
                "limits.max_stream", \.limits.maxStream,
                "what the rows of one leg of a streamed search may take, and what the streams of a session may hold "
                    + "unread"),
            .init(
                "limits.max_unsent", \.limits.maxUnsent,
                "answers that may wait for a client to read them; beyond it the session is closed. At least twice "
                    + "`max_reply`"),
            .init(
                "limits.max_memory", \.limits.maxMemory,
                "bytes held for all clients together ([memory](configuration.md#memory)). At least four times "
                    + "`max_frame` and twice `loads.max_window`"),
            .init("limits.max_sessions", \.limits.maxSessions, "clients' connections"),
            .init(
                "limits.max_sessions_per_address", else: "a quarter of `max_sessions`, at least 64",
                "over TCP; an IPv6 client counts by its /64 network"),
            .init(
                "limits.max_unauthenticated", \.limits.maxUnauthenticated,
                "sessions without WELCOME; beyond it the oldest of them is closed with `busy`"),
            .init(
                "limits.max_pings", \.limits.maxPings,
                "PINGs, COLLECTIONS and empty LOAD_ROWS of one session in a second; beyond it the session ends with "
                    + "`limit_exceeded`"),
            .init("limits.max_cancels", \.limits.maxCancels, "CANCELs, the same"),
            .init(
                "limits.max_errors", \.limits.maxErrors,
                "errors that are the client's own fault (`malformed`, `invalid_argument`, `unknown_*` ...; not `busy`, "
                    + "`unavailable` or a deadline), the same"),
            .init("limits.default_deadline", \.limits.defaultDeadline, "of a search that names none"),
            .init("limits.max_deadline", \.limits.maxDeadline, "what a search gets at most"),
            .init("limits.handshake_timeout", \.limits.handshakeTimeout, "from the connection to HELLO"),
            .init(
                "limits.frame_timeout", \.limits.frameTimeout,
                "from a frame's first byte to its last; then the session ends with `limit_exceeded`"),
            .init(
                "limits.stream_idle", \.limits.streamIdle,
                "how long a client may take nothing of what waits for it; then its streams end, and after twice the "
                    + "time its session"),
            .init("limits.shutdown_grace", \.limits.shutdownGrace, "what in-flight requests get after SIGTERM"),
        ]
    }

    static var loadKeys: [Entry] {
        [
            .init("limits.loads.max", \.limits.loads.max, "loads at a time; 0 for none"),
            .init(
                "limits.loads.window_per_shard", \.limits.loads.windowPerShard,
                "rows that one load may have on their way, for each of its shards; at least twice `max_frame`, to "
                    + "which the default grows"),
            .init(
                "limits.loads.max_window", \.limits.loads.maxWindow,
                "the same for all its shards; at least four times `max_frame`, to which the default grows"),
            .init("limits.loads.idle", \.limits.loads.idle, "how long the client of a load may send nothing"),
            .init(
                "limits.loads.batch_timeout", \.limits.loads.batchTimeout,
                "what a server may take for one batch of rows"),
            .init(
                "limits.loads.merge_timeout", \.limits.loads.mergeTimeout,
                "what it may take for what follows the rows: merging, indexes"),
            .init(
                "limits.loads.retention", \.limits.loads.retention,
                "how long the names of loads and writes are remembered, to know a repetition"),
        ]
    }
}
