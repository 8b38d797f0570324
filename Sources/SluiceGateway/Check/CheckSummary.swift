internal import SluiceEngine

/// What `sluice check` found; encoded, its keys are what docs/cli.md says.
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
        public var shard: String
        public var replica: String
        public var reachable: Bool
        /// `primary` or `standby`.
        public var role: String?
        /// The version of its pgvector.
        public var vector: String?
    }

    public struct Index: Encodable, Sendable {
        public var collection: String
        public var shard: String
        /// `hnsw`, `ivfflat`, `none`, or `unknown` if it cannot be seen.
        public var index: String
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
        case problems
        case findings
        case servers
        case indexes
    }

    init(_ config: GatewayConfig) {
        shards = config.shards.count
        replicas = config.shards.reduce(0) { $0 + $1.replicas.count }
        collections = config.collections.count
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

    mutating func add(_ examination: Examination, of config: GatewayConfig, file: String) {
        findings = examination.findings.map {
            Finding(
                severity: $0.severity.rawValue, collection: $0.collection, shard: $0.shard, replica: $0.replica,
                message: $0.message, text: "\(file): \($0)")
        }
        servers = examination.servers.map { server in
            Server(
                shard: server.shard, replica: server.replica, reachable: server.isReachable,
                role: server.isStandby.map { $0 ? "standby" : "primary" }, vector: server.vectorVersion)
        }
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
