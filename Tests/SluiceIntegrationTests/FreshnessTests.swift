import SluiceClient
import Testing

extension PostgreSQL {
    /// On a shard of their own: replaying is paused.
    @Suite(.serialized) struct Freshness {
        private func withItems(_ body: (Replicas, SluiceClient) async throws -> Void) async throws {
            try await Replicas.withOwnShard { replicas in
                try replicas.query(
                    "s0-a", "create table public.items (id bigint primary key, embedding vector(3))")
                let hasArrived = try Slow.waitUntil {
                    try ["s0-b", "s0-c"].allSatisfy {
                        try replicas.query($0, "select count(*) from pg_class where relname = 'items'") == "1"
                    }
                }
                #expect(hasArrived)
                let config = try replicas.config(
                    extraCollections: "  - {name: items, table: items, metric: l2, dimensions: 3}",
                    extra: "routing: {prefer: standby, probe_interval: 1s}", samples: false)
                try await withGateway(config) { client, _ in try await body(replicas, client) }
            }
        }

        private func write(_ id: Int, _ replicas: Replicas) throws -> ConsistencyToken {
            // One after the other: a position that is read in the same transaction is before its commit.
            try replicas.query("s0-a", "insert into public.items values (\(id), '[\(id), 0, 0]')")
            let position = try replicas.query("s0-a", "select pg_current_wal_lsn()")
            return try #require(ConsistencyToken("s0:" + position))
        }

        private func query(_ id: Int) -> SearchQuery {
            SearchQuery(collections: ["items"], vector: [Float(id), 0, 0], k: 1, deadline: .seconds(5))
        }

        @Test func whatWasWrittenIsFoundWithItsTokenAndSometimesNotWithout() async throws {
            try await withItems { replicas, client in
                try replicas.superuser("s0-b", "select pg_wal_replay_pause()")
                var (missedWith, missedWithout) = (0, 0)
                for id in 1...100 {
                    let token = try write(id, replicas)
                    var query = query(id)
                    let without = try await client.search(query)
                    if without.hits.first?.id != Int64(id) { missedWithout += 1 }
                    query.after = token
                    let with = try await client.search(query)
                    if with.hits.first?.id != Int64(id) { missedWith += 1 }
                    #expect(with.legs[0].replica != "s0-b" && !with.legs[0].isStale)
                    let row = try await client.get("items", ids: [Int64(id)], after: token)
                    #expect(row.missing.isEmpty)
                }
                #expect(missedWith == 0)
                #expect(missedWithout > 0, "a paused standby that everybody is fresh enough for")
            }
        }

        @Test func ifNoStandbyHasItThePrimaryAnswersAndWithoutOneNobodyButByLeave() async throws {
            try await withItems { replicas, client in
                var recent = query(1)
                recent.maxStaleness = .seconds(3_600)
                // A standby that has never been seen to be as far as its primary may be of any age.
                let isKnown = await Slow.waitUntilTrue { [recent] in
                    (try? await client.search(recent))?.legs.first.map { $0.replica != "s0-a" } ?? false
                }
                #expect(isKnown)
                for standby in ["s0-b", "s0-c"] { try replicas.superuser(standby, "select pg_wal_replay_pause()") }
                var query = query(1)
                query.after = try write(1, replicas)
                let leg = try await client.search(query).legs[0]
                #expect(leg.replica == "s0-a" && leg.staleness == .zero)
                recent.maxStaleness = .milliseconds(1)
                #expect(try await client.search(recent).legs[0].replica == "s0-a")
                recent.maxStaleness = .seconds(3_600)
                #expect(try await client.search(recent).legs[0].replica != "s0-a")

                try replicas.script("down", "s0-a")
                let isMissed = await Slow.waitUntilTrue { [query] in
                    do throws(SluiceError) { _ = try await client.search(query) } catch {
                        return error.code == .unavailable && error.message.contains("replayed")
                    }
                    return false
                }
                #expect(isMissed)
                query.allowStale = true
                let stale = try await client.search(query)
                #expect(stale.legs[0].isStale && stale.hits.isEmpty)
                #expect(stale.legs[0].staleness.map { $0 > .zero } ?? true)
                // What the primary has sent before it went, they have.
                for standby in ["s0-b", "s0-c"] { try replicas.superuser(standby, "select pg_wal_replay_resume()") }
                query.allowStale = false
                let hasCaughtUp = await Slow.waitUntilTrue { [query] in
                    (try? await client.search(query))?.hits.first?.id == 1
                }
                #expect(hasCaughtUp)
            }
        }
    }
}

extension Slow {
    fileprivate static func waitUntilTrue(_ condition: () async -> Bool) async -> Bool {
        let clock = ContinuousClock()
        let limit = clock.now.advanced(by: .seconds(15))
        while clock.now < limit { if await condition() { return true } }
        return false
    }
}
