internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire

extension GatewayConfig {
    /// What clients may ask for, send and hold.
    package struct Limits: Hashable, Sendable {
        package var maxK = 1_000
        /// That all legs of a search together are asked for.
        package var maxRows = 1_000_000
        /// Vectors in a search.
        package var maxBatch = 64
        /// Ids in a GET.
        package var maxIDs = 10_000
        /// Rows and ids in a write.
        package var maxWriteRows = 10_000
        /// Of a filter in its binary form.
        package var maxFilterBytes = 65_536
        package var maxFilterDepth = 16
        package var maxFilterNodes = 1_024
        /// In bytes.
        package var maxFrame = 1_048_576
        /// How many times its own length a compressed payload may become.
        package var maxLZ4Ratio = 255
        package var maxInFlight = 256
        /// What the requests in flight of one session may have sent, in bytes.
        package var maxInFlightBytes = 67_108_864
        /// What the columns of one answer's hits may take, in bytes.
        package var maxReply = 16_777_216
        /// What the rows of one leg of a streamed search may take, and what a session's streams may hold that the
        /// client has not read, in bytes.
        package var maxStream = 134_217_728
        /// Bytes of answers that may wait for a client to read them.
        package var maxUnsent = 67_108_864
        /// Bytes that are held for all clients together.
        package var maxMemory = 1_073_741_824
        package var maxSessions = 10_000
        package var maxSessionsPerAddress = 2_500
        /// Sessions that have not had WELCOME.
        package var maxUnauthenticated = 1_024
        /// A second, of one session.
        package var maxPings = 100_000
        package var maxCancels = 1_000
        package var maxErrors = 1_000
        package var defaultDeadline: Duration = .seconds(10)
        package var maxDeadline: Duration = .seconds(60)
        package var handshakeTimeout: Duration = .seconds(5)
        /// From a frame's first byte to its last.
        package var frameTimeout: Duration = .seconds(30)
        /// How long a client may take nothing of what waits for it.
        package var streamIdle: Duration = .seconds(30)
        package var shutdownGrace: Duration = .seconds(10)
        package var loads = Loads()
    }

    /// Loads: how many at a time, what one may hold, and how long things may take.
    package struct Loads: Hashable, Sendable {
        package var max = 4
        /// Bytes of rows for each shard, and in all.
        package var windowPerShard = 4_194_304
        package var maxWindow = 33_554_432
        /// How long a client may send nothing.
        package var idle: Duration = .seconds(60)
        /// How long a server may take for one batch of rows.
        package var batchTimeout: Duration = .seconds(120)
        /// How long it may take for what follows the rows: merging, indexes.
        package var mergeTimeout: Duration = .seconds(86_400)
        /// How long the names of loads and writes are remembered.
        package var retention: Duration = .seconds(7 * 86_400)
    }
}

extension GatewayConfig.Limits {
    var filters: FilterBounds { FilterBounds(bytes: maxFilterBytes, depth: maxFilterDepth, nodes: maxFilterNodes) }

    var places: SessionPlaces.Limits {
        .init(sessions: maxSessions, perAddress: maxSessionsPerAddress, unwelcomed: maxUnauthenticated)
    }
}

extension IngestLimits {
    init(_ loads: GatewayConfig.Loads) {
        self.init()
        self.loads = loads.max
        windowPerShard = loads.windowPerShard
        mostWindow = loads.maxWindow
        idle = loads.idle
        batch = loads.batchTimeout
        merge = loads.mergeTimeout
        retention = loads.retention
    }
}
