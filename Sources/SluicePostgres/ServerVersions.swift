internal import Synchronization

/// What software a server runs.
public struct ServerVersions: Hashable, Sendable {
    /// PostgreSQL's, as it says it: `16.10 (Debian 16.10-1)`.
    public var postgres: String
    /// The extension's in the database; nil if it is not there.
    public var vector: String?

    public init(postgres: String, vector: String?) {
        self.postgres = postgres
        self.vector = vector
    }
}

extension ServerVersions {
    /// Longer than any version; what a server says is not trusted to be one.
    private static let longest = 100

    init(_ facts: ServerFacts) {
        self.init(
            postgres: Self.short(facts.serverVersion),
            vector: facts.vectorVersion.isEmpty ? nil : Self.short(facts.vectorVersion))
    }

    private static func short(_ text: String) -> String {
        PostgresConnection.readable(String(String.UnicodeScalarView(text.unicodeScalars.prefix(longest))))
    }
}

/// What one server ran when a connection to it was made last.
public final class VersionRecord: Sendable {
    private let last = Mutex<ServerVersions?>(nil)

    public init() {}

    /// Nil before a connection has been made.
    public var versions: ServerVersions? { last.withLock { $0 } }

    func note(_ facts: ServerFacts) {
        let versions = ServerVersions(facts)
        last.withLock { $0 = versions }
    }
}
