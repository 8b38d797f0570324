internal import SluiceCore

/// A table as its server's catalogue describes it, as far as rows are to be written to it.
struct TableDescription: Hashable, Sendable {
    struct Column: Hashable, Sendable {
        var name: String
        var typeOID: UInt32
        /// As SQL writes it, for messages.
        var typeText: String
        /// Nil if rows cannot be written to it.
        var kind: ColumnKind?
        var isRequired: Bool
        var isGenerated: Bool
    }

    var isPartitioned: Bool
    var isEmpty: Bool
    /// There is a unique index on the id alone.
    var hasUniqueID: Bool
    var columns: [String: Column]

    /// A row for each column. A domain counts as what it is made of.
    static func question(_ collection: Collection) -> WriteCommand {
        WriteCommand(sql, [collection.schema, collection.table, collection.idColumn])
    }

    private static let sql = """
        SELECT c.relkind, pg_catalog.pg_relation_size(c.oid) OPERATOR(pg_catalog.=) 0,
            EXISTS (SELECT FROM pg_catalog.pg_index i
                JOIN pg_catalog.pg_attribute k ON k.attrelid OPERATOR(pg_catalog.=) c.oid
                    AND k.attnum OPERATOR(pg_catalog.=) i.indkey[0]
                WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisunique AND i.indisvalid
                    AND i.indpred IS NULL AND i.indnkeyatts OPERATOR(pg_catalog.=) 1
                    AND k.attname::pg_catalog.text OPERATOR(pg_catalog.=) $3::pg_catalog.text),
            a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod), b.receive,
            a.attnotnull, a.attgenerated OPERATOR(pg_catalog.<>) '' OR a.attidentity OPERATOR(pg_catalog.=) 'a'
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
            AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
        JOIN LATERAL (
            WITH RECURSIVE based AS (
                SELECT a.atttypid AS type
                UNION ALL
                SELECT d.typbasetype FROM based
                JOIN pg_catalog.pg_type d ON d.oid OPERATOR(pg_catalog.=) based.type
                WHERE d.typtype OPERATOR(pg_catalog.=) 'd'
            )
            SELECT CASE WHEN p.proname OPERATOR(pg_catalog.=) 'array_recv'
                THEN pg_catalog.concat('array_recv:', e.typname) ELSE p.proname::pg_catalog.text END AS receive
            FROM based
            JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) based.type
            JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.typreceive
            LEFT JOIN pg_catalog.pg_type e ON e.oid OPERATOR(pg_catalog.=) t.typelem
            WHERE t.typtype OPERATOR(pg_catalog.<>) 'd'
        ) b ON true
        WHERE n.nspname::pg_catalog.text OPERATOR(pg_catalog.=) $1::pg_catalog.text
            AND c.relname::pg_catalog.text OPERATOR(pg_catalog.=) $2::pg_catalog.text
            AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p']::pg_catalog."char"[])
        """

    /// Nil if there is no such table.
    init?(_ rows: [[String?]]) {
        guard let first = rows.first, first.count == 9 else { return nil }
        isPartitioned = first[0] == "p"
        isEmpty = first[1] == "t"
        hasUniqueID = first[2] == "t"
        columns = [:]
        for row in rows where row.count == 9 {
            guard let name = row[3], let type = row[4].flatMap({ UInt32($0) }) else { continue }
            columns[name] = Column(
                name: name, typeOID: type, typeText: row[5] ?? "",
                kind: row[6].flatMap(ColumnKind.init(receiveFunction:)),
                isRequired: row[7] == "t", isGenerated: row[8] == "t")
        }
    }

    /// What the rows of a load or a write are.
    func format(_ collection: Collection, _ names: [String]) throws(SearchError) -> RowFormat {
        guard let id = columns[collection.idColumn], let idKind = id.kind, [.int2, .int4, .int8].contains(idKind) else {
            throw SearchError(.notSupported, "\(collection.name): the id column is no integer in the database")
        }
        guard let vector = columns[collection.vectorColumn] else {
            throw SearchError(.notSupported, "\(collection.name): the table has no vector column of that name")
        }
        var seen: Set<String> = []
        let written = try names.map { name throws(SearchError) in
            guard name != collection.idColumn, name != collection.vectorColumn, seen.insert(name).inserted else {
                throw SearchError(.invalidArgument, "column \"\(name)\" is named twice; id and vector are not listed")
            }
            guard let column = columns[name] else {
                throw SearchError(.unknownColumn, "\(collection.name) has no column \"\(name)\"")
            }
            guard !column.isGenerated else {
                throw SearchError(.invalidArgument, "column \"\(name)\" is generated by the database")
            }
            guard let kind = column.kind else {
                throw SearchError(
                    .notSupported, "column \"\(name)\" is of type \(column.typeText), which rows cannot be written to")
            }
            return RowFormat.Column(name: name, kind: kind, isRequired: column.isRequired)
        }
        return RowFormat(
            idKind: idKind, form: collection.form, dimensions: collection.dimensions,
            isVectorRequired: vector.isRequired, columns: written)
    }

    /// An upsert finds the rows that are there by their ids.
    func checkUpsert(into collection: Collection) throws(SearchError) {
        guard hasUniqueID else {
            throw SearchError(.notSupported, "\(collection.name): an upsert needs a unique index on the id column")
        }
    }

    /// The types of an upsert's parameters.
    func types(_ collection: Collection, _ names: [String]) -> [WriteCommand.ParameterType] {
        [.oid(columns[collection.idColumn]?.typeOID ?? 0), .vector(collection.form)]
            + names.map { .oid(columns[$0]?.typeOID ?? 0) }
    }
}
