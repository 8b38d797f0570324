/// The table in which a shard's database keeps which loads and keyed writes it has taken, so that a repetition is known
/// as one. Every collection of the database shares it.
package enum JournalTable {
    /// Not "sluice": a role of that name would have it before all others in its search path.
    package static let schema = "sluice_gateway"
    package static let table = "journal"

    /// They change nothing where it is already. A role without `CREATE` on the database may run only the second.
    package static let statements = [
        "CREATE SCHEMA IF NOT EXISTS \(schema)",
        """
        CREATE TABLE IF NOT EXISTS \(schema).\(table) (
            id uuid PRIMARY KEY,
            collection text NOT NULL,
            kind text NOT NULL,
            rows bigint NOT NULL DEFAULT 0,
            at timestamptz NOT NULL DEFAULT now()
        )
        """,
    ]
}
