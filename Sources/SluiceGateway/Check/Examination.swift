internal import Foundation
internal import SluiceCore
package import SluiceEngine
package import SluicePostgres
internal import SluiceReactor

/// What was found out about the databases behind a configuration.
package struct Examination: Sendable {
    package enum Scope: Sendable {
        /// Of each shard the replica that answers first, and no more; not longer than `pool.connect_timeout` in all.
        case oneReplica
        /// Every replica is dialled; the tables are looked at on the first of the list that answers.
        case allReplicas
        /// The same, and each server is asked how it is doing, and some rows of the tables are read. Servers without
        /// pgvector are looked at, too.
        case everything
    }

    package struct Server: Hashable, Sendable {
        package var shard: String
        package var replica: String
        /// Whether or not it is of use.
        package var isReachable: Bool
        /// Of those that can be used.
        package var isStandby: Bool?
        package var vectorVersion: String?
        /// PostgreSQL's.
        package var version: String?
        package var transport: TransportFacts?
        /// From the first packet to the first answer of a statement.
        package var dialTime: Duration?
        package var condition: ServerCondition?
        /// Of a shard that has a source.
        package var identity: ServerIdentity?
    }

    package struct Index: Hashable, Sendable {
        package var collection: String
        /// Its place in the configuration.
        package var shard: Int
        package var kind: IndexKind
    }

    /// In the order of the configuration.
    package var findings: [Finding] = []
    package var servers: [Server] = []
    package var indexes: [Index] = []

    /// Over connections of its own, all shards at a time.
    /// - Throws: `ReactorError` if the process gets no thread for it.
    package static func run(_ config: GatewayConfig, _ scope: Scope) async throws -> Examination {
        let examiner = try Examiner(config, scope)
        let parts = await examiner.dialler.besideConnections {
            await withTaskGroup(of: (Int, Examination).self) { group in
                for (place, shard) in config.shards.enumerated() {
                    group.addTask { (place, await examiner.examine(shard, at: place)) }
                }
                return await group.reduce(into: [Int: Examination]()) { $0[$1.0] = $1.1 }
            }
        }
        await examiner.end()
        return config.shards.indices.compactMap { parts[$0] }.reduce(into: Examination()) { whole, part in
            whole.findings += part.findings
            whole.servers += part.servers
            whole.indexes += part.indexes
        }
    }
}

/// Dials, asks, and lets the pure judges say what it means.
private struct Examiner: Sendable {
    private struct Attempt: Sendable {
        var end: Dialler.Dial
        var took: Duration
    }

    let config: GatewayConfig
    let scope: Examination.Scope
    let dialler: Dialler
    private let deadline: Instant

    init(_ config: GatewayConfig, _ scope: Examination.Scope) throws {
        self.config = config
        self.scope = scope
        dialler = try Dialler(config)
        deadline = Instant(nanoseconds: Reactor.now()).advanced(by: config.pool.connectTimeout)
    }

    func examine(_ shard: GatewayConfig.Shard, at place: Int) async -> Examination {
        var result = Examination()
        var dials: [Attempt?] = Array(repeating: nil, count: shard.replicas.count)
        var isDone = false
        await withTaskGroup(of: (Int, Attempt).self) { group in
            for (replica, value) in shard.replicas.enumerated() {
                group.addTask { (replica, await dial(value)) }
            }
            for await (replica, dial) in group {
                dials[replica] = dial
                guard scope == .oneReplica, !isDone, case .success(let connection) = dial.end else { continue }
                isDone = await look(shard, place, replica, connection, &result)
                if isDone { group.cancelAll() }
            }
        }
        for (replica, dial) in dials.enumerated() where !isDone && scope != .oneReplica {
            guard case .success(let connection) = dial?.end, await connection.facts.vectorType != 0 else { continue }
            isDone = await look(shard, place, replica, connection, &result)
        }
        if scope != .oneReplica || !isDone { await tell(shard, dials, isDone: isDone, &result) }
        return result
    }

    private func dial(_ replica: GatewayConfig.Replica) async -> Attempt {
        let began = Reactor.now()
        let end = await dialler.dial(replica, until: deadline, needsVector: scope != .everything)
        return Attempt(end: end, took: .nanoseconds(Reactor.now() - began))
    }

    /// Returns when every connection has ended; a start does not wait for that, unless connections are counted.
    func end() async {
        let ending = Task { [dialler] in await dialler.end() }
        if scope != .oneReplica || config.hasBudgets { await ending.value }
    }

    // MARK: One server

    /// - Returns: false if the server did not answer.
    private func look(
        _ shard: GatewayConfig.Shard, _ place: Int, _ replica: Int, _ connection: PostgresConnection,
        _ result: inout Examination
    ) async -> Bool {
        let collections = config.collections.filter { $0.shards.contains(shard.name) }
        let name = shard.replicas[replica].name
        // A start's time is all of its time; a check gives each server its own.
        let limit =
            scope == .oneReplica
            ? deadline : Instant(nanoseconds: Reactor.now()).advanced(by: config.pool.connectTimeout)
        do throws(PostgresFailure) {
            let server = await connection.facts
            let facts = try await connection.examine(
                collections.map {
                    .init(schema: $0.schema, table: $0.table, textConfiguration: $0.text?.language)
                }, deadline: limit.nanoseconds)
            // The doctor says it of every server.
            if scope != .everything, let finding = ShardJudge.version(server, shard: shard.name, replica: name) {
                result.findings.append(finding)
            }
            var sound: [(GatewayConfig.Collection, TableFacts, hasIndex: Bool)] = []
            for (collection, table) in zip(collections, facts.tables) {
                let judge = CollectionJudge(
                    collection, table, server: server, role: facts.role, shard: shard.name, replica: name)
                result.findings += judge.findings
                result.indexes.append(.init(collection: collection.name, shard: place, kind: judge.index))
                // Rows are read of a table that is as the configuration says.
                let isSound = !judge.findings.contains { $0.severity == .error && $0.topic == .schema }
                if let table, isSound {
                    sound.append((collection, table, judge.index == .hnsw || judge.index == .ivfflat))
                }
            }
            if scope == .everything {
                await look(at: sound, shard.name, name, connection, &result)
                let probe = LayoutProbe(connection: connection, patience: config.pool.connectTimeout)
                let answer = try await probe.answer()
                result.findings += collections.flatMap {
                    LayoutJudge.findings(answer, of: $0, shard: shard.name, replica: name)
                }
            }
            return true
        } catch {
            result.findings.append(
                Finding(
                    .warning, .reach, shard: shard.name, replica: name, "it was reached, but not examined: \(error)"))
            return false
        }
    }

    /// What is found before the connection ends is told.
    private func look(
        at tables: [(GatewayConfig.Collection, TableFacts, hasIndex: Bool)], _ shard: String, _ replica: String,
        _ connection: PostgresConnection, _ result: inout Examination
    ) async {
        do throws(PostgresFailure) {
            let buffers = try await condition(connection)?.sharedBuffers ?? .max
            for (collection, table, hasIndex) in tables {
                let probe = TableProbe(
                    collection: collection, facts: table, server: await connection.facts, connection: connection,
                    patience: max(config.pool.connectTimeout, .seconds(10)))
                result.findings += TableJudge.findings(
                    try await probe.condition(place: collection.shards.firstIndex(of: shard) ?? 0), of: collection,
                    table, hasIndex: hasIndex, sharedBuffers: buffers, shard: shard, replica: replica)
            }
        } catch {
            result.findings.append(
                Finding(
                    .warning, .reach, shard: shard, replica: replica, "not all rows could be looked at: \(error)"))
        }
    }

    private func condition(_ connection: PostgresConnection) async throws(PostgresFailure) -> ServerCondition? {
        try await ServerProbe(connection: connection, patience: config.pool.connectTimeout).condition()
    }

    // MARK: What is said of servers

    private func tell(
        _ shard: GatewayConfig.Shard, _ dials: [Attempt?], isDone: Bool, _ result: inout Examination
    ) async {
        var findings: [Finding] = []
        var replicas: [ShardJudge.Replica] = []
        var isWithoutExtension = false
        func noteMissingExtension(_ replica: String) {
            isWithoutExtension = true
            findings.append(
                Finding(
                    .error, shard: shard.name, replica: replica,
                    "the extension vector is not in this database; run CREATE EXTENSION vector"))
        }
        for (replica, dial) in zip(shard.replicas, dials) {
            var server = Examination.Server(shard: shard.name, replica: replica.name, isReachable: true)
            var facts: ServerFacts?
            switch dial?.end {
            case .success(let connection):
                let known = await connection.facts
                facts = known
                server.note(known, await connection.transport, dialTime: dial?.took)
                if known.vectorType == 0 { noteMissingExtension(replica.name) }
                guard scope == .everything else { break }
                do throws(PostgresFailure) {
                    server.condition = try await condition(connection)
                } catch {
                    findings.append(
                        Finding(
                            .warning, .reach, shard: shard.name, replica: replica.name,
                            "it does not say how it is doing: \(error)"))
                }
                if shard.source != nil {
                    server.identity = await ServerIdentity.ask(connection, patience: config.pool.connectTimeout)
                }
                findings += judge(server, known, replica)
                if replica.isPooled { findings += await poolerFindings(shard, replica) }
            case .failure(.noVectorExtension): noteMissingExtension(replica.name)
            case .failure(let failure):
                server.isReachable = false
                findings.append(
                    Finding(
                        .warning, .reach, shard: shard.name, replica: replica.name,
                        "it cannot be reached: \(failure)\(hint(failure, replica))"))
            case nil: server.isReachable = false
            }
            let target = (try? replica.connectionString())?.target ?? replica.name
            replicas.append(.init(name: replica.name, target: target, facts: facts))
            result.servers.append(server)
        }
        if !isDone, !isWithoutExtension {
            findings.append(
                Finding(
                    .error, .reach, shard: shard.name,
                    "no replica can be reached, and what lies there was not examined"))
        }
        if scope != .oneReplica { findings += ShardJudge.roles(shard.name, prefer: shard.prefer, replicas) }
        result.findings = findings + result.findings
    }

    /// PgBouncer refuses what the gateway tells a server at the start of a connection.
    private func hint(_ failure: PostgresFailure, _ replica: GatewayConfig.Replica) -> String {
        guard !replica.isPooled, failure.detail.contains("unsupported startup parameter") else { return "" }
        return "; that is a pooler: say `pooler: transaction`"
    }

    /// What there is to say of a server itself.
    private func judge(
        _ server: Examination.Server, _ facts: ServerFacts, _ replica: GatewayConfig.Replica
    ) -> [Finding] {
        let judge = ServerJudge(shard: server.shard, replica: server.replica)
        let version =
            facts.vectorType == 0 ? nil : ShardJudge.version(facts, shard: server.shard, replica: server.replica)
        let advice = version ?? judge.advice(vectorVersion: facts.vectorVersion)
        let transport = server.transport.flatMap {
            TransportJudge.finding(
                $0, shard: server.shard, replica: server.replica, now: Int64(Date().timeIntervalSince1970))
        }
        let target = try? replica.connectionString()
        let keepalives = target.flatMap {
            judge.keepalives(
                $0.dialling(address: nil, throughPooler: replica.isPooled), isLocal: server.transport?.isLocal == true)
        }
        let condition = server.condition.map { judge.findings($0, pools: replica.isPooled ? nil : pools(like: target)) }
        return [advice, transport, keepalives].compactMap(\.self) + (condition ?? [])
    }

    /// What there is to say of the pooler before a server.
    private func poolerFindings(_ shard: GatewayConfig.Shard, _ replica: GatewayConfig.Replica) async -> [Finding] {
        guard let target = try? replica.connectionString(), let pools = pools(like: target, isPooled: true) else {
            return []
        }
        let judge = PoolerJudge(shard: shard.name, replica: replica.name)
        let use = PoolerJudge.Use(
            pool: pools.ofRole, clients: pools.toServer, isShared: pools.isShared,
            patience: config.limits.defaultDeadline)
        let patience = config.pool.connectTimeout
        let limit = Instant(nanoseconds: Reactor.now()).advanced(by: patience)
        do throws(PostgresFailure) {
            let console = try await dialler.dial(replica, until: limit, isConsole: true).get()
            let role = target.login[0] ?? ""
            let condition = try await PoolerProbe(connection: console, patience: patience).condition(
                database: target.login[1] ?? role, role: role)
            guard let condition else { return [judge.unknown("it shows no limits", use)] }
            return judge.findings(condition, use)
        } catch {
            return [judge.unknown(error.description, use)]
        }
    }

    /// Each distinct connection string has one pool, of the size, or the budget, that its first replica has.
    /// - Parameter isPooled: it leads to a pooler, and so do they.
    private func pools(like target: ConnectionString?, isPooled: Bool = false) -> ServerJudge.Pools? {
        guard let target else { return nil }
        var known: [ConnectionString: Int] = [:]
        var isShared = false
        for replica in config.shards.flatMap(\.replicas) where replica.isPooled == isPooled {
            guard let other = try? replica.connectionString(), other.server == target.server else { continue }
            known[other] = known[other] ?? replica.pool.connectionBudget ?? replica.pool.maxSize
            if replica.pool.connectionBudget != nil { isShared = true }
        }
        let own = known.filter { $0.key.login == target.login }
        return .init(toServer: known.values.reduce(0, +), ofRole: own.values.reduce(0, +), isShared: isShared)
    }
}

extension Examination.Server {
    fileprivate mutating func note(_ facts: ServerFacts, _ transport: TransportFacts, dialTime: Duration?) {
        isStandby = facts.isStandby
        vectorVersion = facts.vectorVersion.isEmpty ? nil : facts.vectorVersion
        version = facts.serverVersion
        self.transport = transport
        self.dialTime = dialTime
    }
}
