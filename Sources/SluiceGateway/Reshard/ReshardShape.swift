internal import SluiceEngine

/// An old table as the catalogue has it, as far as a new one is made like it. Pure.
package struct ReshardShape: Hashable, Sendable {
    package struct Column: Hashable, Sendable {
        package var name: String
        package var quoted: String
        /// As it stands in `CREATE TABLE`.
        package var definition: String
        package var typeText: String
        /// Its type's function that gives the binary form, as SQL writes it; empty if there is none.
        package var sender: String
        /// The database makes it from other columns.
        package var isGenerated: Bool
        /// Its binary form names types by numbers that differ between servers.
        package var hasLocalForm: Bool
        /// Its default draws from a sequence, which other servers do not have.
        package var hasSequence: Bool
        /// Nil if values are kept as is usual for the type.
        package var storage: String?

        package init(
            name: String, quoted: String, definition: String, typeText: String, sender: String,
            isGenerated: Bool = false, hasLocalForm: Bool = false, hasSequence: Bool = false, storage: String? = nil
        ) {
            self.name = name
            self.quoted = quoted
            self.definition = definition
            self.typeText = typeText
            self.sender = sender
            self.isGenerated = isGenerated
            self.hasLocalForm = hasLocalForm
            self.hasSequence = hasSequence
            self.storage = storage
        }
    }

    package struct Index: Hashable, Sendable {
        package var name: String
        package var isUnique: Bool
        /// From `USING` on.
        package var rest: String

        package init(name: String, isUnique: Bool, rest: String) {
            self.name = name
            self.isUnique = isUnique
            self.rest = rest
        }
    }

    package struct Grant: Hashable, Sendable {
        package var privilege: String
        /// Nil for everybody.
        package var role: String?
    }

    package var columns: [Column] = []
    /// As they follow `ADD`.
    package var constraints: [String] = []
    package var indexes: [Index] = []
    package var grants: [Grant] = []
    /// Nil if it is the role that moves it.
    package var owner: String?
    /// As they stand within `SET (…)`.
    package var options: [String] = []

    package init(columns: [Column] = [], constraints: [String] = [], indexes: [Index] = []) {
        self.columns = columns
        self.constraints = constraints
        self.indexes = indexes
    }

    /// Those that are copied.
    package var copied: [Column] { columns.filter { !$0.isGenerated } }

    // MARK: The new table

    /// Without the indexes that are built once it is full.
    package func makeNew(_ layout: ReshardLayout) -> [String] {
        let table = layout.new.quoted
        let options = options.isEmpty ? "" : " WITH (\(options.joined(separator: ", ")))"
        let lines = columns.map { "\n    \($0.definition)" }.joined(separator: ",")
        return ["CREATE TABLE \(table) (\(lines)\n)\(options)"]
            + columns.compactMap { column in
                column.storage.map { "ALTER TABLE \(table) ALTER COLUMN \(column.quoted) SET STORAGE \($0)" }
            }
            + constraints.map { "ALTER TABLE \(table) ADD \($0)" }
            + [
                "COMMENT ON TABLE \(table) IS \(SearchShape.literal(layout.mark))",
                ReshardStatements.makeFence(on: table), ReshardStatements.raiseFence(on: table),
            ] + (owner.map { ["ALTER TABLE \(table) OWNER TO \(SearchShape.quoted($0))"] } ?? [])
    }

    /// Those that a server must have for the new table to be as the old one.
    var roles: Set<String> { Set(grants.compactMap(\.role) + [owner].compactMap(\.self)) }

    /// - Parameter roles: those that the server has.
    package func makeGrants(_ layout: ReshardLayout, roles: Set<String>) -> [String] {
        grants.filter { $0.role.map(roles.contains) ?? true }.map { grant in
            "GRANT \(grant.privilege) ON \(layout.new.quoted) TO "
                + (grant.role.map(SearchShape.quoted) ?? "PUBLIC")
        }
    }

    /// Each index with its name on the new table.
    package func makeIndexes(_ layout: ReshardLayout) -> [(name: String, sql: String)] {
        indexes.map { index in
            let name = Self.name(of: index.name, layout)
            let sql =
                "CREATE \(index.isUnique ? "UNIQUE " : "")INDEX \(SearchShape.quoted(name)) ON \(layout.new.quoted) "
                + index.rest
            return (name, sql)
        }
    }

    /// The old index's name with the new table's instead of the old one's in it; always the same, and no longer than
    /// the server's 63 bytes.
    package static func name(of index: String, _ layout: ReshardLayout) -> String {
        let (old, new) = (layout.old.table, layout.new.table)
        let name = index.hasPrefix(old) ? new + index.dropFirst(old.count) : "\(new)_\(index)"
        guard name.utf8.count > 63 else { return name }
        var layout = layout
        layout.collection = index
        var start = String(name.prefix(40))
        while start.utf8.count > 46 { start.removeLast() }
        return "\(start)_\(layout.suffix)"
    }

    /// What an index builds on, from the server's own text of it; nil if it is another one's.
    package static func rest(of definition: String, name: String, table: String, isUnique: Bool) -> String? {
        let head = "CREATE \(isUnique ? "UNIQUE " : "")INDEX \(name) ON \(table) "
        guard definition.hasPrefix(head) else { return nil }
        return String(definition.dropFirst(head.count))
    }
}

// MARK: The catalogue

extension ReshardShape {
    /// `$1` is the table as SQL writes it.
    static let columnsQuestion = """
        SELECT a.attname, quote_ident(a.attname),
            concat(quote_ident(a.attname), ' ', format_type(a.atttypid, a.atttypmod),
                CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation
                    THEN format(' COLLATE %I.%I', cn.nspname, co.collname) END,
                CASE WHEN a.attgenerated <> '' THEN concat(' GENERATED ALWAYS AS (',
                        pg_get_expr(d.adbin, d.adrelid), ')', CASE a.attgenerated WHEN 's' THEN ' STORED' END)
                    WHEN a.attidentity = 'a' THEN ' GENERATED ALWAYS AS IDENTITY'
                    WHEN a.attidentity = 'd' THEN ' GENERATED BY DEFAULT AS IDENTITY'
                    WHEN d.adbin IS NOT NULL AND NOT q.uses
                    THEN concat(' DEFAULT ', pg_get_expr(d.adbin, d.adrelid)) END,
                CASE WHEN a.attnotnull THEN ' NOT NULL' END),
            format_type(a.atttypid, a.atttypmod), format('%I.%I', pn.nspname, p.proname), p.oid IS NULL,
            a.attgenerated <> '',
            b.typtype = 'c' OR b.typelem >= 16384 AND p.proname = 'array_send' OR b.typtype IN ('r', 'm')
                AND b.oid >= 16384,
            q.uses,
            CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN'
                WHEN 'e' THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' WHEN 'm' THEN 'MAIN' END END
        FROM pg_attribute a
        JOIN pg_type t ON t.oid = a.atttypid
        JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
        LEFT JOIN pg_proc p ON p.oid = t.typsend
        LEFT JOIN pg_namespace pn ON pn.oid = p.pronamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_collation co ON co.oid = a.attcollation
        LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
        CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_depend x
            JOIN pg_class s ON s.oid = x.refobjid AND s.relkind = 'S'
            WHERE x.classid = 'pg_attrdef'::regclass AND x.objid = d.oid
            AND x.refclassid = 'pg_class'::regclass) AS uses) q
        WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
        """

    static let constraintsQuestion = """
        SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k
        WHERE k.conrelid = to_regclass($1) AND k.contype IN ('p', 'u', 'x', 'c') ORDER BY k.contype, k.conname
        """

    static let indexesQuestion = """
        SELECT x.relname, quote_ident(x.relname), i.indisunique, pg_get_indexdef(i.indexrelid)
        FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = to_regclass($1) AND i.indisvalid
            AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid)
        ORDER BY x.relname
        """

    static let grantsQuestion = """
        SELECT a.privilege_type, CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END
        FROM pg_class c, LATERAL aclexplode(c.relacl) a
        WHERE c.oid = to_regclass($1) AND a.grantee <> c.relowner
        """

    static let ownerQuestion = """
        SELECT pg_get_userbyid(c.relowner) FROM pg_class c
        WHERE c.oid = to_regclass($1) AND pg_get_userbyid(c.relowner) <> current_user
        """

    static let optionsQuestion = """
        SELECT o.option FROM pg_class c, LATERAL unnest(c.reloptions) AS o(option) WHERE c.oid = to_regclass($1)
        """

    /// - Parameters: the answers to the questions above.
    ///   - table: as the server writes it.
    /// - Returns: nil if there is no such table, or an index cannot be understood.
    init?(
        columns: [[String?]], constraints: [[String?]], indexes: [[String?]], grants: [[String?]],
        options: [[String?]], owner: String?, table: String
    ) {
        guard !columns.isEmpty, columns.allSatisfy({ $0.count == 10 }), indexes.allSatisfy({ $0.count == 4 }) else {
            return nil
        }
        self.init()
        self.columns = columns.map { row in
            Column(
                name: row[0] ?? "", quoted: row[1] ?? "", definition: row[2] ?? "", typeText: row[3] ?? "",
                sender: row[5] == "t" ? "" : row[4] ?? "", isGenerated: row[6] == "t", hasLocalForm: row[7] == "t",
                hasSequence: row[8] == "t", storage: row[9])
        }
        self.constraints = constraints.compactMap { $0.first ?? nil }
        for row in indexes {
            let isUnique = row[2] == "t"
            guard let name = row[0], let quoted = row[1], let definition = row[3],
                let rest = Self.rest(of: definition, name: quoted, table: table, isUnique: isUnique)
            else { return nil }
            self.indexes.append(Index(name: name, isUnique: isUnique, rest: rest))
        }
        self.grants = grants.compactMap { row in
            guard row.count == 2, let privilege = row[0] else { return nil }
            return Grant(privilege: privilege, role: row[1])
        }
        self.options = options.compactMap { $0.first ?? nil }
        self.owner = owner
    }
}
