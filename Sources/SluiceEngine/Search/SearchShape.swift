public import SluiceCore

/// A kind of statement: the same shape is prepared once on a connection and used with many vectors; connections know it
/// by its identity. The limit is part of it, as a literal: with a parameter PostgreSQL would cost the generic plan at a
/// tenth of the table and plan anew at every execution.
public final class SearchShape: Sendable {
    /// `$1` is the vector, `$2` the token; the filter's values follow.
    static let firstFilterParameter = 3

    public let columns: [String]
    private let collection: Collection
    private let k: Int
    private let exact: Bool
    private let filter: FilterShape?

    init(collection: Collection, columns: [String], k: Int, exact: Bool, filter: FilterShape? = nil) {
        self.collection = collection
        self.columns = columns
        self.k = k
        self.exact = exact
        self.filter = filter
    }

    public var columnCount: Int { columns.count }
    public var rowLimit: Int { k }
    public var form: VectorForm { collection.form }
    /// PostgreSQL's type OIDs of the filter's parameters.
    public var filterTypes: [UInt32] { filter?.parameterTypes ?? [] }
    var isExact: Bool { exact }

    /// The statement's text; each row begins with the token.
    /// - Parameter vectorSchema: the schema of the server's `vector` extension, which its operators are qualified with.
    public func sql(vectorSchema: String) -> String {
        let id = "t." + Self.quoted(collection.idColumn)
        let distance =
            "t.\(Self.quoted(collection.vectorColumn)) "
            + "OPERATOR(\(Self.quoted(vectorSchema)).\(collection.metric.distanceOperator)) $1"
        let selected = (["$2 AS token", id, distance] + columns.map { "t." + Self.quoted($0) }).joined(separator: ", ")
        // Without an index the order among equal distances is ours to fix; an index scan gives only the distance's.
        let order = exact ? "\(distance), \(id)" : distance
        let condition = filter.map { " WHERE " + $0.sql(alias: "t", firstParameter: Self.firstFilterParameter) } ?? ""
        return "SELECT \(selected) FROM \(Self.quoted(collection.schema)).\(Self.quoted(collection.table)) AS t"
            + "\(condition) ORDER BY \(order) LIMIT \(k)"
    }

    static func quoted(_ identifier: String) -> String {
        "\"" + identifier.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
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
