internal import Foundation
internal import Logging
internal import SluiceCore

extension GatewayConfig {
    private static let maximumFileBytes = 1_048_576

    /// Reads and checks a configuration file.
    /// - Throws: everything that is wrong with it, at once.
    package static func load(path: String, environment: [String: String]) throws(ConfigErrors) -> GatewayConfig {
        let text: String
        do throws(ConfigFile.Problem) {
            text = try ConfigFile.text(path: path, maximumBytes: maximumFileBytes)
        } catch {
            throw ConfigErrors([ConfigProblem(file: path, line: error.line, keyPath: "", message: error.message)])
        }
        return try parse(text, file: path, environment: environment)
    }

    /// - Parameter file: names the file in messages; relative paths in it are relative to its folder.
    package static func parse(
        _ text: String, file: String, environment: [String: String]
    ) throws(ConfigErrors) -> GatewayConfig {
        let problems = ConfigProblems(file: file, environment: environment)
        let config = ConfigDocument.compose(text, problems).map { root in
            ConfigReader(problems: problems, folder: folder(of: file)).read(root)
        }
        guard let config, problems.found.isEmpty else { throw ConfigErrors(problems.found) }
        return config
    }

    private static func folder(of file: String) -> String {
        file.contains("/") ? String(file[..<(file.lastIndex(of: "/") ?? file.startIndex)]) : "."
    }
}

/// Turns the file's nodes into a `GatewayConfig`, noting every problem on the way.
struct ConfigReader {
    static let mostShards = 1_024
    private static let mostReplicas = 64

    let problems: ConfigProblems
    let folder: String

    func read(_ root: ConfigNode) -> GatewayConfig {
        let keys = root.table([
            "listen", "admin", "tls", "access", "reactors", "pool", "shards", "fleet", "collections", "limits",
            "routing", "breaker", "retries", "hedging", "laggards", "admission", "cursors", "cache", "freshness",
            "metrics", "tracing", "log", "reload",
        ])
        let pool = keys["pool"].map { readPool($0, defaults: .init(), isOverride: false) } ?? .init()
        let routing = keys["routing"].map(readRouting) ?? .init()
        let shards = keys["shards"].map { readShards($0, pool, routing.prefer) } ?? missing("shards", root)
        let collections =
            keys["collections"].map { readCollections($0, shards.map(\.name)) } ?? missing("collections", root)
        let limits = keys["limits"].map(readLimits) ?? .init()
        let largest = collections.filter { $0.form == .vector }.map(\.dimensions).max() ?? 0
        if Self.requestBytes(dimensions: largest) > limits.maxFrame {
            (keys["limits"] ?? root).complain(
                "max_frame is \(limits.maxFrame) bytes, too little for a vector of \(largest) dimensions; "
                    + "give at least \(Self.requestBytes(dimensions: largest))")
        }
        let listen = keys["listen"].map(readListen) ?? GatewayConfig.Listen(tcp: .init(host: "127.0.0.1", port: 7_411))
        if listen.tls != nil, keys["tls"] == nil { root.missing("tls") }
        if let tls = keys["tls"], listen.tls == nil { tls.complain("is for listen.tls, which is not there") }
        var config = GatewayConfig(
            listen: listen, admin: keys["admin"].map(readAdmin) ?? .init(), tls: keys["tls"].map(readTLS),
            access: keys["access"].map { readAccess($0, collections) } ?? .init(),
            reactors: keys["reactors"]?.integer(1...64, or: 1)
                ?? max(1, ProcessInfo.processInfo.activeProcessorCount / 2),
            pool: pool, shards: shards, collections: collections,
            limits: limits, routing: routing,
            breaker: keys["breaker"].map(readBreaker) ?? .init(), retries: keys["retries"].map(readRetries) ?? .init(),
            hedging: keys["hedging"].map(readHedging) ?? .init(),
            laggards: keys["laggards"].map(readLaggards) ?? .init(),
            admission: keys["admission"].map(readAdmission) ?? .init(),
            cursors: keys["cursors"].map(readCursors) ?? .init(), cache: keys["cache"].map(readCache) ?? .init(),
            freshness: keys["freshness"].map(readFreshness) ?? .init(),
            logLevel: .info)
        if let metrics = keys["metrics"] {
            config.measures = metrics.table(["enabled"])["enabled"]?.flag(or: true) ?? true
        }
        if let log = keys["log"] { readLog(log, &config) }
        config.isWatched = keys["reload"]?.table(["watch"])["watch"]?.flag(or: true) ?? true
        if let tracing = keys["tracing"] { config.tracing = readTracing(tracing) }
        config.fleet = keys["fleet"].map(readFleet) ?? .init()
        checkBudgets(config, keys["fleet"] ?? keys["shards"] ?? root)
        checkStateFiles(shards, keys["shards"] ?? root)
        return config
    }

    /// A vector takes four bytes a dimension; the rest is room for names and numbers.
    private static func requestBytes(dimensions: Int) -> Int { 4 * dimensions + 1_024 }

    private func missing<Element>(_ key: String, _ node: ConfigNode) -> [Element] {
        node.missing(key)
        return []
    }

    // MARK: Sections

    private func readListen(_ node: ConfigNode) -> GatewayConfig.Listen {
        let keys = node.table(["tcp", "tls", "unix"])
        var listen = GatewayConfig.Listen()
        listen.tcp = keys["tcp"].flatMap(address)
        listen.tls = keys["tls"].flatMap(address)
        if let unix = keys["unix"], let text = unix.text() {
            listen.unixPath = resolved(text)
            // sun_path has 108 bytes, the last one NUL (unix(7)).
            if resolved(text).utf8.count > 107 { unix.complain("the path of a socket has at most 107 bytes") }
        }
        if keys.isEmpty, node.isTable { node.complain("names no address; give one of tcp, tls and unix, or several") }
        return listen
    }

    private func readAdmin(_ node: ConfigNode) -> GatewayConfig.Admin {
        let keys = node.table(["tcp", "enabled"])
        var admin = GatewayConfig.Admin()
        if let address = keys["tcp"].flatMap(address) {
            admin.tcp = address
            admin.isRequired = true
        }
        if keys["enabled"]?.flag(or: true) == false { admin.tcp = nil }
        return admin
    }

    private func address(_ node: ConfigNode) -> GatewayConfig.HostPort? {
        guard let text = node.text() else { return nil }
        let address = GatewayConfig.HostPort(text)
        if address == nil { node.complain("must be HOST:PORT or [IPv6]:PORT, with a port from 0 to 65535") }
        return address
    }

    private func readShards(
        _ node: ConfigNode, _ pool: GatewayConfig.PoolSettings, _ prefer: GatewayConfig.Preference
    ) -> [GatewayConfig.Shard] {
        var names = Names()
        var pools: [String: GatewayConfig.PoolSettings] = [:]
        return node.list(1...Self.mostShards).map { item in
            let keys = item.table(["name", "replicas", "source", "prefer"])
            let name = names.take(keys["name"], in: item)
            let prefer = keys["prefer"]?.choice(GatewayConfig.Preference.self, or: prefer) ?? prefer
            let source = keys["source"].flatMap { readSource($0, pool) }
            guard let list = keys["replicas"] else {
                if source == nil { item.missing("replicas") }
                return .init(name: name, replicas: [], prefer: prefer, source: source)
            }
            if source != nil { list.complain("a shard that has a source has no list of replicas; give one of the two") }
            var replicas = Names()
            let read = list.list(1...Self.mostReplicas).enumerated().map { place, item in
                let replica = readReplica(item, "\(name)-\(place)", pool, &replicas)
                // A server has one pool, whatever names it has.
                let first = pools.updateValue(replica.pool, forKey: replica.dsn.revealed)
                if let first, first != replica.pool {
                    item.complain("has the dsn of another replica and other pool settings; they share one pool")
                }
                return replica
            }
            return .init(name: name, replicas: read, prefer: prefer)
        }
    }

    private func readReplica(
        _ node: ConfigNode, _ defaultName: String, _ pool: GatewayConfig.PoolSettings, _ names: inout Names
    ) -> GatewayConfig.Replica {
        let keys = node.table([
            "name", "dsn", "password_file", "pooler", "pool", "weight", "zone", "timeout",
        ])
        let name = names.take(keys["name"], in: node, or: defaultName)
        let (dsn, password, passwordFile) = readDSN(keys["dsn"], passwordFile: keys["password_file"])
        if keys["dsn"] == nil { node.missing("dsn") }
        return .init(
            name: name, dsn: dsn ?? Secret(""), folder: folder, password: password, passwordFile: passwordFile,
            pooler: keys["pooler"]?.choice(GatewayConfig.Pooler.self, or: .none) ?? .none,
            pool: keys["pool"].map { readPool($0, defaults: pool, isOverride: true) } ?? pool,
            weight: keys["weight"]?.integer(1...100, or: 1) ?? 1, zone: keys["zone"]?.name(),
            timeout: keys["timeout"]?.duration(Self.timeouts, or: .seconds(1)))
    }

    /// - Returns: the password as the file has it, and where that is.
    func readDSN(
        _ node: ConfigNode?, passwordFile: ConfigNode?
    ) -> (dsn: Secret?, password: Secret?, file: String?) {
        let dsn = node?.dsn()
        if let dsn, let complaint = DSN.complaint(dsn) { node?.complain(complaint) }
        guard let file = passwordFile, let path = file.text() else { return (dsn.map { Secret($0) }, nil, nil) }
        if let dsn, DSN.hasPassword(dsn) { file.complain("the dsn has a password already; give one of the two") }
        return (dsn.map { Secret($0) }, firstLine(of: file, path), resolved(path))
    }

    private func readLog(_ node: ConfigNode, _ config: inout GatewayConfig) {
        let keys = node.table(["level", "slow_search", "explain_one_in"])
        config.logLevel = keys["level"]?.choice(Logger.Level.self, or: .info) ?? .info
        config.explainOneIn = keys["explain_one_in"]?.integer(0...1_000_000, or: 20) ?? config.explainOneIn
        guard let slow = keys["slow_search"]?.duration(.zero ... .seconds(3_600), or: .zero) else { return }
        config.slowSearch = slow > .zero ? slow : nil
    }

    // MARK: Texts

    func unique(_ items: [ConfigNode], _ read: (ConfigNode) -> String?) -> [String] {
        var seen: Set<String> = []
        return items.compactMap { item in
            guard let value = read(item) else { return nil }
            if !seen.insert(value).inserted { item.complain("\(item.quoted) is listed twice") }
            return value
        }
    }

    func resolved(_ path: String) -> String { path.hasPrefix("/") ? path : "\(folder)/\(path)" }

    /// The first line of a small file, without its end.
    func firstLine(of node: ConfigNode, _ path: String) -> Secret? {
        do throws(ConfigFile.Problem) {
            let text = try ConfigFile.text(path: resolved(path), maximumBytes: 65_536)
            let line = text.prefix { !$0.isNewline }
            guard !line.isEmpty, !line.utf8.contains(0) else {
                node.complain("the first line of the file is empty, or has a NUL in it")
                return nil
            }
            return Secret(String(line))
        } catch {
            node.complain(error.message)
            return nil
        }
    }
}

/// The names of one list's items, each there once.
struct Names {
    private var lines: [String: Int?] = [:]

    /// An item's name; a stand-in if it has none, which is noted unless there is a default.
    mutating func take(_ node: ConfigNode?, in item: ConfigNode, or standard: String? = nil) -> String {
        if node == nil, standard == nil { item.missing("name") }
        guard let name = node.map({ $0.name() }) ?? standard else { return "" }
        if let first = lines[name] {
            let place = first.map { " on line \($0)" } ?? ""
            (node ?? item).complain("the name \(node?.quoted ?? "\"\(name)\"") is taken already\(place)")
        } else {
            lines[name] = (node ?? item).line
        }
        return name
    }
}
