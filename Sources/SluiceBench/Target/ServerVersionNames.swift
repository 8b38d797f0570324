package import SluiceWire

/// The versions of the servers that are measured, as a measurement names them.
package enum ServerVersionNames {
    /// Like `postgresql: 16.10` where all are the same, else which replicas have which.
    package static func versions(of servers: [ServerDescription]) -> [String: String] {
        guard !servers.isEmpty else { return [:] }
        return [
            "postgresql": text(servers) { $0.postgres }, "pgvector": text(servers) { $0.vector ?? "none" },
        ]
    }

    private static func text(_ servers: [ServerDescription], _ version: (ServerDescription) -> String) -> String {
        let groups = Dictionary(grouping: servers, by: version).sorted { $0.key < $1.key }
        guard groups.count > 1 else { return groups.first?.key ?? "" }
        return groups.map { version, servers in
            "\(version) (\(servers.map { "\($0.shard)/\($0.replica)" }.joined(separator: ", ")))"
        }.joined(separator: "; ")
    }
}
