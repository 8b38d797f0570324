package import SluiceCore
internal import SluiceEngine

/// What a move asks of the databases. Names come from the configuration and the catalogue, and are quoted; values are
/// parameters. The sessions' search path is `pg_catalog` alone, so that operators need no schema. Pure.
package struct ReshardStatements: Sendable {
    package let layout: ReshardLayout

    package init(_ layout: ReshardLayout) { self.layout = layout }

    // MARK: Names

    /// The gateway's own room in every database.
    private static let house = JournalTable.schema
    /// Gateways read it: which layout of a collection is the true one.
    package static let layouts = "\(LayoutTable.schema).\(LayoutTable.table)"
    package static let state = "\(house).sluice_reshard_state"
    static let fence = "\(house).sluice_reshard_fence"
    package static let fenceTrigger = "sluice_reshard_fence"
    package static let logTrigger = "sluice_reshard_log"
    package static let truncateTrigger = "sluice_reshard_truncate"

    /// The ids of rows that have changed since the move began.
    package var log: String { "\(Self.house).sluice_reshard_log_\(layout.suffix)" }
    var note: String { "\(Self.house).sluice_reshard_note_\(layout.suffix)" }
    private var id: String { SearchShape.quoted(layout.idColumn) }
    private var longID: String { "t.\(id)::int8" }

    // MARK: Sessions

    /// The server forgets a tool whose machine is lost, and its locks, after some 15 s.
    static let session = """
        SELECT set_config(name, value, false) FROM (VALUES ('search_path', 'pg_catalog, pg_temp'),
        ('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
        ('tcp_keepalives_idle', '5'), ('tcp_keepalives_interval', '3'), ('tcp_keepalives_count', '3'),
        ('client_connection_check_interval', CASE WHEN current_setting('server_version_num')::int4 >= 140000
            THEN '1000' END)) AS s(name, value) WHERE value IS NOT NULL
        """

    static let lock = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
    static let isThere = "SELECT to_regclass($1) IS NOT NULL"

    // MARK: What every database has

    /// Each with the question whether it is there already.
    static let houseParts: [(question: String, statements: [String])] = [
        (
            "SELECT to_regnamespace('\(house)') IS NOT NULL", ["CREATE SCHEMA \(house)"]
        ),
        (
            LayoutTable.isThere,
            [
                """
                CREATE TABLE \(layouts) (
                    collection text PRIMARY KEY,
                    epoch integer NOT NULL,
                    changed_at timestamptz NOT NULL DEFAULT now()
                )
                """,
                "GRANT SELECT ON \(layouts) TO PUBLIC",
            ]
        ),
        (
            "SELECT to_regprocedure('\(fence)()') IS NOT NULL",
            [
                """
                CREATE FUNCTION \(fence)() RETURNS trigger LANGUAGE plpgsql
                SET search_path = pg_catalog, pg_temp AS $$
                BEGIN
                    IF coalesce(current_setting('sluice.resharding', true), '') <> 'on' THEN
                        RAISE EXCEPTION 'the collection is being moved; retry'
                            USING ERRCODE = '\(LayoutTable.fencedState)';
                    END IF;
                    RETURN NULL;
                END $$
                """
            ]
        ),
    ]

    /// On the first old shard.
    static let makeState = """
        CREATE TABLE IF NOT EXISTS \(state) (
            collection text PRIMARY KEY,
            phase text NOT NULL,
            state jsonb NOT NULL,
            changed_at timestamptz NOT NULL DEFAULT now()
        )
        """
    static let readState = "SELECT state FROM \(state) WHERE collection = $1"
    static let writeState = """
        INSERT INTO \(state) AS s (collection, phase, state) VALUES ($1, $2, $3::jsonb)
        ON CONFLICT (collection) DO UPDATE SET phase = EXCLUDED.phase, state = EXCLUDED.state, changed_at = now()
        """
    static let forgetState = "DELETE FROM \(state) WHERE collection = $1"

    // MARK: The old tables

    /// Which of the triggers a table has.
    static let triggers = """
        SELECT t.tgname FROM pg_trigger t WHERE t.tgrelid = to_regclass($1)
        AND t.tgname IN ('\(fenceTrigger)', '\(logTrigger)', '\(truncateTrigger)')
        """

    /// A table refuses writes.
    static let isFenced = """
        SELECT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass($1)
        AND t.tgname = '\(fenceTrigger)' AND t.tgenabled <> 'D')
        """

    /// Makes what notes every change, and the fence, which is down.
    /// - Parameter there: the triggers that the table has already.
    package func prepareOld(there: Set<String>) -> [String] {
        var script = [
            """
            CREATE TABLE IF NOT EXISTS \(log) (
                entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                id bigint NOT NULL
            )
            """,
            // Whoever may write to the table need not be allowed to write to the log.
            """
            CREATE OR REPLACE FUNCTION \(note)() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
            SET search_path = pg_catalog, pg_temp AS $$
            BEGIN
                IF TG_OP <> 'INSERT' THEN
                    INSERT INTO \(log) (id) VALUES (OLD.\(id));
                END IF;
                IF TG_OP = 'INSERT' THEN
                    INSERT INTO \(log) (id) VALUES (NEW.\(id));
                ELSIF TG_OP = 'UPDATE' THEN
                    IF NEW.\(id) <> OLD.\(id) THEN
                        INSERT INTO \(log) (id) VALUES (NEW.\(id));
                    END IF;
                END IF;
                RETURN NULL;
            END $$
            """,
        ]
        let table = layout.old.quoted
        if !there.contains(Self.fenceTrigger) {
            script += [Self.makeFence(on: table), "ALTER TABLE \(table) DISABLE TRIGGER \(Self.fenceTrigger)"]
        }
        if !there.contains(Self.truncateTrigger) {
            // No row says that it is gone.
            script += [
                "CREATE TRIGGER \(Self.truncateTrigger) BEFORE TRUNCATE ON \(table) FOR EACH STATEMENT "
                    + "EXECUTE FUNCTION \(Self.fence)()",
                "ALTER TABLE \(table) ENABLE ALWAYS TRIGGER \(Self.truncateTrigger)",
            ]
        }
        if !there.contains(Self.logTrigger) {
            script += [
                "CREATE TRIGGER \(Self.logTrigger) AFTER INSERT OR UPDATE OR DELETE ON \(table) FOR EACH ROW "
                    + "EXECUTE FUNCTION \(note)()",
                "ALTER TABLE \(table) ENABLE ALWAYS TRIGGER \(Self.logTrigger)",
            ]
        }
        return script
    }

    static func makeFence(on table: String) -> String {
        "CREATE TRIGGER \(fenceTrigger) BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON \(table) "
            + "FOR EACH STATEMENT EXECUTE FUNCTION \(fence)()"
    }

    static func raiseFence(on table: String) -> String {
        "ALTER TABLE \(table) ENABLE ALWAYS TRIGGER \(fenceTrigger)"
    }

    /// Readers are not kept waiting, as they would be by `DROP TRIGGER`.
    static func lowerFence(on table: String) -> String { "ALTER TABLE \(table) DISABLE TRIGGER \(fenceTrigger)" }

    static func dropTrigger(_ trigger: String, on table: String) -> String {
        "DROP TRIGGER IF EXISTS \(trigger) ON \(table)"
    }

    /// What is left of the log once no trigger fills it.
    var dropLog: [String] { ["DROP FUNCTION IF EXISTS \(note)()", "DROP TABLE IF EXISTS \(log)"] }

    // MARK: Rows

    /// The next rows in the order of their ids: the id, and all that is copied as `record_send` gives it.
    package func nextRows(_ shape: ReshardShape, after: Int64?, limit: Int) -> (sql: String, texts: [String]) {
        let condition = after == nil ? "" : "WHERE t.\(id) > $1::int8 "
        return (
            "SELECT t.\(id), \(record(shape)) FROM \(layout.old.quoted) t \(condition)ORDER BY t.\(id) LIMIT \(limit)",
            after.map { [String($0)] } ?? []
        )
    }

    /// The present state of some rows.
    package func rows(_ shape: ReshardShape) -> String {
        "SELECT t.\(id), \(record(shape)) FROM \(layout.old.quoted) t WHERE t.\(id) = ANY ($1::int8[])"
    }

    private func record(_ shape: ReshardShape) -> String {
        "encode(record_send(ROW(\(shape.copied.map { "t.\($0.quoted)" }.joined(separator: ", ")))), 'hex')"
    }

    /// Lets the transaction pass the fence.
    static let pass = "SELECT set_config('sluice.resharding', 'on', true)"

    var deleteNew: String { "DELETE FROM \(layout.new.quoted) t WHERE t.\(id) = ANY ($1::int8[])" }

    package func copy(_ shape: ReshardShape) -> String {
        "COPY \(layout.new.quoted) (\(shape.copied.map(\.quoted).joined(separator: ", "))) FROM STDIN (FORMAT binary)"
    }

    // MARK: Changes

    func takeChanges(limit: Int) -> String {
        """
        WITH taken AS (DELETE FROM \(log) WHERE entry = ANY (ARRAY(SELECT entry FROM \(log) ORDER BY entry \
        LIMIT \(limit))) RETURNING id) SELECT DISTINCT id FROM taken
        """
    }

    /// The log is expected to be short: no more is counted.
    var countChanges: String { "SELECT count(*) FROM (SELECT FROM \(log) LIMIT 100000) l" }
    var changedIDs: String { "SELECT DISTINCT id FROM \(log)" }

    // MARK: Comparing

    /// Which rows are summed.
    package enum Rows: Sendable {
        /// But for those of `$1`.
        case allBut
        /// Those of `$1`.
        case these
    }

    /// Sums of the rows of an old shard, by the new shard that each belongs to.
    package func oldSums(_ shape: ReshardShape, by placement: HashPlacement, _ rows: Rows) -> String {
        sums(of: layout.old.quoted, place: placement.shardSQL(of: longID), shape, rows)
    }

    /// Sums of the rows of a new shard.
    package func newSums(_ shape: ReshardShape, shard: Int, _ rows: Rows) -> String {
        sums(of: layout.new.quoted, place: "\(shard)", shape, rows)
    }

    private func sums(of table: String, place: String, _ shape: ReshardShape, _ rows: Rows) -> String {
        let condition =
            switch rows {
            case .allBut: "NOT EXISTS (SELECT FROM unnest($1::int8[]) AS x(id) WHERE x.id = t.\(id))"
            case .these: "t.\(id) = ANY ($1::int8[])"
            }
        // Each value's hash begins with the row's id and the column's place, so that no two rows can swap values. A
        // type's OID, which differs between servers, is in none of it.
        let hashes = shape.copied.enumerated().map { place, column in
            "coalesce(hashtextextended(encode(\(column.sender)(t.\(column.quoted)), 'hex'), "
                + "hashint8extended(\(longID), \(place + 1))), hashint8extended(\(longID), \(-1 - place)))"
        }
        return """
            SELECT s.place, s.range, count(*), sum(s.hash) FROM (
                SELECT \(place) AS place, hashint8extended(\(longID), 0) & \(HashCell.ranges - 1) AS range,
                    \(hashes.joined(separator: " # ")) AS hash
                FROM \(table) t WHERE \(condition)
            ) s GROUP BY 1, 2
            """
    }

    // MARK: The switch

    static let switchOver = """
        INSERT INTO \(layouts) AS l (collection, epoch) VALUES ($1, $2::int4)
        ON CONFLICT (collection) DO UPDATE SET epoch = EXCLUDED.epoch, changed_at = now()
        WHERE l.epoch < EXCLUDED.epoch
        """
    static let epoch = "SELECT epoch FROM \(layouts) WHERE collection = $1"
}
