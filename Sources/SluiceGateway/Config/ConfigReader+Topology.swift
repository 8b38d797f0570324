internal import SluiceCore
internal import SluicePostgres
internal import SluiceTopology

/// What a `source` may be.
enum SourceType: String, CaseIterable, Sendable {
    case `static`
    case patroni
    case etcd
    case dns
}

private enum RecordType: String, CaseIterable {
    case address
    case srv
}

extension ConfigReader {
    private static let mostEndpoints = 16

    /// - Returns: nil if the replicas are listed in the file.
    func readSource(_ node: ConfigNode, _ pool: GatewayConfig.PoolSettings) -> GatewayConfig.TopologySource? {
        let keys = node.table([
            "type", "endpoints", "namespace", "scope", "name", "record", "port", "interval", "timeout",
            "leader_lease", "require_sync", "state_file", "ca", "certificate", "key", "username", "password_file",
            "replica",
        ])
        let type = keys["type"]?.choice(SourceType.self, or: .static) ?? .static
        if keys["type"] == nil { node.missing("type") }
        let endpoints = keys["endpoints"].map(readEndpoints) ?? []
        let prefix = readPrefix(keys)
        let record = keys["record"]?.choice(RecordType.self, or: .address) ?? .address
        let port = keys["port"]?.integer(1...65_535, or: 5_432) ?? 5_432
        let name = keys["name"]?.text()
        if let name, !(record == .srv ? TopologySettings.isService(name) : TopologySettings.isHost(name)) {
            keys["name"]?.complain("is no name that DNS could know")
        }
        let template = keys["replica"].map { readTemplate($0, pool) }
        refuseOthers(type, keys, node)
        let source: TopologySettings.Source? =
            switch type {
            case .static: nil
            case .patroni: .patroni(endpoints)
            case .etcd: .etcd(endpoints, prefix: prefix)
            case .dns: record == .srv ? .srv(name: name ?? "") : .dns(name: name ?? "", port: port)
            }
        // What another type has is read, too: the survey finds the keys by their reading.
        let settings = readSettings(keys, node, source ?? .patroni([]))
        if source == nil { return nil }
        guard let template else {
            node.missing("replica")
            return nil
        }
        return .init(settings: settings, template: template)
    }

    private func readSettings(
        _ keys: [String: ConfigNode], _ node: ConfigNode, _ source: TopologySettings.Source
    ) -> TopologySettings {
        var settings = TopologySettings(source)
        if !settings.namesLeader { settings.interval = .seconds(10) }
        readTimes(keys, node, &settings)
        settings.machine.requiresSynchronousStandby = keys["require_sync"]?.flag(or: false) ?? false
        settings.stateFile = keys["state_file"]?.text().map(resolved)
        settings.certificates = .init(
            authority: keys["ca"]?.text().map(resolved), certificate: keys["certificate"]?.text().map(resolved),
            key: keys["key"]?.text().map(resolved))
        if (keys["certificate"] == nil) != (keys["key"] == nil) {
            node.complain("certificate and key go together")
        }
        settings.credentials = readCredentials(keys, node)
        return settings
    }

    /// The password is read again whenever etcd is asked for a token; here only whether it can be.
    private func readCredentials(
        _ keys: [String: ConfigNode], _ node: ConfigNode
    ) -> TopologySettings.Credentials? {
        let user = keys["username"]?.text()
        if let user, !(1...256).contains(user.utf8.count) || user.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            keys["username"]?.complain("has 1 to 256 bytes, and no control characters")
        }
        let path = keys["password_file"]?.text()
        if let path, let file = keys["password_file"] { _ = firstLine(of: file, path) }
        if (keys["username"] == nil) != (keys["password_file"] == nil) {
            node.complain("username and password_file go together")
        }
        guard let user, let path else { return nil }
        return .init(user: user, passwordFile: resolved(path))
    }

    /// Two shards that kept their state in one file would lower each other's timelines.
    func checkStateFiles(_ shards: [GatewayConfig.Shard], _ node: ConfigNode) {
        var known: [String: String] = [:]
        for shard in shards {
            guard let path = shard.source?.settings.stateFile else { continue }
            if let other = known.updateValue(shard.name, forKey: path) {
                node.complain("\(other) and \(shard.name) have the same state_file; each shard has its own")
            }
        }
    }

    private func readTimes(_ keys: [String: ConfigNode], _ node: ConfigNode, _ settings: inout TopologySettings) {
        keys["interval"].read(into: &settings.interval) { $0.duration(.milliseconds(100) ... .seconds(60), or: $1) }
        keys["timeout"].read(into: &settings.timeout) { $0.duration(.milliseconds(50) ... .seconds(10), or: $1) }
        keys["leader_lease"].read(into: &settings.machine.leaderLease) {
            $0.duration(.milliseconds(500) ... .seconds(60), or: $1)
        }
        guard settings.namesLeader, settings.machine.leaderLease < settings.interval + settings.timeout else { return }
        (keys["leader_lease"] ?? node).complain(
            "leader_lease must not be below interval and timeout together: writes would stop between two rounds")
    }

    private func readEndpoints(_ node: ConfigNode) -> [HTTPEndpoint] {
        let texts = unique(node.list(1...Self.mostEndpoints)) { $0.text() }
        let endpoints = texts.compactMap { HTTPEndpoint($0) }
        if endpoints.count < texts.count {
            node.complain("each is http://HOST:PORT or https://HOST:PORT, without a path")
        }
        return endpoints
    }

    /// What Patroni's keys begin with.
    private func readPrefix(_ keys: [String: ConfigNode]) -> String {
        let namespace = keys["namespace"]?.text() ?? "/service"
        let scope = keys["scope"]?.text() ?? ""
        for (key, text) in [("namespace", namespace), ("scope", scope)] {
            if text.utf8.count > 200 || text.utf8.contains(where: { $0 < 0x21 || $0 == 0x7F }) {
                keys[key]?.complain("has at most 200 bytes, and neither spaces nor control characters")
            }
        }
        let words = (namespace.split(separator: "/") + scope.split(separator: "/")).joined(separator: "/")
        return "/\(words)/"
    }

    private func readTemplate(_ node: ConfigNode, _ pool: GatewayConfig.PoolSettings) -> GatewayConfig.Replica {
        let keys = node.table(["dsn", "password_file", "pooler", "pool", "weight", "timeout"])
        let (dsn, password, passwordFile) = readDSN(keys["dsn"], passwordFile: keys["password_file"])
        if keys["dsn"] == nil { node.missing("dsn") }
        if let dsn, let known = try? ConnectionString(dsn.revealed) {
            if dsn.revealed.contains("://") {
                keys["dsn"]?.complain("is to be keywords and values here, not a URI")
            } else if ["host", "hostaddr", "port"].contains(where: { known.parameters[$0] != nil }) {
                keys["dsn"]?.complain("host and port are the source's to say")
            }
        }
        let own = keys["pool"].map { readPool($0, defaults: pool, isOverride: true) } ?? pool
        if own.connectionBudget != nil {
            (keys["pool"] ?? node).complain("a connection_budget is for replicas that the file lists")
        }
        return .init(
            name: "", dsn: dsn ?? Secret(""), folder: folder, password: password, passwordFile: passwordFile,
            pooler: keys["pooler"]?.choice(GatewayConfig.Pooler.self, or: .none) ?? .none, pool: own,
            weight: keys["weight"]?.integer(1...100, or: 1) ?? 1,
            timeout: keys["timeout"]?.duration(Self.timeouts, or: .seconds(1)))
    }

    /// Keys that another type has, and those that this one lacks.
    private func refuseOthers(_ type: SourceType, _ keys: [String: ConfigNode], _ node: ConfigNode) {
        let (needed, allowed): ([String], Set<String>) =
            switch type {
            case .static: ([], [])
            case .patroni: (["endpoints"], ["leader_lease", "require_sync", "ca", "certificate", "key"])
            case .etcd:
                (
                    ["endpoints", "scope"],
                    [
                        "namespace", "leader_lease", "require_sync", "ca", "certificate", "key", "username",
                        "password_file",
                    ]
                )
            case .dns: (["name"], ["record", "port"])
            }
        let common: Set<String> = ["type", "interval", "timeout", "state_file", "replica"]
        for key in needed where keys[key] == nil { node.missing(key) }
        for (key, value) in keys {
            let isCommon = type == .static ? key == "type" : common.contains(key)
            if !isCommon, !needed.contains(key), !allowed.contains(key) {
                value.complain("is not for a source of type \(type.rawValue)")
            }
        }
    }
}
