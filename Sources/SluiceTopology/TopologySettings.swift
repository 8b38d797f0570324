package import SluiceCore
package import SluiceDNS

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

    /// Whom etcd knows this gateway as.
    package struct Credentials: Hashable, Sendable {
        package var user: String
        /// Its first line is the password; it is read again whenever that is needed.
        package var passwordFile: String

        package init(user: String, passwordFile: String) {
            self.user = user
            self.passwordFile = passwordFile
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
    /// Nil for an etcd that asks for none.
    package var credentials: Credentials?
    /// A watch that says nothing for so long is begun anew: its connection may be dead.
    package var watchIdle: Duration = .seconds(30)
    /// Whom to ask for SRV records; nil for the servers of /etc/resolv.conf.
    package var nameServers: NameServers?

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

    /// A name that may have SRV records.
    package static func isService(_ text: String) -> Bool { ServiceName(text, anyLabels: true) != nil }
}
