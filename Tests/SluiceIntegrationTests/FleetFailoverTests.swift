import Foundation
import Glibc
import SluiceClient
import Testing

extension PostgreSQL {
    /// A client of two gateways, one of which goes.
    @Suite(.serialized) struct FleetFailover {
        private static let vector: [Float] = [1] + Array(repeating: 0, count: 383)
        private static let query = SearchQuery(
            collections: ["programs"], vector: vector, k: 3, deadline: .seconds(5))

        /// The addresses by TCP, as gateways on other machines have them.
        private static func client(_ gateways: [RealGateway]) async throws -> SluiceClient {
            var ports: [Int] = []
            for gateway in gateways { ports.append(try #require(gateway.port)) }
            let places = ports.map { "127.0.0.1:\($0)" }.joined(separator: ",")
            let client = try await SluiceClient.connect("sluice://\(places)")
            while !client.fleet.members.allSatisfy({ $0.condition == .ready }) { await Task.yield() }
            return client
        }

        @Test(.timeLimit(.minutes(3))) func aGatewayKilledUnderLoadCostsAtMostOneInAThousand() async throws {
            let replicas = try Replicas()
            let victim = try await RealGateway(replicas.text())
            let survivor = try await RealGateway(replicas.text())
            let client = try await Self.client([victim, survivor])
            let tally = try await SteadyLoad.run(client, [Self.query], tasks: 12) { load in
                await load.go(on: .seconds(3))
                let before = load.tally.answered
                #expect(before > 100, "\(load.tally)")
                kill(victim.pid, SIGKILL)
                await load.go(on: .seconds(5))
                #expect(load.tally.answered > before + 100, "\(load.tally)")
            }
            #expect(tally.failed * 1_000 <= tally.answered, "\(tally)")
            #expect(tally.late == 0 && tally.wrong == 0, "\(tally)")
            await client.close()
            _ = await victim.stop()
            #expect(await survivor.stop() == 0, "\(survivor.log)")
        }

        /// SIGTERM: GOAWAY, and what is in flight is finished.
        @Test(.timeLimit(.minutes(3))) func aGatewayThatIsStoppedCostsNothing() async throws {
            let replicas = try Replicas()
            let leaving = try await RealGateway(replicas.text())
            let staying = try await RealGateway(replicas.text())
            let client = try await Self.client([leaving, staying])
            let tally = try await SteadyLoad.run(client, [Self.query], tasks: 12) { load in
                await load.go(on: .seconds(2))
                #expect(await leaving.stop() == 0, "\(leaving.log)")
                await load.go(on: .seconds(2))
            }
            #expect(tally.failed == 0 && tally.late == 0 && tally.wrong == 0, "\(tally)")
            await client.close()
            #expect(await staying.stop() == 0, "\(staying.log)")
        }

        /// The token names positions in the shards' logs, and not a gateway.
        @Test(.timeLimit(.minutes(2))) func whatIsWrittenByOneIsSeenByAnother() async throws {
            let replicas = try Replicas()
            try await LoadTable.with("fleet_notes", replicas) { table in
                let config = replicas.text(extra: table.text + "\nrouting: {prefer: standby}")
                let first = try await RealGateway(config)
                let second = try await RealGateway(config)
                let writer = try await SluiceClient.connect(first.address)
                let reader = try await SluiceClient.connect(second.address)
                for id in Int64(0)..<200 {
                    let written = try await writer.upsert(
                        table.name, columns: LoadTable.columns, rows: [LoadTable.row(id)])
                    let found = try await reader.get(table.name, ids: [id], after: written.token)
                    #expect(found.rows.count == 1)
                }
                // What one has done under a key the other does not do again: the key is in the shards.
                let key = WriteKey.random()
                for (client, isRepeated) in [(writer, false), (reader, true)] {
                    let report = try await client.upsert(
                        table.name, columns: LoadTable.columns, rows: [LoadTable.row(500)], key: key)
                    #expect(report.isRepeated == isRepeated)
                }
                await writer.close()
                await reader.close()
                #expect(await first.stop() == 0)
                #expect(await second.stop() == 0)
            }
        }
    }
}
