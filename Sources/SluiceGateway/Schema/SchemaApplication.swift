internal import SluiceCore
package import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor

/// Makes a collection's table on every shard's primary. All shards are looked at before the first is changed; each is
/// changed by one transaction.
package struct SchemaApplication: Sendable {
    package enum Outcome: String, Hashable, Sendable {
        case created
        /// It was there, and it fits.
        case existed
        /// Something is in the way.
        case refused
        /// No primary, or more than one.
        case unreachable
        /// The server refused, and kept nothing of it.
        case failed
        /// The connection was lost before the server had answered.
        case unknown
        /// Not begun, because of another shard.
        case notApplied = "not_applied"
    }

    package struct Report: Hashable, Sendable {
        package var shard: String
        package var replica: String?
        package var outcome: Outcome
        package var messages: [String] = []
    }

    /// A shard that is ready to be changed.
    private struct Site: Sendable {
        var connection: PostgresConnection
        var report: Report
        var script: [CollectionSchema.Statement]
        /// Whom the shard's source has named.
        var leader: MemberPlace?
    }

    private enum Look: Sendable {
        case ready(Site)
        case not(Report)
    }

    private let config: GatewayConfig
    private let collection: GatewayConfig.Collection
    private let acceptsExisting: Bool
    private let finder: PrimaryFinder

    /// - Parameter fences: of shards whose source says which server may be written to.
    /// - Returns: one report for each of the collection's shards, in the configuration's order.
    /// - Throws: `ReactorError` if the process gets no thread for it.
    package static func run(
        _ collection: GatewayConfig.Collection, _ config: GatewayConfig, acceptsExisting: Bool,
        fences: [String: any WriteFence] = [:]
    ) async throws -> [Report] {
        let finder = PrimaryFinder(config: config, dialler: try Dialler(config), fences: fences)
        let application = SchemaApplication(
            config: config, collection: collection, acceptsExisting: acceptsExisting, finder: finder)
        let reports = await application.run()
        await finder.dialler.end()
        return reports
    }

    private func run() async -> [Report] {
        let shards = config.shards.filter { collection.shards.contains($0.name) }
        let looks = await withTaskGroup(of: (Int, Look).self) { group in
            for (place, shard) in shards.enumerated() { group.addTask { (place, await look(at: shard)) } }
            return await group.reduce(into: [Int: Look]()) { $0[$1.0] = $1.1 }
        }
        let found = shards.indices.compactMap { looks[$0] }
        var isStopped = found.contains { if case .not = $0 { true } else { false } }
        var reports: [Report] = []
        for look in found {
            switch look {
            case .not(let report): reports.append(report)
            case .ready(var site):
                if isStopped {
                    site.report.outcome = .notApplied
                } else {
                    await apply(&site)
                    isStopped = site.report.outcome == .failed || site.report.outcome == .unknown
                }
                reports.append(site.report)
            }
        }
        return reports
    }

    private func limit(_ duration: Duration) -> Instant {
        Instant(nanoseconds: Reactor.now()).advanced(by: duration)
    }

    // MARK: Looking

    private func look(at shard: GatewayConfig.Shard) async -> Look {
        do throws(PrimaryFinder.Missing) {
            let primary = try await finder.find(shard)
            let report = Report(
                shard: shard.name, replica: primary.replica.name, outcome: .refused, messages: primary.messages)
            var look = await look(at: primary.connection, report)
            if case .ready(var site) = look {
                site.leader = primary.leader
                look = .ready(site)
            }
            return look
        } catch {
            return .not(
                Report(
                    shard: shard.name, outcome: error.isUnreachable ? .unreachable : .refused,
                    messages: error.messages))
        }
    }

    private func look(at connection: PostgresConnection, _ report: Report) async -> Look {
        var report = report
        do throws(PostgresFailure) {
            let deadline = limit(config.pool.connectTimeout).nanoseconds
            let server = await connection.facts
            let facts = try await connection.examine(
                [
                    .init(
                        schema: collection.schema, table: collection.table,
                        textConfiguration: collection.text?.language),
                    .init(schema: JournalTable.schema, table: JournalTable.table),
                ], deadline: deadline)
            guard facts.tables.count == 2 else {
                throw PostgresFailure(.protocolViolation, "the server sent another number of tables")
            }
            var script: [CollectionSchema.Statement] = []
            if let table = facts.tables[0] {
                let judge = CollectionJudge(
                    collection, table, server: server, role: facts.role, shard: report.shard,
                    replica: report.replica ?? "")
                report.messages += judge.findings.map { "\($0.severity.rawValue): \($0.message)" }
                guard acceptsExisting else {
                    report.messages.append("\(table.quoted) is there already; --if-not-exists keeps it if it fits")
                    return .not(report)
                }
                guard !judge.findings.contains(where: { $0.severity == .error }) else { return .not(report) }
                report.outcome = .existed
            } else {
                let schema = CollectionSchema(collection, vectorSchema: server.vectorSchema)
                // A role may be allowed to use a schema and not to make one, even if it is there already.
                if let statement = schema.schema, try await !isThere(collection.schema, connection, deadline) {
                    script.append(statement)
                }
                script += schema.table
                report.outcome = .created
            }
            if facts.tables[1] == nil {
                let isThere = try await isThere(JournalTable.schema, connection, deadline)
                script += CollectionSchema.journal.dropFirst(isThere ? 1 : 0)
            }
            return .ready(Site(connection: connection, report: report, script: script))
        } catch {
            report.outcome = .unreachable
            report.messages.append("it was reached, but not examined: \(error)")
            return .not(report)
        }
    }

    private func isThere(
        _ schema: String, _ connection: PostgresConnection, _ deadline: Int64
    ) async throws(PostgresFailure) -> Bool {
        let sql = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname OPERATOR(pg_catalog.=) $1"
        return try await !connection.rows(sql, [schema], deadline: deadline).isEmpty
    }

    // MARK: Changing

    private func apply(_ site: inout Site) async {
        if site.script.isEmpty { return }
        if !finder.isStill(site.leader, of: site.report.shard) {
            site.report.outcome = .failed
            site.report.messages.append("nothing is written: its topology source does not name it leader any more")
            return
        }
        do throws(ScriptFailure) {
            try await site.connection.run(
                script: site.script.map(\.sql), deadline: limit(Self.mostTime).nanoseconds)
        } catch {
            let isKnown = error.failure.kind == .server
            site.report.outcome = isKnown ? .failed : .unknown
            let statement = error.statement.map { " at \(Self.start(of: site.script[$0].sql))" } ?? ""
            site.report.messages.append("\(error)\(statement)".withoutControls)
            if !isKnown {
                site.report.messages.append(
                    "whether it was done is not known; run it again with --if-not-exists")
            }
        }
    }

    /// New tables are empty: what takes longer waits for somebody's lock, or for a synchronous standby.
    private static let mostTime: Duration = .seconds(30)

    private static func start(of sql: String) -> String {
        sql.prefix { $0 != "\n" } + (sql.contains("\n") ? " …" : "")
    }
}
