internal import Foundation
internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres

/// What `sluice check` and `sluice doctor` found; encoded, its keys are what docs/cli.md says.
public struct CheckSummary: Encodable, Sendable {
    /// Something wrong with the file.
    public struct Problem: Encodable, Sendable {
        public var file: String
        public var line: Int?
        /// Like `collections[1].metric`.
        public var key: String
        public var message: String
        /// All of it in one line.
        public var text: String

        init(_ problem: ConfigProblem) {
            file = problem.file
            line = problem.line
            key = problem.keyPath
            message = problem.message
            text = problem.description
        }
    }

    /// Something found in the databases.
    public struct Finding: Encodable, Sendable {
        /// `warning` or `error`.
        public var severity: String
        public var collection: String?
        public var shard: String
        public var replica: String?
        public var message: String
        /// All of it in one line.
        public var text: String
    }

    public struct Server: Encodable, Sendable {
        public struct Transport: Encodable, Sendable {
            public struct Certificate: Encodable, Sendable {
                public var subject: String
                /// As `2027-01-31T12:00:00Z`.
                public var expires: String
                /// Whole days; negative once it has expired.
                public var daysLeft: Int64
            }

            public var encrypted: Bool
            /// A Unix socket, or an address of this machine's own.
            public var local: Bool
            /// `TLSv1.3` and the like.
            public var `protocol`: String?
            public var cipher: String?
            /// Nil if the server asked for no password.
            public var channelBinding: Bool?
            public var certificate: Certificate?
        }

        public var shard: String
        public var replica: String
        public var reachable: Bool
        /// `primary` or `standby`.
        public var role: String?
        /// The version of its pgvector.
        public var vector: String?
        /// PostgreSQL's.
        public var version: String?
        /// What the dial took, up to the answer to a first statement, in microseconds.
        public var dialUs: Int64?
        public var transport: Transport?
        /// Its `max_connections`. This and the next are of `doctor` alone.
        public var maxConnections: Int?
        /// Those that only privileged roles get.
        public var reservedConnections: Int?
        /// Those of other programs, now.
        public var otherConnections: Int?
        /// A standby's; nil if it shows all that it has received.
        public var lagMs: Int64?

        /// All of it in one line.
        public var line: String {
            guard reachable else { return "\(shard)/\(replica): not reached" }
            var words = [version.map { "PostgreSQL \($0)" }, role, vector.map { "pgvector \($0)" } ?? "no pgvector"]
            if let transport {
                words += transport.encrypted ? [transport.protocol, transport.cipher] : ["plain"]
                if transport.channelBinding == true { words.append("channel binding") }
                words.append(
                    transport.certificate.map { "\($0.subject) until \($0.expires.prefix(10)) (\($0.daysLeft) days)" })
            }
            if let maxConnections, let otherConnections {
                words.append("\(otherConnections) of \(maxConnections) connections are others'")
            }
            words.append(lagMs.map { "\($0) ms behind" })
            words.append(dialUs.map { "dialled in \(Double($0 / 10) / 100) ms" })
            return "\(shard)/\(replica): " + words.compactMap(\.self).joined(separator: ", ")
        }

        private enum CodingKeys: CodingKey {
            case shard
            case replica
            case reachable
            case role
            case vector
            case version
            case dialUs
            case transport
            case maxConnections
            case reservedConnections
            case otherConnections
            case lagMs
        }
    }

    public struct Index: Encodable, Sendable {
        public var collection: String
        public var shard: String
        /// `hnsw`, `ivfflat`, `none`, or `unknown` if it cannot be seen.
        public var index: String
    }

    /// A collection that has a next layout.
    public struct Move: Encodable, Sendable {
        public var collection: String
        public var epoch: Int
        public var shards: [String]
        public var nextEpoch: Int
        public var nextShards: [String]

        /// All of it in one line.
        public var line: String {
            "\(collection): epoch \(epoch) on \(shards.joined(separator: ", ")); "
                + "next, epoch \(nextEpoch), on \(nextShards.joined(separator: ", "))"
        }

        private enum CodingKeys: CodingKey {
            case collection
            case epoch
            case shards
            case nextEpoch
            case nextShards
        }
    }

    public enum Verdict: Sendable {
        case fine
        /// No replica of some shard can be reached, and nothing else is wrong.
        case unreachable
        case wrong
    }

    public var shards: Int
    public var replicas: Int
    public var collections: Int
    public var moves: [Move] = []
    public var problems: [Problem]
    /// Nil unless the databases were asked, as are the next two.
    public private(set) var findings: [Finding]?
    public private(set) var servers: [Server]?
    public private(set) var indexes: [Index]?
    public private(set) var verdict: Verdict

    private enum CodingKeys: CodingKey {
        case shards
        case replicas
        case collections
        case moves
        case problems
        case findings
        case servers
        case indexes
    }

    package init(_ config: GatewayConfig) {
        shards = config.shards.count
        replicas = config.shards.reduce(0) { $0 + $1.replicas.count }
        collections = config.collections.count
        moves = config.collections.compactMap { collection in
            collection.next.map {
                Move(
                    collection: collection.name, epoch: collection.epoch, shards: collection.shards,
                    nextEpoch: collection.epoch + 1, nextShards: $0.shards)
            }
        }
        problems = []
        verdict = .fine
    }

    init(_ errors: ConfigErrors) {
        shards = 0
        replicas = 0
        collections = 0
        problems = errors.problems.map(Problem.init)
        verdict = .wrong
    }

    /// - Parameter now: in seconds since 1970 (UTC).
    mutating func add(
        _ examination: Examination, of config: GatewayConfig, file: String,
        now: Int64 = Int64(Date().timeIntervalSince1970)
    ) {
        findings = examination.findings.map {
            Finding(
                severity: $0.severity.rawValue, collection: $0.collection, shard: $0.shard, replica: $0.replica,
                message: $0.message, text: "\(file): \($0)")
        }
        servers = examination.servers.map { Server($0, now: now) }
        indexes = examination.indexes.compactMap { index in
            guard config.shards.indices.contains(index.shard) else { return nil }
            return Index(
                collection: index.collection, shard: config.shards[index.shard].name, index: index.kind.word)
        }
        let errors = examination.findings.filter { $0.severity == .error }
        verdict = errors.isEmpty ? .fine : errors.allSatisfy { $0.topic == .reach } ? .unreachable : .wrong
    }

    /// One line on all of it, without the file's name.
    public var line: String {
        guard problems.isEmpty else { return "not fine: \(problems.count) problems" }
        guard let findings, let servers else {
            return "fine: \(shards) shards, \(replicas) replicas, \(collections) collections"
        }
        let reached = servers.count { $0.reachable }
        let errors = findings.count { $0.severity == "error" }
        let counts = "\(shards) shards, \(reached) of \(replicas) replicas reached, \(collections) collections"
        return (verdict == .fine ? "fine: " : "not fine: ")
            + counts + ", \(errors) errors, \(findings.count - errors) warnings"
    }
}

extension CheckSummary.Server {
    fileprivate init(_ server: Examination.Server, now: Int64) {
        shard = server.shard
        replica = server.replica
        reachable = server.isReachable
        role = server.isStandby.map { $0 ? "standby" : "primary" }
        vector = server.vectorVersion
        version = server.version
        dialUs = server.dialTime?.microseconds
        transport = server.transport.map { Transport($0, now: now) }
        maxConnections = server.condition?.maxConnections
        reservedConnections = server.condition?.reservedConnections
        otherConnections = server.condition?.otherConnections
        lagMs = server.condition?.lag.map { $0.microseconds / 1_000 }
    }
}

extension CheckSummary.Server.Transport {
    fileprivate init(_ facts: TransportFacts, now: Int64) {
        encrypted = facts.encryption != nil
        local = facts.isLocal
        `protocol` = facts.encryption?.version
        cipher = facts.encryption?.cipher
        channelBinding = facts.encryption?.usesChannelBinding
        certificate = facts.encryption?.certificate.map { certificate in
            Certificate(
                subject: certificate.subject,
                expires: Date(timeIntervalSince1970: Double(certificate.expiry)).formatted(.iso8601),
                daysLeft: TransportJudge.daysLeft(of: certificate, now: now))
        }
    }
}

extension IndexKind {
    fileprivate var word: String {
        switch self {
        case .unknown: "unknown"
        case .none: "none"
        case .hnsw: "hnsw"
        case .ivfflat: "ivfflat"
        }
    }
}
