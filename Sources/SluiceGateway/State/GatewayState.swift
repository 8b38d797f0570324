/// What a gateway is and does just now. `/api/v1/state` is this as JSON (docs/operations.md describes each field), and
/// the page, `sluice top` and the gauges of `/metrics` show it. Times are in seconds. It has names and numbers: no
/// addresses, no users, no data.
package struct GatewayState: Codable, Hashable, Sendable {
    package struct Process: Codable, Hashable, Sendable {
        package var version: String
        /// Since 1970 (UTC).
        package var startedAt: Double
        package var uptime: Double
        /// What it holds of the machine's memory; nil where the system does not say.
        package var residentBytes: Int?
        package var cpuTime: Double
    }

    /// What clients send, wait for and hold.
    package struct Clients: Codable, Hashable, Sendable {
        package var sessions: Int
        package var maxSessions: Int
        package var sessionsOpened: Int
        package var sessionsRefused: Int
        package var receivedBytes: Int
        package var sentBytes: Int
        package var heldBytes: Int
        package var maxHeldBytes: Int
        /// Sessions that are not read from because they hold too much.
        package var pausedSessions: Int
    }

    package struct Admission: Codable, Hashable, Sendable {
        package var running: Int
        package var limit: Int
        package var waiting: Int
    }

    package struct Reactor: Codable, Hashable, Sendable {
        /// How long a piece of work waited for its thread, measured once for this report.
        package var lag: Double
    }

    package struct Pool: Codable, Hashable, Sendable {
        package var idle = 0
        package var leased = 0
        package var dialling = 0
        /// Told to close, and not yet gone from the server.
        package var closing = 0
        /// Missing, and not dialled before a pause is over.
        package var backingOff = 0
        /// Legs that wait for a connection.
        package var waiting = 0
        package var limit = 0
        package var leases: UInt64 = 0
        package var waits: UInt64 = 0
        package var dials: UInt64 = 0
        package var dialFailures: UInt64 = 0
        /// Legs whose time ended while they waited.
        package var expired: UInt64 = 0
        /// Legs that could not even wait.
        package var refused: UInt64 = 0
    }

    package enum BreakerState: String, Codable, Hashable, Sendable {
        case closed
        case open
        case halfOpen = "half_open"
    }

    /// How a server was reached when a connection was made last.
    package struct Transport: Codable, Hashable, Sendable {
        package var isEncrypted: Bool
        /// As OpenSSL names it, like `TLSv1.3`.
        package var tlsVersion: String?
        package var cipher: String?
        /// The last moment that the server's certificate is good for, since 1970 (UTC).
        package var certificateExpires: Double?
    }

    /// What a server ran when a connection was made last.
    package struct Versions: Codable, Hashable, Sendable {
        /// As it says it: `16.10 (Debian 16.10-1)`.
        package var postgresql: String
        /// Nil if the extension is not in the database.
        package var pgvector: String?
    }

    /// Gateways that share the server's connections.
    package struct Fleet: Codable, Hashable, Sendable {
        /// Connections of all of them together.
        package var budget: Int
        /// This one among them; nil if it does not see them, and so has no more than its floor.
        package var gateways: Int?

        package init(budget: Int, gateways: Int?) {
            self.budget = budget
            self.gateways = gateways
        }
    }

    package struct Replica: Codable, Hashable, Sendable {
        package var name: String
        /// `primary`, `standby` or `unknown`, as it said when it was last asked.
        package var role: String
        package var isReachable: Bool
        package var isDrained: Bool
        package var breaker: BreakerState
        /// Why the breaker is not closed.
        package var breakerCause: String?
        /// Its rows are at most so old; nil if that is not known.
        package var lag: Double?
        package var lagBytes: UInt64?
        /// The moving peak that replicas are chosen by; nil before the first answer.
        package var latency: Double?
        package var inFlight: Int
        /// Attempts that have ended here and not yet on the server.
        package var settling: Int
        package var pool: Pool
        /// Nil before a connection has been made.
        package var transport: Transport?
        package var versions: Versions?
        /// Nil if the server's connections are not shared.
        package var fleet: Fleet?

        package var isServing: Bool { isReachable && !isDrained && breaker != .open }
    }

    package struct Shard: Codable, Hashable, Sendable {
        package var name: String
        /// Nil if none is known, or two claim to be it.
        package var primary: String?
        package var isInConflict: Bool
        package var conflicts: UInt64
        /// Retries and hedges, and those that there was no budget for.
        package var extraAttempts: UInt64
        package var refusedExtraAttempts: UInt64
        package var replicas: [Replica]
        /// Nil if the configuration lists the replicas.
        package var topology: Topology?

        package var isServing: Bool { replicas.contains(where: \.isServing) }
    }

    package struct Collection: Codable, Hashable, Sendable {
        package var name: String
        package var metric: String
        package var dimensions: Int
        package var shards: [String]
        /// Every shard can answer, and it is known which layout is the true one.
        package var isReady: Bool
        /// Of the layout that is served; nil while it is not known which is the true one.
        package var epoch: Int?
        /// Nil unless the configuration has a next layout.
        package var move: Move?
    }

    /// Serving, and every collection is ready.
    package var isReady: Bool
    package var isDraining: Bool
    package var process: Process
    package var clients: Clients
    /// Nil if admission is off.
    package var admission: Admission?
    package var reactors: [Reactor]
    package var collections: [Collection]
    package var shards: [Shard]
    /// Answers that were another request's, and were dropped.
    package var integrityFailures: UInt64
}
