package import Logging
package import SluiceCore

/// Everything that the configuration file says, checked. docs/configuration.md is its reference.
package struct GatewayConfig: Sendable {
    package struct HostPort: Hashable, Sendable {
        package var host: String
        package var port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        /// - Parameter text: `HOST:PORT` or `[IPv6]:PORT`, with a port from 0 to 65535.
        package init?(_ text: String) {
            guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[colon...].dropFirst()),
                text[colon...].dropFirst().first != "+"
            else { return nil }
            var host = String(text[..<colon])
            if host.hasPrefix("["), host.hasSuffix("]") {
                host = String(host.dropFirst().dropLast())
            } else if host.contains(":") {
                return nil
            }
            if host.isEmpty || host.contains(" ") { return nil }
            self.init(host: host, port: Int(port))
        }
    }

    package struct Listen: Hashable, Sendable {
        package var tcp: HostPort?
        /// TLS from the first byte.
        package var tls: HostPort?
        package var unixPath: String?
    }

    /// Where operators and Prometheus find it, by HTTP.
    package struct Admin: Hashable, Sendable {
        /// Nil for nowhere.
        package var tcp: HostPort? = .init(host: "127.0.0.1", port: 7_412)
        /// It was asked for: if the address cannot be had, the gateway does not start.
        package var isRequired = false
    }

    package enum Pooler: String, Hashable, Sendable, CaseIterable {
        case none
        case transaction
    }

    package struct Replica: Hashable, Sendable {
        package var name: String
        /// libpq's keywords and values, or a URI.
        package var dsn: Secret
        /// What relative paths in `dsn` are relative to.
        package var folder: String
        /// From `passwordFile`.
        package var password: Secret?
        package var passwordFile: String?
        package var pooler: Pooler
        package var pool: PoolSettings
        /// How often it is chosen, compared with the shard's other replicas.
        package var weight = 1
        package var zone: String?
        /// The most that one attempt on it may take.
        package var timeout: Duration?
        /// What the shard's source calls it, and where it says that it is; nil if the file lists it.
        package var member: MemberPlace?
    }

    package struct Shard: Hashable, Sendable {
        package var name: String
        /// Those that the file lists, or that the source names just now.
        package var replicas: [Replica]
        package var prefer: Preference
        /// Nil if the file lists the replicas.
        package var source: TopologySource?
    }

    package enum Iteration: String, Hashable, Sendable, CaseIterable {
        case off
        case relaxed
        case strict
    }

    /// Settings of index scans: a collection's defaults, or the most that a request may ask for.
    package struct Scan: Hashable, Sendable {
        package var efSearch: Int?
        package var probes: Int?
        package var iterativeScan: Iteration?
        package var maxScanTuples: Int?
        package var scanMemoryMultiplier: Double?
        /// In bytes.
        package var workMem: Int?
    }

    /// A column of type tsvector.
    package struct TextColumn: Hashable, Sendable {
        package var column: String
        /// A text search configuration of the server.
        package var language: String
    }

    package struct Collection: Hashable, Sendable {
        package var name: String
        package var schema: String
        package var table: String
        package var idColumn: String
        package var vectorColumn: String
        package var form: VectorForm
        package var metric: Metric
        package var dimensions: Int
        package var columns: [String]
        package var filterable: [String: FilterColumnType]
        package var defaults: Scan
        package var caps: Scan
        package var model: String?
        /// What hybrid searches look at.
        package var text: TextColumn?
        /// Which expression indexes it has for the first phase of two-phase searches.
        package var coarse: [CoarseForm] = []
        package var placement = Placement.hash
        /// Equal searches at the same time share one execution.
        package var singleFlight = false
        /// Answers may come from the result cache.
        package var cache = false
        /// Not served without an index for its metric.
        package var requireIndex = false
        package var shards: [String]
        /// Of this layout; the next one's is one more.
        package var epoch = 1
        /// Where its rows are being moved to.
        package var next: Layout?
        /// Which of both is served.
        package var serving = LayoutChoice.Serving.current
        /// The most that a search of it may take; a shorter deadline of the request wins.
        package var timeout: Duration?
        /// Replicas that may be further behind are not asked.
        package var maxStaleness: Duration?
    }

    /// Replicas that must be as fresh as a request asks for.
    package struct Freshness: Hashable, Sendable {
        /// How long a leg waits for one.
        package var wait: Duration = .milliseconds(100)
    }

    /// Lists that wait to be fetched page by page.
    package struct Cursors: Hashable, Sendable {
        /// After the last use.
        package var ttl: Duration = .seconds(60)
        package var maxBytes = 67_108_864
        package var maxBytesEach = 4_194_304
    }

    /// Answers that may be given again.
    package struct Cache: Hashable, Sendable {
        package var ttl: Duration = .seconds(1)
        package var maxBytes = 67_108_864
    }

    package var listen: Listen
    package var admin = Admin()
    /// Nil if nothing is listened on with TLS.
    package var tls: TLS?
    package var access = Access()
    package var reactors: Int
    package var pool: PoolSettings
    package var shards: [Shard]
    package var fleet = Fleet()
    package var collections: [Collection]
    package var limits: Limits
    package var routing: Routing
    package var breaker: Breaker
    package var retries: Retries
    package var hedging: Hedging
    package var laggards: Laggards
    package var admission: Admission
    package var cursors: Cursors
    package var cache: Cache
    package var freshness: Freshness
    package var logLevel: Logger.Level
    /// Its files are looked at, and it is read anew when one of them has changed.
    package var isWatched = true
    /// A search that takes as long is noted with its legs; nil: none is.
    package var slowSearch: Duration? = .milliseconds(500)
    /// Of so many slow searches one is explained; 0: none is.
    package var explainOneIn = 20
    /// Requests, legs and attempts are measured.
    package var measures = true
    package var tracing = Tracing()
}

/// A text that is never printed.
package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package let revealed: String

    package init(_ text: String) { revealed = text }

    package var description: String { "<secret>" }
    package var debugDescription: String { "<secret>" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// One thing that is wrong with a configuration.
package struct ConfigProblem: Hashable, Sendable, CustomStringConvertible {
    package var file: String
    /// From 1; nil if the problem has no place in the file.
    package var line: Int?
    /// Like `collections[1].metric`; empty for the file as a whole.
    package var keyPath: String
    package var message: String

    /// One line, whatever the file's names and keys hold.
    package var description: String {
        let place = line.map { "\(file):\($0)" } ?? file
        return (keyPath.isEmpty ? "\(place): \(message)" : "\(place): \(keyPath): \(message)").withoutControls
    }
}

/// All that is wrong with a configuration, in the order of its lines.
public struct ConfigErrors: Error, Sendable, CustomStringConvertible {
    package var problems: [ConfigProblem]

    package init(_ problems: [ConfigProblem]) {
        self.problems = problems.sorted { ($0.line ?? 0, $0.keyPath) < ($1.line ?? 0, $1.keyPath) }
    }

    /// One line for each problem: file, line, key and what is wrong.
    public var lines: [String] { problems.map(\.description) }

    public var description: String { lines.joined(separator: "\n") }
}
