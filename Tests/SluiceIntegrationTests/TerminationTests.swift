import Foundation
import SluiceClient
import SluiceTools
import Testing

extension PostgreSQL {
    /// SIGTERM to a gateway that is at work.
    @Suite(.serialized) struct Termination {
        private let vector: [Float] = [1] + Array(repeating: 0, count: 383)
        private let brief = "  - {name: brief, table: brief, metric: cosine, dimensions: 384, shards: [s0]}"

        private func primaries(_ replicas: Replicas) -> String {
            replicas.text(extra: brief, dsn: { $0.name.hasSuffix("-a") ? "host=127.0.0.1 port=\($0.port)" : nil })
        }

        /// A row that takes two seconds.
        private func makeBriefView(_ replicas: Replicas) throws {
            try replicas.query(
                "s0-a",
                """
                create or replace view public.brief as select p.id, p.embedding
                from (select id, embedding from public.programs limit 1) p where pg_sleep(2)::text = ''
                """)
        }

        private func isRunning(_ replicas: Replicas) throws -> Bool {
            try replicas.query(
                "s0-a",
                "select count(*) from pg_stat_activity where state = 'active' and query like '%\"brief\"%' "
                    + "and pid <> pg_backend_pid()") == "1"
        }

        @Test func whatIsInFlightIsAnsweredAndTheExitCodeIsZero() async throws {
            let replicas = try Replicas()
            try makeBriefView(replicas)
            let gateway = try await RealGateway(primaries(replicas))
            let client = try await SluiceClient.connect(gateway.address)
            let slow = Task { try await client.search(SearchQuery(collections: ["brief"], vector: vector, k: 1)) }
            let load = (0..<16).map { _ in Task { await searchUntilRefused(gateway.address) } }
            let clock = ContinuousClock()
            let limit = clock.now.advanced(by: .seconds(15))
            while try !isRunning(replicas), clock.now < limit {}
            gateway.terminate()
            #expect(try await slow.value.hits.count == 1)
            var answered = 0
            for worker in load {
                let (answers, end) = await worker.value
                answered += answers
                // Told by GOAWAY, found nobody at the next dial, or had sent what the gateway never read.
                let ends: [SluiceError.Code] = [.shuttingDown, .notConnected]
                #expect(end.map { ends.contains($0.code) && $0.isRetryable } == true, "\(String(describing: end))")
            }
            #expect(answered > 0)
            let code = await gateway.stop()
            #expect(code == 0 && gateway.log.contains("stopped"), "\(gateway.log)")
            #expect(try Binary.run(["ping", "--gateway", gateway.address]).code == 69)
        }

        private func searchUntilRefused(_ address: String) async -> (answers: Int, end: SluiceError?) {
            var answers = 0
            do throws(SluiceError) {
                let client = try await SluiceClient.connect(address)
                while true {
                    _ = try await client.search(SearchQuery(collections: ["programs"], vector: vector, k: 3))
                    answers += 1
                }
            } catch {
                return (answers, error)
            }
        }

        @Test func aSearchLongerThanTheGraceIsEndedAndSaidSo() async throws {
            let replicas = try Replicas()
            try makeBriefView(replicas)
            let gateway = try await RealGateway(primaries(replicas) + "\nlimits: {shutdown_grace: 50ms}")
            let client = try await SluiceClient.connect(gateway.address)
            let slow = Task { try await client.search(SearchQuery(collections: ["brief"], vector: vector, k: 1)) }
            let clock = ContinuousClock()
            let limit = clock.now.advanced(by: .seconds(15))
            while try !isRunning(replicas), clock.now < limit {}
            gateway.terminate()
            await #expect { try await slow.value } throws: { $0 is SluiceError }
            #expect(await gateway.stop() == 0)
        }
    }
}
