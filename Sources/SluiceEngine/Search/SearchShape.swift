public import SluiceCore

/// A kind of statement: the same shape is prepared once on a connection and used with many subjects; connections know
/// it by its identity. The limit is part of it, as a literal: with a parameter PostgreSQL would cost the generic plan
/// at a tenth of the table and plan anew at every execution.
public final class SearchShape: Sendable {
    /// What a shard is asked. `$1` is the subject, `$2` the token; the filter's values come last.
    enum Question: Hashable, Sendable {
        /// The nearest rows, by an index. The subject is a vector.
        case nearest
        /// The same by comparing with every row; equal distances by id.
        case exact
        /// The nearest rows by a smaller form of the vectors.
        case coarse(CoarseForm)
        /// The same by comparing with every row. A statement of its own, as a server that has planned the other one for
        /// good uses the index whatever the settings are.
        case coarseExact(CoarseForm)
        /// How far the rows of some ids are, which are `$3`.
        case ranked
        /// The rows that fit the words best. The subject is a text.
        case words
        /// The rows of some ids, which are the subject.
        case rows(withVector: Bool)
        case count
        /// How many rows the planner expects.
        case estimate
    }

    /// What the first parameter is.
    public enum Subject: Hashable, Sendable {
        case vector(VectorForm)
        case text
        case ids
    }

    /// What a row has after id and distance.
    public let columns: [String]
    let question: Question
    let collection: Collection
    let filter: FilterShape?
    /// The most rows that come.
    public let rowLimit: Int

    init(
        collection: Collection, question: Question = .nearest, columns: [String], limit: Int,
        filter: FilterShape? = nil
    ) {
        self.collection = collection
        self.question = question
        self.filter = filter
        rowLimit = limit
        if case .rows(withVector: true) = question {
            self.columns = columns + [collection.vectorColumn]
        } else {
            self.columns = columns
        }
    }

    /// The nearest rows of a collection, as searches without filters ask for them.
    package static func nearest(of collection: Collection, limit: Int) -> SearchShape {
        SearchShape(collection: collection, columns: [], limit: limit)
    }

    public var columnCount: Int { columns.count }

    public var subject: Subject {
        switch question {
        case .nearest, .exact, .coarse, .coarseExact, .ranked: .vector(collection.form)
        case .words, .count, .estimate: .text
        case .rows: .ids
        }
    }

    /// The server answers with its plan instead of rows.
    public var isEstimate: Bool { question == .estimate }
    /// It looks at so many rows that what it takes says nothing of a replica.
    var isHeavy: Bool {
        switch question {
        case .exact, .coarseExact, .count: true
        case .nearest, .coarse, .ranked, .words, .rows, .estimate: false
        }
    }

    /// Questions that take about as long as one another.
    var latencyKind: Int {
        switch question {
        case .nearest, .coarse: 0
        case .exact, .coarseExact, .count: 1
        case .words: 2
        case .ranked, .rows, .estimate: 3
        }
    }

    static let latencyKinds = 4
}

extension SearchShape {
    /// The statement's text; each row begins with the token, the id and the distance.
    /// - Parameter vectorSchema: the schema of the server's `vector` extension, which its operators are qualified with.
    public func sql(vectorSchema: String) -> String {
        let schema = Self.quoted(vectorSchema)
        switch question {
        case .nearest:
            let distance = distance(schema)
            return rows(distance, orderedBy: distance)
        // Without an index the order among equal distances is ours to fix; an index scan gives only the distance's.
        case .exact:
            let distance = distance(schema)
            return rows(distance, orderedBy: "\(distance), \(id)")
        case .coarse(let form):
            let distance = coarseDistance(form, schema)
            return rows(distance, orderedBy: distance)
        case .coarseExact(let form):
            let distance = coarseDistance(form, schema)
            return rows(distance, orderedBy: "\(distance), \(id)")
        case .ranked:
            let distance = distance(schema)
            return rows(distance, where: "\(id) OPERATOR(pg_catalog.=) ANY ($3)", orderedBy: "\(distance), \(id)")
        case .words: return words
        case .rows: return rows(Self.nothing, where: "\(id) OPERATOR(pg_catalog.=) ANY ($1)", orderedBy: nil)
        case .count: return "SELECT $2 AS token, pg_catalog.count(*), \(Self.nothing)\(source())"
        case .estimate: return "EXPLAIN (FORMAT JSON) SELECT\(source())"
        }
    }

    private static var nothing: String { "0::pg_catalog.float8" }

    private var id: String { "t." + Self.quoted(collection.idColumn) }
    private var vector: String { "t." + Self.quoted(collection.vectorColumn) }

    private func distance(_ schema: String) -> String {
        "\(vector) OPERATOR(\(schema).\(collection.metric.distanceOperator)) $1"
    }

    /// As the expression index has it: PostgreSQL uses it only for the very same expression.
    private func coarseDistance(_ form: CoarseForm, _ schema: String) -> String {
        switch form {
        case .binary:
            let bits = "\(schema).binary_quantize(\(vector))::pg_catalog.bit(\(collection.dimensions))"
            return "(\(bits)) OPERATOR(\(schema).<~>) \(schema).binary_quantize($1)"
        case .half:
            let type = "\(schema).halfvec(\(collection.dimensions))"
            return "(\(vector)::\(type)) OPERATOR(\(schema).\(collection.metric.distanceOperator)) ($1::\(type))"
        }
    }

    private func rows(_ distance: String, where condition: String? = nil, orderedBy order: String?) -> String {
        "SELECT \(selected(distance))\(source(where: condition))"
            + "\(order.map { " ORDER BY \($0)" } ?? "") LIMIT \(rowLimit)"
    }

    /// The rank as a distance: the best row has the least. PostgreSQL's rank looks at the row alone, so the ranks of
    /// all shards can be compared.
    private var words: String {
        guard let text = collection.text else { return "SELECT" }
        let column = "t." + Self.quoted(text.column)
        let language = Self.literal(text.language) + "::pg_catalog.regconfig"
        let query = "pg_catalog.websearch_to_tsquery(\(language), $1) AS q(query)"
        let rank = "OPERATOR(pg_catalog.-) pg_catalog.ts_rank(\(column), q.query)::pg_catalog.float8"
        return "SELECT \(selected(rank))"
            + source(", \(query)", where: "\(column) OPERATOR(pg_catalog.@@) q.query")
            + " ORDER BY 3, 2 LIMIT \(rowLimit)"
    }

    private func selected(_ distance: String) -> String {
        (["$2 AS token", id, distance] + columns.map { "t." + Self.quoted($0) }).joined(separator: ", ")
    }

    private func source(_ more: String = "", where condition: String? = nil) -> String {
        // `$3` are the ids of a ranking.
        let first = question == .ranked ? 4 : 3
        let conditions = [condition, filter.map { $0.sql(alias: "t", firstParameter: first) }].compactMap(\.self)
        return " FROM \(Self.quoted(collection.schema)).\(Self.quoted(collection.table)) AS t\(more)"
            + (conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND "))
    }

    package static func quoted(_ identifier: String) -> String {
        "\"" + doubling("\"", in: identifier) + "\""
    }

    /// A configured word as a literal that means the same whatever the server's settings are.
    package static func literal(_ text: String) -> String {
        "E'" + doubling("\\", in: doubling("'", in: text)) + "'"
    }

    /// By Unicode scalars: a quote with a combining mark after it is another Character.
    private static func doubling(_ scalar: Unicode.Scalar, in text: String) -> String {
        var doubled = String.UnicodeScalarView()
        for each in text.unicodeScalars {
            doubled.append(each)
            if each == scalar { doubled.append(each) }
        }
        return String(doubled)
    }
}

/// Which settings a kind of search makes besides its time-out. A connection knows it by its identity.
public final class SettingShape: Sendable {
    /// PostgreSQL's names of them; never a client's words.
    public let names: [String]

    init(_ names: [String]) { self.names = names }

    /// `$1` is `statement_timeout` in milliseconds, and the names' values follow; gone when the transaction ends.
    public var sql: String {
        let calls = (["statement_timeout"] + names).enumerated().map { place, name in
            "pg_catalog.set_config('\(name)', $\(place + 1), true)"
        }
        return "SELECT " + calls.joined(separator: ", ")
    }
}

/// Settings for one search, gone afterwards.
public struct SearchSettings: Sendable {
    public let shape: SettingShape
    /// One for each of the shape's names.
    public let values: [String]
}
