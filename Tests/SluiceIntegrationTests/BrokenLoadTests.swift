import Foundation
import SluiceClient
import Synchronization
import Testing

extension PostgreSQL {
    /// What is left when a load is cut off at any moment: the gateway, a primary, or the client goes.
    @Suite(.serialized) struct BrokenLoads {
        private static let loads = 10
        private static let rows: Int64 = 20_000

        /// Runs loads of which each is cut off when it has come so far, and then once more to its end.
        private func cutOff(
            _ name: String, _ cut: @escaping @Sendable (RealGateway, SluiceClient, LoadTable) throws -> Void,
            repair: (LoadTable) throws -> Void = { _ in }, newGateway: Bool = false
        ) async throws {
            let replicas = try Replicas()
            try await LoadTable.with(name, replicas) { table in
                let config = replicas.text(extra: table.text)
                var gateway = try await RealGateway(config)
                for turn in 0..<Self.loads {
                    let ids = Int64(turn) * Self.rows..<Int64(turn + 1) * Self.rows
                    var options = LoadOptions()
                    options.mode = turn % 3 == 2 ? .upsert : .append
                    let client = try await SluiceClient.connect(gateway.address)
                    // From before the first row to the commit.
                    let moment = Int.random(in: 0...Int(Self.rows) * 5 / 4)
                    let isCut = Mutex(false)
                    let first = try? await client.load(
                        name, columns: LoadTable.columns, rows: LoadTable.rows(ids), options: options
                    ) { [gateway] progress in
                        guard progress.rowsSent >= moment || progress.phase == .committing,
                            isCut.withLock({ isCut in
                                defer { isCut = true }
                                return !isCut
                            })
                        else { return }
                        try? cut(gateway, client, table)
                    }
                    await client.close()
                    try repair(table)
                    let isFree = Slow.waitUntil { (try? table.lockHolders()) == 0 }
                    #expect(isFree, "a lock is left after turn \(turn)")
                    let (counts, whole) = (try table.counts(ids), try table.expected(ids))
                    for (count, all) in zip(counts, whole) {
                        #expect(count == 0 || count == all, "turn \(turn): a part of a shard is there")
                    }
                    if first != nil { #expect(counts == whole, "turn \(turn): acknowledged, and not there") }
                    if newGateway {
                        _ = await gateway.stop()
                        gateway = try await RealGateway(config)
                    }
                    let again = try await SluiceClient.connect(gateway.address)
                    let second = try await Self.untilDone {
                        try await again.load(
                            name, columns: LoadTable.columns, rows: LoadTable.rows(ids), options: options)
                    }
                    #expect(second.rows == Int(Self.rows), "turn \(turn)")
                    #expect(try table.counts(ids) == whole, "turn \(turn): the repetition")
                    await again.close()
                }
                _ = await gateway.stop()
            }
        }

        /// A server that has just been started refuses at first.
        private static func untilDone(_ load: () async throws -> LoadReport) async throws -> LoadReport {
            var last: any Error = CancellationError()
            for _ in 0..<20 {
                do { return try await load() } catch { last = error }
            }
            throw last
        }

        @Test func aGatewayThatIsKilledLeavesWholeShards() async throws {
            try await cutOff("cut_gateway", { gateway, _, _ in kill(gateway.pid, SIGKILL) }, newGateway: true)
        }

        @Test func aClientThatGoesLeavesWholeShards() async throws {
            try await cutOff("cut_client", { _, client, _ in Task { await client.close() } })
        }

        @Test func aPrimaryThatIsKilledLeavesWholeShards() async throws {
            try await cutOff(
                "cut_primary", { _, _, table in try table.replicas.script("kill", "s1-a") },
                // Refused where it runs, as the moment for the kill did not come.
                repair: { table in _ = try? table.replicas.script("start", "s1-a") })
        }
    }
}
