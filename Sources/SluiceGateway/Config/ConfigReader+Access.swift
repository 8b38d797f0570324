internal import Glibc
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire

/// Identities, and the certificates of the TLS listener.
extension ConfigReader {
    func readTLS(_ node: ConfigNode) -> GatewayConfig.TLS {
        let keys = node.table(["certificate", "key", "client_ca", "client_certificates", "min_version"])
        for key in ["certificate", "key"] where keys[key] == nil { node.missing(key) }
        var tls = GatewayConfig.TLS(
            certificate: keys["certificate"]?.text().map(resolved) ?? "", key: keys["key"]?.text().map(resolved) ?? "")
        tls.clientAuthority = keys["client_ca"]?.text().map(resolved)
        if let certificates = keys["client_certificates"] {
            tls.clientCertificates = certificates.choice(GatewayConfig.TLS.ClientCertificates.self, or: .optional)
            if tls.clientAuthority == nil { certificates.complain("needs client_ca: whose certificates are believed") }
        }
        tls.minimumVersion = keys["min_version"]?.choice(GatewayConfig.TLS.Version.self, or: .tls12) ?? .tls12
        return tls
    }

    func readAccess(_ node: ConfigNode, _ collections: [GatewayConfig.Collection]) -> GatewayConfig.Access {
        let keys = node.table(["tokens", "identities"])
        var access = GatewayConfig.Access()
        access.tokens = keys["tokens"]?.text().map(resolved)
        var names = Names()
        var known = KnownMarks()
        access.identities =
            keys["identities"]?.list(0...Self.mostIdentities).map { item in
                readIdentity(item, collections, &names, &known)
            } ?? []
        if access.identities.isEmpty, node.isTable {
            node.complain("names no identity; leave `access` out if everybody on this machine may do everything")
        }
        return access
    }

    private static var mostIdentities: Int { 10_000 }
    private static var mostMarks: Int { 1_000 }

    /// Which certificates and users are some identity's already.
    private struct KnownMarks {
        var certificates: Set<String> = []
        var users: Set<UInt32> = []
    }

    private func readIdentity(
        _ node: ConfigNode, _ collections: [GatewayConfig.Collection], _ names: inout Names, _ known: inout KnownMarks
    ) -> AccessRules.Entry {
        let keys = node.table(["name", "certificates", "unix_users", "collections", "limits"])
        var identity = Identity(name: names.take(keys["name"], in: node))
        if let list = keys["collections"] {
            readPermissions(list, collections, into: &identity)
        } else {
            node.missing("collections")
        }
        identity.limits = keys["limits"].map(readIdentityLimits) ?? .init()
        var entry = AccessRules.Entry(identity)
        for item in keys["certificates"]?.list(0...Self.mostMarks) ?? [] {
            guard let name = item.text() else { continue }
            let isKnownKind = ["CN:", "DNS:", "URI:", "EMAIL:", "IP:"].contains { name.hasPrefix($0) && name != $0 }
            if !isKnownKind {
                item.complain("must be CN:NAME, DNS:NAME, URI:NAME, EMAIL:NAME or IP:ADDRESS, not \(item.quoted)")
            }
            if !known.certificates.insert(name).inserted { item.complain("\(item.quoted) is an identity's already") }
            entry.certificates.append(name)
        }
        for item in keys["unix_users"]?.list(0...Self.mostMarks) ?? [] {
            guard let name = item.text() else { continue }
            guard let user = UInt32(name) ?? Self.user(named: name) else {
                item.complain("there is no user \(item.quoted) on this machine")
                continue
            }
            if !known.users.insert(user).inserted { item.complain("\(item.quoted) is an identity's already") }
            entry.unixUsers.append(user)
        }
        return entry
    }

    private static func user(named name: String) -> UInt32? {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 16_384)
        guard getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0, found != nil else { return nil }
        return entry.pw_uid
    }

    // MARK: Permissions

    private func readPermissions(
        _ node: ConfigNode, _ collections: [GatewayConfig.Collection], into identity: inout Identity
    ) {
        let entries = node.entries(0...10_000)
        let own = Set(entries.map(\.key))
        for (name, value) in entries {
            let concerned =
                name == "*" ? collections.filter { !own.contains($0.name) } : collections.filter { $0.name == name }
            if name != "*", concerned.isEmpty {
                value.complain(
                    "there is no such collection" + problems.suggestion(for: name, among: collections.map(\.name)))
            }
            let permission = readPermission(value, concerned)
            if name == "*" { identity.otherwise = permission } else { identity.permissions[name] = permission }
        }
    }

    /// A list of actions, or a table that has a filter as well.
    private func readPermission(_ node: ConfigNode, _ collections: [GatewayConfig.Collection]) -> Permission {
        guard node.isTable else { return Permission(readActions(node)) }
        let keys = node.table(["allow", "filter"])
        if keys["allow"] == nil { node.missing("allow") }
        var permission = Permission(keys["allow"].map(readActions) ?? [])
        if let filter = keys["filter"], let text = filter.text() {
            permission.filter = readFilter(text, filter, collections)
        }
        return permission
    }

    private func readActions(_ node: ConfigNode) -> Actions {
        let known = Actions.names
        return node.list(0...known.count).reduce(into: []) { actions, item in
            guard let word = item.text() else { return }
            guard let named = known.first(where: { $0.name == word }) else {
                let words = known.map(\.name)
                return item.complain(
                    "is \(item.quoted), not one of \(words.joined(separator: ", "))"
                        + problems.suggestion(for: word, among: words))
            }
            actions.insert(named.action)
        }
    }

    /// A filter that fits every collection that it is to hold in.
    private func readFilter(
        _ text: String, _ node: ConfigNode, _ collections: [GatewayConfig.Collection]
    ) -> SluiceCore.Filter? {
        let filter: SluiceCore.Filter
        do throws(FilterSyntaxError) {
            filter = Filter(try FilterExpression(parsing: text))
        } catch {
            // Without the text: what it compares with may be a secret.
            node.complain("is no filter: at line \(error.line), column \(error.column) \(error.expected) is expected")
            return nil
        }
        for collection in collections {
            do throws(SearchError) {
                _ = try FilterPlan(filter, columns: collection.filterable, collection: collection.name)
            } catch {
                node.complain(error.message)
            }
        }
        return filter
    }

    private func readIdentityLimits(_ node: ConfigNode) -> IdentityLimits {
        let keys = node.table(["requests_per_second", "max_in_flight", "max_k", "bytes_per_second", "pool_share"])
        var limits = IdentityLimits()
        limits.requestsPerSecond = keys["requests_per_second"]?.integer(1...1_000_000_000, or: 1)
        limits.maxInFlight = keys["max_in_flight"]?.integer(1...1_000_000, or: 1)
        limits.maxK = keys["max_k"]?.integer(1...10_000, or: 1)
        limits.bytesPerSecond = keys["bytes_per_second"]?.bytes(1...RateAllowance.largest, or: 1)
        limits.poolShare = keys["pool_share"]?.number(0.001...1, or: 1)
        return limits
    }
}
