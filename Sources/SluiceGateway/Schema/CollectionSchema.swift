internal import SluiceCore
internal import SluiceEngine

/// The statements that make a collection's table in a shard's database. Pure.
package struct CollectionSchema: Sendable {
    package struct Statement: Hashable, Sendable {
        /// What a reader should know of it, a line each.
        package var comments: [String] = []
        /// Without its semicolon.
        package var sql: String
    }

    let collection: GatewayConfig.Collection
    /// The schema that the extension `vector` lives in.
    let vectorSchema: String

    package init(_ collection: GatewayConfig.Collection, vectorSchema: String = "public") {
        self.collection = collection
        self.vectorSchema = vectorSchema
    }

    // MARK: What it takes

    /// Nil if it is `public`, which every database has.
    package var schema: Statement? {
        guard collection.schema != "public" else { return nil }
        return Statement(sql: "CREATE SCHEMA IF NOT EXISTS \(Self.quoted(collection.schema))")
    }

    /// The table with its indexes.
    package var table: [Statement] { [create] + indexes }

    /// Shared by all collections of the database.
    package static var journal: [Statement] {
        JournalTable.statements.enumerated().map { place, sql in
            Statement(
                comments: place == 0 ? ["Which loads and keyed writes were taken; all collections share it."] : [],
                sql: sql)
        }
    }

    /// All of it, for a database that has none of it.
    package var statements: [Statement] { [schema].compactMap(\.self) + table + Self.journal }

    /// All of it as a script for psql.
    package var script: String {
        let head = [
            "Collection \(collection.name): run this on the primary of each of its shards "
                + "(\(collection.shards.joined(separator: ", "))), as the role that the gateway has there.",
            "The extension must be there: CREATE EXTENSION IF NOT EXISTS vector;",
        ]
        let parts = statements.map { statement in
            Self.commented(statement.comments) + statement.sql + ";\n"
        }
        return Self.commented(head) + "BEGIN;\n\n" + parts.joined(separator: "\n") + "\n" + Self.commented(advice)
            + "COMMIT;\n"
    }

    private static func commented(_ lines: [String]) -> String { lines.map { "-- \($0.withoutControls)\n" }.joined() }

    /// What makes the configuration one that no table can be as; empty if there is nothing.
    package var conflicts: [String] {
        var roles = [collection.idColumn: "the id"]
        roles[collection.vectorColumn] = "the vector"
        var conflicts: [String] = []
        if collection.idColumn == collection.vectorColumn {
            conflicts.append("`id` and `vector` are one column, \"\(collection.idColumn)\"")
        }
        if let text = collection.text {
            if let role = roles[text.column] {
                conflicts.append("`text.column`: column \"\(text.column)\" is \(role) already")
            }
            roles[text.column] = "a tsvector"
        }
        for (column, type) in collection.filterable.sorted(by: { $0.key < $1.key }) {
            guard let role = roles[column], column != collection.idColumn || type != .int else { continue }
            conflicts.append("`filterable`: column \"\(column)\" is \(role), which is not \(type.rawValue)")
        }
        return conflicts
    }

    // MARK: The table

    private var name: String { "\(Self.quoted(collection.schema)).\(Self.quoted(collection.table))" }

    private static func quoted(_ identifier: String) -> String { SearchShape.quoted(identifier) }

    /// A name of the extension's.
    private func own(_ name: String) -> String { "\(Self.quoted(vectorSchema)).\(name)" }

    /// What clients may see or filter by, in the configuration's order, besides the columns that have a key of theirs.
    private var others: [(name: String, type: FilterColumnType)] {
        let taken = [collection.idColumn, collection.vectorColumn, collection.text?.column]
        let hidden = collection.filterable.keys.filter { !collection.columns.contains($0) }.sorted()
        return (collection.columns + hidden).filter { !taken.contains($0) }
            .map { ($0, collection.filterable[$0] ?? .text) }
    }

    private var create: Statement {
        var lines = ["\(Self.quoted(collection.idColumn)) bigint PRIMARY KEY", "\(vectorColumn) NOT NULL"]
        var comments: [String] = []
        if collection.form != .bit {
            comments.append("pgvector itself refuses NaN and infinity, and vectors of another number of dimensions.")
        }
        lines += others.map { "\(Self.quoted($0.name)) \($0.type.sqlType)" }
        if let text = collection.text {
            let (definition, comment) = textColumn(text)
            lines.append(definition)
            comments.append(comment)
        }
        return Statement(
            comments: comments, sql: "CREATE TABLE \(name) (\n    \(lines.joined(separator: ",\n    "))\n)")
    }

    private var vectorColumn: String {
        let type = collection.form == .bit ? "bit" : own(collection.form.rawValue)
        return "\(Self.quoted(collection.vectorColumn)) \(type)(\(collection.dimensions))"
    }

    /// Made from the collection's texts by the server itself, so that no writer has to; where it has none, the
    /// operator's to fill.
    private func textColumn(_ text: GatewayConfig.TextColumn) -> (definition: String, comment: String) {
        let column = Self.quoted(text.column)
        let sources = others.filter { $0.type == .text }.map { "coalesce(\(Self.quoted($0.name)), '')" }
        guard !sources.isEmpty else {
            return (
                "\(column) tsvector",
                "Nothing fills \(column): the collection has no text column to make it of. UPDATE it by to_tsvector, "
                    + "or let a trigger do it."
            )
        }
        let language = SearchShape.literal(text.language) + "::pg_catalog.regconfig"
        return (
            "\(column) tsvector GENERATED ALWAYS AS (\n"
                + "        pg_catalog.to_tsvector(\(language), \(sources.joined(separator: " || ' ' || ")))\n"
                + "    ) STORED",
            "The server makes \(column) of all text columns; leave out what searches for words should not find."
        )
    }

    // MARK: Indexes

    private var indexes: [Statement] {
        let vector = Self.quoted(collection.vectorColumn)
        var indexes = [
            index(
                vector, collection.form.operatorClass(collection.metric),
                collection.form.mostIndexedDimensions)
        ]
        for coarse in collection.coarse {
            switch coarse {
            case .binary:
                indexes.append(
                    index(
                        "(\(own("binary_quantize"))(\(vector))::bit(\(collection.dimensions)))",
                        VectorForm.bit.operatorClass(.hamming), VectorForm.bit.mostIndexedDimensions))
            case .half:
                indexes.append(
                    index(
                        "(\(vector)::\(own("halfvec"))(\(collection.dimensions)))",
                        VectorForm.halfvec.operatorClass(collection.metric), VectorForm.halfvec.mostIndexedDimensions))
            }
        }
        if let text = collection.text {
            indexes.append(Statement(sql: "CREATE INDEX ON \(name) USING gin (\(Self.quoted(text.column)))"))
        }
        return indexes.compactMap(\.self)
    }

    /// Nil of more dimensions than such an index takes.
    private func index(_ key: String, _ operatorClass: String, _ mostDimensions: Int) -> Statement? {
        guard collection.dimensions <= mostDimensions else { return nil }
        let comments =
            collection.form == .sparsevec ? ["It takes vectors of at most 1,000 elements that are not zero."] : []
        return Statement(
            comments: comments, sql: "CREATE INDEX ON \(name) USING hnsw (\(key) \(own(operatorClass)))")
    }

    /// What the statements leave to the operator.
    package var advice: [String] {
        var lines: [String] = []
        if collection.dimensions > collection.form.mostIndexedDimensions {
            lines.append(
                "No HNSW index takes a \(collection.form.rawValue) of more than "
                    + "\(collection.form.mostIndexedDimensions) dimensions: searches read the whole table"
                    + (collection.coarse.isEmpty ? "; index a smaller form and declare it in `coarse`." : "."))
        }
        let filterable = others.filter { collection.filterable[$0.name] != nil }
        if !filterable.isEmpty {
            lines.append("A column whose values leave few rows is worth an index of its own, as for filters on it:")
            lines += filterable.map { column in
                let key = Self.quoted(column.name)
                return "    CREATE INDEX ON \(name) \(column.type == .textArray ? "USING gin (\(key))" : "(\(key))");"
            }
        }
        return lines
    }
}

extension FilterColumnType {
    /// What a new column of it is declared as.
    fileprivate var sqlType: String {
        switch self {
        case .bool: "boolean"
        case .int: "bigint"
        case .float: "double precision"
        case .text: "text"
        case .timestamp: "timestamptz"
        case .uuid: "uuid"
        case .textArray: "text[]"
        }
    }
}
