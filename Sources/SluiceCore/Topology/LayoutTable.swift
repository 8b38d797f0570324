/// The table in which a database says which layout of a collection is the true one, while its rows are moved to another
/// list of shards and after that. It is in the databases of the old layout and of the new one; without the table, or a
/// row in it, the configuration's own epoch holds.
public enum LayoutTable {
    public static let schema = "public"
    public static let table = "sluice_layouts"

    /// What a write to a table is refused with while nobody may write to it: nothing of it was done.
    public static let fencedState = "SL001"

    /// Asked first: a statement that names a table which is not there fails, and each failure is a line of the server's
    /// log.
    public static let isThere = "SELECT pg_catalog.to_regclass('\(schema).\(table)') IS NOT NULL"

    public static let read = "SELECT collection, epoch FROM \(schema).\(table) LIMIT \(mostRows)"

    /// As many as a configuration may have collections.
    private static let mostRows = 10_000

    /// By the collection's name.
    /// - Parameter rows: what `read` brought.
    public static func epochs(_ rows: [[String?]]) -> [String: Int] {
        let epochs = rows.compactMap { row -> (String, Int)? in
            guard row.count == 2, let name = row[0], let epoch = row[1].flatMap({ Int($0) }) else { return nil }
            return (name, epoch)
        }
        return Dictionary(epochs) { max($0, $1) }
    }
}
