/// Where a gateway may listen: without identities or without TLS only where no other machine reaches it.
package enum ListeningRule {
    /// The flag that lifts the rule.
    package static let flag = "--dangerously-listen-without-protection"

    /// What is against the rule, one sentence each; none if nothing is.
    package static func objections(
        _ listen: GatewayConfig.Listen, _ admin: GatewayConfig.Admin, _ access: GatewayConfig.Access
    ) -> [String] {
        var objections: [String] = []
        let hasIdentities = !access.identities.isEmpty
        if let tcp = listen.tcp, !tcp.isLoopback {
            objections.append(
                "listen.tcp is \(tcp), which other machines may reach, and it has no TLS: use listen.tls")
        }
        for place in [listen.tcp, listen.tls, admin.tcp].compactMap(\.self) where !place.isLoopback && !hasIdentities {
            objections.append(
                "\(place) may be reached by other machines, and no identity is configured: whoever connects could do "
                    + "everything; without access.identities the gateway listens on loopback only")
        }
        return objections
    }
}

extension GatewayConfig.HostPort: CustomStringConvertible {
    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// By its text alone: a name could mean anything tomorrow, but for `localhost`.
    package var isLoopback: Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
