import SluiceClient
import Testing

extension PostgreSQL {
    @Suite(.serialized) struct Switchover {
        /// The primary goes, a standby is promoted, and the searches that prefer the primary find it.
        @Test func aPromotedStandbyIsFoundWithoutARestart() async throws {
            try await Replicas.withOwnShard { replicas in
                try replicas.query(
                    "s0-a",
                    "create table public.items (id bigint primary key, embedding vector(3)); "
                        + "insert into public.items select n, array[n, 1, 0]::vector from generate_series(1, 50) n")
                let hasArrived = try Slow.waitUntil {
                    try ["s0-b", "s0-c"].allSatisfy {
                        try replicas.query($0, "select count(*) from pg_class where relname = 'items'") == "1"
                    }
                }
                #expect(hasArrived)
                let config = try replicas.config(
                    extraCollections: "  - {name: items, table: items, metric: l2, dimensions: 3}",
                    extra: "routing: {prefer: primary, probe_interval: 1s}", samples: false)
                try await withGateway(config) { client, _ in
                    let query = SearchQuery(collections: ["items"], vector: [7, 1, 0], k: 1, deadline: .seconds(2))
                    let tally = try await SteadyLoad.run(client, [query], tasks: 2) { load in
                        let asksPrimary = await load.wait(atMost: .seconds(10)) { $0.legs[0].replica == "s0-a" }
                        #expect(asksPrimary)
                        try replicas.script("down", "s0-a")
                        let asksStandby = await load.wait(atMost: .seconds(5)) { $0.legs[0].replica != "s0-a" }
                        #expect(asksStandby)
                        try replicas.superuser("s0-b", "select pg_promote()")
                        let asksNewPrimary = await load.wait(atMost: .seconds(10)) { $0.legs[0].replica == "s0-b" }
                        #expect(asksNewPrimary)
                        await load.go(on: .seconds(1))
                    }
                    #expect(Double(tally.failed) <= 0.005 * Double(tally.answered), "\(tally)")
                    #expect(tally.late == 0 && tally.wrong == 0, "\(tally)")
                    let reply = try await client.search(query)
                    #expect(reply.legs[0].replica == "s0-b")
                }
            }
        }
    }
}
