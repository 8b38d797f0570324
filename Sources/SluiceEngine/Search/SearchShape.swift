internal import SluiceCore

/// A kind of statement: the same shape is prepared once on a connection and used with many vectors. The limit is part
/// of it, as a literal: with a parameter PostgreSQL would cost the generic plan at a tenth of the table and plan anew
/// at every execution.
public struct SearchShape: Hashable, Sendable {
    let collection: Collection
    let columns: [String]
    let k: Int
    let exact: Bool
    private let usual: String

    init(collection: Collection, columns: [String], k: Int, exact: Bool) {
        self.collection = collection
        self.columns = columns
        self.k = k
        self.exact = exact
        usual = Self.text(collection, columns, k, exact, vectorSchema: "public")
    }

    public var columnCount: Int { columns.count }
    public var rowLimit: Int { k }

    /// The statement's text; `$1` is the vector.
    /// - Parameter vectorSchema: the schema of the server's `vector` extension, which its operators are qualified with.
    public func sql(vectorSchema: String) -> String {
        vectorSchema == "public" ? usual : Self.text(collection, columns, k, exact, vectorSchema: vectorSchema)
    }

    private static func text(
        _ collection: Collection, _ columns: [String], _ k: Int, _ exact: Bool, vectorSchema: String
    ) -> String {
        let id = "t." + quoted(collection.idColumn)
        let distance =
            "t.\(quoted(collection.vectorColumn)) "
            + "OPERATOR(\(quoted(vectorSchema)).\(collection.metric.distanceOperator)) $1"
        let selected = ([id, distance] + columns.map { "t." + quoted($0) }).joined(separator: ", ")
        // Without an index the order among equal distances is ours to fix; an index scan gives only the distance's.
        let order = exact ? "\(distance), \(id)" : distance
        return "SELECT \(selected) FROM \(quoted(collection.schema)).\(quoted(collection.table)) AS t"
            + " ORDER BY \(order) LIMIT \(k)"
    }

    static func quoted(_ identifier: String) -> String {
        "\"" + identifier.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }

    public static func == (left: SearchShape, right: SearchShape) -> Bool { left.usual == right.usual }

    public func hash(into hasher: inout Hasher) { hasher.combine(usual) }
}
