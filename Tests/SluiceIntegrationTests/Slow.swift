/// A collection whose searches take for ever.
enum Slow {
    static let collection = "  - {name: slow, table: slow, metric: cosine, dimensions: 384, shards: [s0]}"
    static let vector: [Float] = [1] + Array(repeating: 0, count: 383)

    /// Makes its view, on every server of the first shard.
    static func make(_ replicas: Replicas) throws {
        try replicas.query(
            "s0-a",
            """
            create or replace view public.slow as select p.id, p.embedding
            from (select id, embedding from public.programs limit 1) p where pg_sleep(30)::text = ''
            """)
    }

    /// How many statements on that view the servers of the first shard are running.
    static func running(_ replicas: Replicas) throws -> Int {
        try ["s0-a", "s0-b"].reduce(0) { sum, name in
            let count = try replicas.query(
                name,
                "select count(*) from pg_stat_activity where state = 'active' and query like '%\"slow\"%' "
                    + "and pid <> pg_backend_pid()")
            return sum + (Int(count) ?? 0)
        }
    }

    /// Asks again and again, for up to 15 s.
    static func waitUntil(_ condition: () throws -> Bool) rethrows -> Bool {
        let clock = ContinuousClock()
        let limit = clock.now.advanced(by: .seconds(15))
        while clock.now < limit { if try condition() { return true } }
        return false
    }
}
