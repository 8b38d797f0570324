internal import SluiceCore

/// Puts a table that was filled beside another in its place, in one transaction: the old one is read until the commit,
/// and its exclusive lock is held only for the renames.
struct ReplacementStatements: Sendable {
    let statements: IngestStatements
    /// The new table's name until it takes the old one's place.
    let name: String

    init(_ statements: IngestStatements, key: WriteKey) {
        self.statements = statements
        name = "sluice_\(key.shortText)"
    }

    private var collection: Collection { statements.collection }
    var table: String { "\(SearchShape.quoted(collection.schema)).\(SearchShape.quoted(name))" }

    /// Why the table cannot be swapped: what hangs on it would be lost with it. One row for each reason.
    var obstacles: WriteCommand {
        WriteCommand(
            """
            SELECT pg_catalog.format('foreign key %I', conname) FROM pg_catalog.pg_constraint
                WHERE contype OPERATOR(pg_catalog.=) 'f' AND (conrelid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass
                OR confrelid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass)
            UNION ALL SELECT pg_catalog.format('trigger %I', tgname) FROM pg_catalog.pg_trigger
                WHERE tgrelid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass AND NOT tgisinternal
            UNION ALL SELECT pg_catalog.format('row-level security') FROM pg_catalog.pg_class
                WHERE oid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass AND (relrowsecurity
                OR EXISTS (SELECT FROM pg_catalog.pg_policy WHERE polrelid OPERATOR(pg_catalog.=) oid))
            UNION ALL SELECT pg_catalog.format('publication %I', p.pubname) FROM pg_catalog.pg_publication_rel r
                JOIN pg_catalog.pg_publication p ON p.oid OPERATOR(pg_catalog.=) r.prpubid
                WHERE r.prrelid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass
            UNION ALL SELECT 'inheritance or partitions' FROM pg_catalog.pg_class
                WHERE oid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass AND (relispartition
                OR relkind OPERATOR(pg_catalog.<>) 'r' OR EXISTS (SELECT FROM pg_catalog.pg_inherits
                WHERE inhparent OPERATOR(pg_catalog.=) oid OR inhrelid OPERATOR(pg_catalog.=) oid))
            UNION ALL SELECT DISTINCT pg_catalog.format('view or rule on %s', w.ev_class::pg_catalog.regclass)
                FROM pg_catalog.pg_depend d
                JOIN pg_catalog.pg_rewrite w ON w.oid OPERATOR(pg_catalog.=) d.objid
                WHERE d.refobjid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass
                AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
            UNION ALL SELECT pg_catalog.format('sequence %s', d.objid::pg_catalog.regclass)
                FROM pg_catalog.pg_depend d
                JOIN pg_catalog.pg_class s ON s.oid OPERATOR(pg_catalog.=) d.objid
                    AND s.relkind OPERATOR(pg_catalog.=) 'S'
                WHERE d.refobjid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass
                AND d.deptype OPERATOR(pg_catalog.=) 'a'
            """, [statements.table])
    }

    var make: [WriteCommand] {
        [WriteCommand("CREATE TABLE \(table) (LIKE \(statements.table) INCLUDING ALL EXCLUDING INDEXES)")]
    }

    /// Each row: a statement that gives the new table one of the old one's constraints that have an index, and what
    /// renames it afterwards. They come before the rows, so that an id that is there twice is found by its row.
    var constraints: WriteCommand {
        WriteCommand(
            """
            SELECT pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', $2::pg_catalog.text,
                    pg_catalog.concat($3::pg_catalog.text, '_', k.oid), pg_catalog.pg_get_constraintdef(k.oid)),
                pg_catalog.format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', $1::pg_catalog.text,
                    pg_catalog.concat($3::pg_catalog.text, '_', k.oid), k.conname)
            FROM pg_catalog.pg_constraint k
            WHERE k.conrelid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass
                AND k.contype OPERATOR(pg_catalog.=) ANY (ARRAY['p', 'u', 'x']::pg_catalog."char"[])
            """, [statements.table, table, name])
    }

    /// The same for indexes, privileges and settings; the last two have no name.
    ///
    /// `pg_get_indexdef` writes `CREATE INDEX name ON schema.table USING …` with names that are known, so what follows
    /// them is what it does with the table.
    var others: WriteCommand {
        WriteCommand(
            """
            SELECT pg_catalog.concat(pg_catalog.format('CREATE %sINDEX %I ON %s ',
                    CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END,
                    pg_catalog.concat($3::pg_catalog.text, '_', i.indexrelid), $2::pg_catalog.text),
                    pg_catalog.substr(d.definition, pg_catalog.length(d.head) OPERATOR(pg_catalog.+) 1)),
                pg_catalog.format('ALTER INDEX %I.%I RENAME TO %I', n.nspname,
                    pg_catalog.concat($3::pg_catalog.text, '_', i.indexrelid), x.relname)
            FROM pg_catalog.pg_index i
            JOIN pg_catalog.pg_class x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
            JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) x.relnamespace
            JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indrelid
            CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_indexdef(i.indexrelid) AS definition,
                pg_catalog.format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END,
                    x.relname, n.nspname, c.relname) AS head) d
            WHERE i.indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass AND i.indisvalid
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                    WHERE k.conindid OPERATOR(pg_catalog.=) i.indexrelid)
            UNION ALL
            SELECT pg_catalog.format('GRANT %s ON %s TO %s%s', a.privilege_type, $2::pg_catalog.text,
                    CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0 THEN 'PUBLIC'
                        ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
                    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), NULL
            FROM pg_catalog.pg_class c, LATERAL pg_catalog.aclexplode(c.relacl) a
            WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass
            UNION ALL
            SELECT pg_catalog.format('ALTER TABLE %s SET (%s)', $2::pg_catalog.text,
                pg_catalog.array_to_string(c.reloptions, ', ')), NULL
            FROM pg_catalog.pg_class c
            WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass AND c.reloptions IS NOT NULL
            UNION ALL
            SELECT pg_catalog.format('ALTER TABLE %s OWNER TO %I', $2::pg_catalog.text,
                pg_catalog.pg_get_userbyid(c.relowner)), NULL
            FROM pg_catalog.pg_class c
            WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.regclass
                AND pg_catalog.pg_get_userbyid(c.relowner) OPERATOR(pg_catalog.<>) current_user
            """, [statements.table, table, name])
    }

    /// - Parameter renames: of what the new table has, to what the old one's were called.
    func swap(_ renames: [String]) -> [WriteCommand] {
        [
            WriteCommand("ANALYZE \(table)"),
            WriteCommand("LOCK TABLE \(statements.table) IN ACCESS EXCLUSIVE MODE"),
            WriteCommand("DROP TABLE \(statements.table)"),
            WriteCommand("ALTER TABLE \(table) RENAME TO \(SearchShape.quoted(collection.table))"),
        ] + renames.map { WriteCommand($0) }
    }
}
