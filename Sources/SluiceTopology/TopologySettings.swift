package import SluiceCore

/// Where a shard's topology comes from, and how it is asked.
package struct TopologySettings: Hashable, Sendable {
    package enum Source: Hashable, Sendable {
        /// The REST APIs of the cluster's members.
        case patroni([HTTPEndpoint])
        /// etcd's clients' addresses, and what the cluster's keys begin with, like `/service/s0/`.
        case etcd([HTTPEndpoint], prefix: String)
        /// A name whose addresses are the members'.
        case dns(name: String, port: Int)
        /// A name whose SRV records are the members'.
        case srv(name: String)
    }

    /// Paths of PEM files.
    package struct Certificates: Hashable, Sendable {
        /// Whose certificates are believed; nil for the system's.
        package var authority: String?
        package var certificate: String?
        package var key: String?

        package init(authority: String? = nil, certificate: String? = nil, key: String? = nil) {
            self.authority = authority
            self.certificate = certificate
            self.key = key
        }
    }

    package var source: Source
    /// Between the beginnings of two rounds.
    package var interval: Duration = .seconds(1)
    /// For one answer.
    package var timeout: Duration = .seconds(1)
    package var machine = ShardTopology.Configuration(leaderLease: .seconds(3))
    package var stateFile: String?
    package var certificates = Certificates()

    package init(_ source: Source) { self.source = source }

    /// Whether the source names the leader; if not, the servers' own word is all there is.
    package var namesLeader: Bool {
        switch source {
        case .patroni, .etcd: true
        case .dns, .srv: false
        }
    }
}

extension TopologySettings {
    /// A name or a numeric address.
    package static func isHost(_ text: String) -> Bool { MemberText.isHost(text) }
}
