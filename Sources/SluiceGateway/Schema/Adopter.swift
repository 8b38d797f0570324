internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor

/// Reads the catalogues of all shards, and a few rows where the catalogue does not say enough.
package struct Adopter: Sendable {
    package struct Result: Sendable {
        package var served: [(collection: GatewayConfig.Collection, comments: [String])] = []
        /// Each with the reason.
        package var notServed: [(table: String, reason: String)] = []
        /// Why nothing can be said of some shard.
        package var unreachable: [String] = []
    }

    private struct Name: Hashable, Comparable, Sendable {
        var schema: String
        var table: String

        static func < (left: Self, right: Self) -> Bool { (left.schema, left.table) < (right.schema, right.table) }

        var shown: String { "\(schema).\(table)" }
    }

    private struct Site: Sendable {
        var place: Int
        var connection: PostgresConnection
        var sightings: [Name: TableSighting] = [:]
    }

    private let config: GatewayConfig
    private let schemas: [String]
    private let dialler: Dialler

    /// - Parameters:
    ///   - config: its shards are where it looks; its collections do not matter.
    ///   - tables: nil for all.
    /// - Throws: `ReactorError` if the process gets no thread for it.
    package static func run(_ config: GatewayConfig, schemas: [String], tables: [String]?) async throws -> Result {
        let adopter = Adopter(config: config, schemas: schemas, dialler: try Dialler(config))
        let result = await adopter.run(tables)
        await adopter.dialler.end()
        return result
    }

    private func run(_ tables: [String]?) async -> Result {
        var result = Result()
        var sites: [Site] = []
        for await (site, message) in looks() {
            if let site { sites.append(site) }
            if let message { result.unreachable.append(message) }
        }
        guard result.unreachable.isEmpty else {
            result.unreachable.sort()
            return result
        }
        sites.sort { $0.place < $1.place }
        let names = Set(sites.flatMap(\.sightings.keys)).filter { tables?.contains($0.table) ?? true }
        for table in tables ?? [] where !names.contains(where: { $0.table == table }) {
            result.notServed.append(("\(schemas.joined(separator: ", ")).\(table)", "there is no such table"))
        }
        var adoption = Adoption()
        for name in names.sorted() {
            let present = sites.filter { $0.sightings[name] != nil }
            switch adoption.candidates(
                schema: name.schema, table: name.table, present.compactMap { $0.sightings[name] })
            {
            case .failure(let unserved): result.notServed.append((name.shown, unserved.reason))
            case .success(let candidates):
                if candidates.isEmpty, tables != nil {
                    result.notServed.append((name.shown, "it has no column of vectors"))
                }
                for candidate in candidates { await finish(candidate, name, present, &result) }
            }
        }
        return result
    }

    private func finish(
        _ candidate: Adoption.Candidate, _ name: Name, _ sites: [Site], _ result: inout Result
    ) async {
        do throws(PostgresFailure) {
            switch Adoption.finish(candidate, try await sample(candidate, sites)) {
            case .served(let collection, let comments): result.served.append((collection, comments))
            case .not(let reason): result.notServed.append((name.shown, reason))
            }
        } catch {
            result.notServed.append((name.shown, "its rows cannot be read: \(error)"))
        }
    }

    private var soon: Int64 {
        // Some rows of a large table may take longer than a dial.
        Instant(nanoseconds: Reactor.now()).advanced(by: max(config.pool.connectTimeout, .seconds(10))).nanoseconds
    }

    // MARK: Catalogues

    /// All shards at a time: what each has, or why that cannot be said.
    private func looks() -> AsyncStream<(Site?, String?)> {
        let (stream, continuation) = AsyncStream.makeStream(of: (Site?, String?).self)
        Task {
            await withTaskGroup(of: Void.self) { group in
                for (place, shard) in config.shards.enumerated() {
                    group.addTask { continuation.yield(await look(at: shard, place)) }
                }
            }
            continuation.finish()
        }
        return stream
    }

    /// On the first replica of the list that answers.
    private func look(at shard: GatewayConfig.Shard, _ place: Int) async -> (Site?, String?) {
        let deadline = Instant(nanoseconds: Reactor.now()).advanced(by: config.pool.connectTimeout)
        var failures: [String] = []
        for (replica, dial) in zip(shard.replicas, await dialler.dial(shard, until: deadline)) {
            do throws(PostgresFailure) {
                let connection = try dial.get()
                var site = Site(place: place, connection: connection)
                for schema in schemas { try await read(schema, shard.name, &site) }
                return (site, nil)
            } catch {
                failures.append("\(shard.name)/\(replica.name): \(error)")
            }
        }
        return (nil, failures.joined(separator: "; "))
    }

    private func read(_ schema: String, _ shard: String, _ site: inout Site) async throws(PostgresFailure) {
        let connection = site.connection
        let relations = try await connection.rows(Self.relations, [schema], deadline: soon)
        let generated = try await connection.rows(Self.generated, [schema], deadline: soon)
        let named = relations.compactMap { row in row.first.flatMap(\.self).map { (table: $0, key: row.last ?? nil) } }
        let facts = try await connection.examine(
            named.map { TableQuestion(schema: schema, table: $0.table) }, deadline: soon)
        let server = await connection.facts
        for (relation, table) in zip(named, facts.tables) {
            guard let table else { continue }
            var expressions: [String: String] = [:]
            for row in generated where row.count == 3 && row[0] == relation.table {
                if let column = row[1] { expressions[column] = row[2] }
            }
            site.sightings[Name(schema: schema, table: relation.table)] = TableSighting(
                shard: site.place, shardName: shard, server: server, role: facts.role, facts: table,
                primaryKey: relation.key, generated: expressions)
        }
    }

    /// What may be a collection, with the only column of its primary key. Partitions are their table's.
    private static let relations = """
        SELECT c.relname, (
            SELECT a.attname FROM pg_catalog.pg_index i
            JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
                AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0]
            WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisprimary
                AND i.indnkeyatts OPERATOR(pg_catalog.=) 1)
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        WHERE n.nspname OPERATOR(pg_catalog.=) $1 AND NOT c.relispartition
            AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::"char"[])
        ORDER BY c.relname
        """

    private static let generated = """
        SELECT c.relname, a.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
        JOIN pg_catalog.pg_attrdef d ON d.adrelid OPERATOR(pg_catalog.=) c.oid
            AND d.adnum OPERATOR(pg_catalog.=) a.attnum
        WHERE n.nspname OPERATOR(pg_catalog.=) $1 AND a.attgenerated OPERATOR(pg_catalog.=) 's'::"char"
            AND a.atttypid OPERATOR(pg_catalog.=) 'pg_catalog.tsvector'::pg_catalog.regtype
        """

    // MARK: Rows

    private func sample(
        _ candidate: Adoption.Candidate, _ sites: [Site]
    ) async throws(PostgresFailure) -> Adoption.Sample {
        var sample = Adoption.Sample()
        for (site, sighting) in zip(sites, candidate.sightings) {
            let queries = SampleQueries(candidate.collection, vectorSchema: sighting.server.vectorSchema)
            if !candidate.hasDimensions, sample.dimensions == nil {
                let rows = try await answer(queries.dimensions, site)
                sample.dimensions = rows.first?.first.flatMap(\.self).flatMap { Int($0) }
            }
            guard sites.count > 1 else { continue }
            sample.ids.append(
                try await answer(queries.ids, site).compactMap { $0.first.flatMap(\.self).flatMap { Int64($0) } })
        }
        return sample
    }

    /// A statement that took too long is stopped, and the next one waits for that.
    private func answer(_ sql: String, _ site: Site) async throws(PostgresFailure) -> [[String?]] {
        do throws(PostgresFailure) {
            return try await site.connection.rows(sql, deadline: soon)
        } catch {
            _ = await site.connection.settle()
            throw error
        }
    }
}
