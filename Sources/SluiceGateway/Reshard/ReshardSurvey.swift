internal import SluiceCore
internal import SluicePostgres

/// What the databases of both sides are like before a move. Judging it is pure.
package struct ReshardSurvey: Hashable, Sendable {
    package struct Server: Hashable, Sendable {
        /// That the role may still open.
        package var freeConnections = 100
        /// The table that gateways read can be made, or is there and can be written.
        package var canKeepLayouts = true
        /// The schema of the gateway's own tables can be made, or is there and takes new ones.
        package var canKeepState = true
        package var vectorSchema = "public"

        package init() {}
    }

    package struct Old: Hashable, Sendable {
        package var shard: String
        package var server = Server()
        package var isTable = true
        package var isOwner = true
        /// By the server's own estimate.
        package var rows = 0
        package var tableBytes = 0
        package var indexBytes = 0
        package var hasRowSecurity = false
        package var hasChildren = false
        /// Its primary key is the id alone.
        package var hasKey = true
        package var idType = "bigint"
        /// Those of others.
        package var triggers: [String] = []
        package var foreignKeys: [String] = []
        /// Logical replication writes to it.
        package var isSubscribed = false
        package var shape = ReshardShape()

        package init(_ shard: String) { self.shard = shard }
    }

    package struct New: Hashable, Sendable {
        package enum Table: Hashable, Sendable {
            case missing
            /// This move has made it.
            case ours
            case another
        }

        package var shard: String
        package var server = Server()
        package var table = Table.missing
        /// The schema is there, and the role may create tables in it.
        package var canCreate = true
        /// Of the first old table's owner and grants.
        package var missingRoles: [String] = []

        package init(_ shard: String) { self.shard = shard }
    }

    /// Nil where there is no such table.
    package var old: [Old?]
    package var new: [New]

    package init(old: [Old?], new: [New]) {
        self.old = old
        self.new = new
    }

    private static let connectionsEach = 4

    // MARK: Judging

    /// What keeps the move from being begun.
    package func obstacles(_ layout: ReshardLayout) -> [String] {
        var found: [String] = []
        for (shard, old) in zip(layout.old.shards, old) {
            if let old {
                found += obstacles(old, layout).map { "\(shard): \($0)" }
            } else {
                found.append("\(shard): there is no table \(layout.old.shown)")
            }
        }
        for new in new { found += obstacles(new, layout).map { "\(new.shard): \($0)" } }
        let schemas = Set(old.compactMap { $0?.server.vectorSchema } + new.map(\.server.vectorSchema))
        if schemas.count > 1 {
            found.append(
                "the extension vector is not in the same schema everywhere: \(schemas.sorted().joined(separator: ", "))"
            )
        }
        if let first = old.first ?? nil {
            for other in old.dropFirst().compactMap(\.self) {
                let (mine, its) = (first.shape.columns.map(\.definition), other.shape.columns.map(\.definition))
                if mine != its {
                    found.append("\(other.shard): the table's columns are not those of \(first.shard)")
                }
            }
        }
        return found
    }

    private func obstacles(_ old: Old, _ layout: ReshardLayout) -> [String] {
        var found = obstacles(old.server)
        let table = layout.old.shown
        guard old.isTable, !old.hasChildren else { return found + ["\(table) is no plain table, or has partitions"] }
        if !old.isOwner { found.append("the role does not own \(table), so that it cannot make triggers and fence it") }
        if old.hasRowSecurity { found.append("\(table) has row-level security, which would be lost") }
        if old.isSubscribed {
            found.append("\(table) is filled by a subscription, whose changes no fence can refuse")
        }
        if !["bigint", "integer", "smallint"].contains(old.idType) {
            found.append("column \(layout.idColumn) is of type \(old.idType), and no integer")
        } else if !old.hasKey {
            found.append("\(table) has no primary key that is \(layout.idColumn) alone")
        }
        for column in old.shape.copied {
            if column.sender.isEmpty {
                found.append("column \(column.name) is of type \(column.typeText), which has no binary form")
            } else if column.hasLocalForm {
                found.append(
                    "column \(column.name) is of type \(column.typeText), whose binary form differs between servers")
            }
        }
        return found
    }

    private func obstacles(_ new: New, _ layout: ReshardLayout) -> [String] {
        var found = obstacles(new.server)
        switch new.table {
        case .missing:
            if !new.canCreate { found.append("the role may not create tables in the schema \(layout.new.schema)") }
        case .ours: break
        case .another: found.append("there is a table \(layout.new.shown) already, which this move has not made")
        }
        for role in new.missingRoles {
            found.append(
                "there is no role \"\(role)\", which owns \(layout.old.shown) or has rights on it: create it")
        }
        return found
    }

    private func obstacles(_ server: Server) -> [String] {
        var found: [String] = []
        if server.freeConnections < Self.connectionsEach {
            found.append(
                "\(server.freeConnections) connections are free, \(Self.connectionsEach) are needed: raise "
                    + "max_connections, or lower the gateways' pool.max_size")
        }
        if !server.canKeepLayouts {
            found.append(
                "the role may not create the table \(ReshardStatements.layouts), or write to it: GRANT CREATE ON "
                    + "SCHEMA public")
        }
        if !server.canKeepState { found.append("the role may not create tables in the schema \(JournalTable.schema)") }
        return found
    }

    /// What does not move, and is the operator's to do.
    package func notes(_ layout: ReshardLayout) -> [String] {
        var found: [String] = []
        for old in old.compactMap(\.self) {
            if !old.triggers.isEmpty {
                found.append(
                    "\(old.shard): triggers do not move: create them on \(layout.new.shown): "
                        + old.triggers.joined(separator: ", "))
            }
            if !old.foreignKeys.isEmpty {
                found.append("\(old.shard): foreign keys do not move: \(old.foreignKeys.joined(separator: ", "))")
            }
            for column in old.shape.columns where column.hasSequence {
                found.append("\(old.shard): column \(column.name) draws from a sequence, which does not move")
            }
        }
        if let first = old.first ?? nil {
            for other in old.dropFirst().compactMap(\.self) where other.shape.indexes != first.shape.indexes {
                found.append("\(other.shard): its indexes are not those of \(first.shard), which the new tables get")
            }
        }
        return found
    }

    // MARK: Figures

    package var rows: Int { old.reduce(0) { $0 + ($1?.rows ?? 0) } }
    package var bytes: Int { old.reduce(0) { $0 + ($1?.tableBytes ?? 0) + ($1?.indexBytes ?? 0) } }

    /// Rows to copy at a time, so that they take some MiB.
    /// - Parameter most: what was asked for.
    package func batch(most: Int) -> Int {
        let bytes = old.reduce(0) { $0 + ($1?.tableBytes ?? 0) }
        guard rows > 0, bytes > 0 else { return max(1, most) }
        return max(1, min(most, Self.batchBytes / max(1, bytes / rows)))
    }

    private static let batchBytes = 2_097_152
}

// MARK: Looking

extension ReshardSurvey {
    private static let serverQuestion = """
        SELECT current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
            - (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL),
            CASE WHEN to_regclass('\(ReshardStatements.layouts)') IS NULL
                THEN has_schema_privilege(to_regnamespace('public'), 'CREATE')
                ELSE has_table_privilege(to_regclass('\(ReshardStatements.layouts)'), 'INSERT')
                    AND has_table_privilege(to_regclass('\(ReshardStatements.layouts)'), 'UPDATE') END,
            CASE WHEN to_regnamespace('\(JournalTable.schema)') IS NULL
                THEN has_database_privilege(current_database(), 'CREATE')
                ELSE has_schema_privilege(to_regnamespace('\(JournalTable.schema)'), 'CREATE') END
        """

    /// `$1` is the table as SQL writes it, `$2` the id column.
    private static let oldQuestion = """
        SELECT c.relkind = 'r', pg_has_role(c.relowner, 'USAGE'), c.reltuples::int8, pg_table_size(c.oid),
            pg_indexes_size(c.oid),
            c.relrowsecurity OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid),
            c.relispartition OR EXISTS (SELECT FROM pg_inherits h WHERE c.oid IN (h.inhparent, h.inhrelid)),
            EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indnkeyatts = 1
                AND i.indkey[0] = a.attnum),
            format_type(a.atttypid, NULL),
            (SELECT string_agg(g.tgname, ',') FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal
                AND g.tgname NOT IN ('\(ReshardStatements.fenceTrigger)', '\(ReshardStatements.logTrigger)',
                '\(ReshardStatements.truncateTrigger)')),
            (SELECT string_agg(k.conname, ',') FROM pg_constraint k
                WHERE k.contype = 'f' AND c.oid IN (k.conrelid, k.confrelid)),
            EXISTS (SELECT FROM pg_subscription_rel r WHERE r.srrelid = c.oid)
        FROM pg_class c
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname::text = $2 AND NOT a.attisdropped
        WHERE c.oid = to_regclass($1)
        """

    /// `$1` is the table as SQL writes it, `$2` its schema.
    private static let newQuestion = """
        SELECT to_regclass($1) IS NOT NULL, obj_description(to_regclass($1), 'pg_class'),
            has_schema_privilege(to_regnamespace($2), 'CREATE')
        """

    static func look(
        at sites: [ReshardSite], _ layout: ReshardLayout
    ) async throws(ReshardProblem) -> ReshardSurvey {
        var survey = ReshardSurvey(old: [], new: [])
        for shard in layout.old.shards {
            guard let site = sites.first(where: { $0.shard == shard }) else { continue }
            survey.old.append(try await old(site, layout))
        }
        for shard in layout.new.shards {
            guard let site = sites.first(where: { $0.shard == shard }) else { continue }
            let roles = survey.old.first.flatMap(\.self)?.shape.roles ?? []
            survey.new.append(try await new(site, layout, roles))
        }
        return survey
    }

    private static func server(_ site: ReshardSite) async throws(ReshardProblem) -> Server {
        var server = Server()
        let row = try await site.rows(serverQuestion).first ?? []
        guard row.count == 3 else { throw ReshardProblem(.failed, "\(site.name): it does not say how it is set up") }
        server.freeConnections = row[0].flatMap { Int($0) } ?? 0
        server.canKeepLayouts = row[1] == "t"
        server.canKeepState = row[2] == "t"
        server.vectorSchema = await site.connection.facts.vectorSchema
        return server
    }

    private static func old(_ site: ReshardSite, _ layout: ReshardLayout) async throws(ReshardProblem) -> Old? {
        let name = layout.old.quoted
        guard let row = try await site.rows(oldQuestion, [name, layout.idColumn]).first, row.count == 12 else {
            return nil
        }
        var old = Old(site.shard)
        old.server = try await server(site)
        old.isTable = row[0] == "t"
        old.isOwner = row[1] == "t"
        old.rows = row[2].flatMap { Int($0) } ?? 0
        old.tableBytes = row[3].flatMap { Int($0) } ?? 0
        old.indexBytes = row[4].flatMap { Int($0) } ?? 0
        old.hasRowSecurity = row[5] == "t"
        old.hasChildren = row[6] == "t"
        old.hasKey = row[7] == "t"
        old.idType = row[8] ?? "unknown"
        old.triggers = list(row[9])
        old.foreignKeys = list(row[10])
        old.isSubscribed = row[11] == "t"
        if old.rows <= 0, old.tableBytes > 0 {
            // The server has no estimate yet.
            let count = try await site.rows("SELECT count(*) FROM \(name)", within: ReshardSite.longTime)
            old.rows = count.first?.first.flatMap(\.self).flatMap { Int($0) } ?? 0
        }
        guard let shape = try await shape(site, layout) else { return nil }
        old.shape = shape
        return old
    }

    private static func list(_ names: String?) -> [String] {
        names.map { $0.split(separator: ",").map(String.init) } ?? []
    }

    /// Nil if there is no such table.
    static func shape(_ site: ReshardSite, _ layout: ReshardLayout) async throws(ReshardProblem) -> ReshardShape? {
        let name = [layout.old.quoted]
        let columns = try await site.rows(ReshardShape.columnsQuestion, name)
        guard !columns.isEmpty else { return nil }
        let own =
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c "
            + "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)"
        guard
            let shape = ReshardShape(
                columns: columns, constraints: try await site.rows(ReshardShape.constraintsQuestion, name),
                indexes: try await site.rows(ReshardShape.indexesQuestion, name),
                grants: try await site.rows(ReshardShape.grantsQuestion, name),
                options: try await site.rows(ReshardShape.optionsQuestion, name),
                owner: try await site.value(ReshardShape.ownerQuestion, name),
                table: try await site.value(own, name) ?? "")
        else { throw ReshardProblem(.wrong, "\(site.name): an index of \(layout.old.shown) cannot be understood") }
        return shape
    }

    private static func new(
        _ site: ReshardSite, _ layout: ReshardLayout, _ roles: Set<String>
    ) async throws(ReshardProblem) -> New {
        let texts = [layout.new.quoted, layout.new.quotedSchema]
        let row = try await site.rows(newQuestion, texts).first ?? []
        guard row.count == 3 else { throw ReshardProblem(.failed, "\(site.name): it does not say what tables it has") }
        var new = New(site.shard)
        new.server = try await server(site)
        new.table = row[0] == "t" ? row[1] == layout.mark ? .ours : .another : .missing
        new.canCreate = row[2] == "t"
        let there = try await site.rows("SELECT rolname FROM pg_roles").compactMap { $0.first ?? nil }
        new.missingRoles = roles.subtracting(there).sorted()
        return new
    }
}
