import ArgumentParser
import Foundation
import SluiceClient
import SluiceTools

struct DeleteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "delete", abstract: "Delete rows by their ids.")

    /// What one request may have.
    private static let batchSize = 10_000

    @OptionGroup var gateway: GatewayOption

    @Option(help: "The collection.")
    var collection: String

    @Option(parsing: .unconditionalSingleValue, help: "The id of a row; repeat it for several.")
    var id: [Int64] = []

    @Option(help: "A file of ids, one a line.")
    var idsFile: String?

    @Option(help: "A UUID: run again with the same key, nothing is deleted twice.")
    var key: String?

    @OptionGroup var patience: DeadlineOption

    @Flag(help: "Print JSON (docs/cli.md describes it).")
    var json = false

    func validate() throws {
        guard !id.isEmpty || idsFile != nil else { throw ValidationError("give --id or --ids-file") }
        if let key, WriteKey(key) == nil { throw ValidationError("--key is a UUID, not \"\(key)\"") }
    }

    private struct Report: Encodable {
        var outcomes: [String: Int] = [:]
        var shards: [LoadSummary.Shard] = []
        var elapsedUs: Int64 = 0
        var isDone = true

        mutating func add(_ report: WriteReport) {
            for outcome in report.deletes { outcomes[outcome.rawValue, default: 0] += 1 }
            shards += report.shards.map(LoadSummary.Shard.init)
            elapsedUs += Output.microseconds(report.elapsed)
            isDone = isDone && report.isDone
        }
    }

    func run() async throws {
        let ids = try self.ids()
        try await withClient(gateway) { client in
            var report = Report()
            for (place, start) in stride(from: 0, to: ids.count, by: Self.batchSize).enumerated() {
                let batch = Array(ids[start..<min(start + Self.batchSize, ids.count)])
                // A request each, and so a key each.
                let key = key.flatMap { WriteKey($0) }.map { WriteKey(high: $0.high, low: $0.low &+ UInt64(place)) }
                report.add(try await client.delete(collection, ids: batch, key: key, deadline: patience.limit))
            }
            if json { try Output.json(report) } else { show(report) }
            if !report.isDone { throw Exit.software }
        }
    }

    private func show(_ report: Report) {
        let counts = report.outcomes.sorted { $0.key < $1.key }.map {
            "\($0.value) \($0.key.replacing("_", with: " "))"
        }
        print(counts.joined(separator: ", "))
        for shard in report.shards where shard.message != nil {
            Output.complain("  \(shard.shard): \(shard.outcome.replacing("_", with: " ")): \(shard.message ?? "")")
        }
    }

    /// Each once, in their order.
    private func ids() throws -> [Int64] {
        var (ids, seen): ([Int64], Set<Int64>) = ([], [])
        for id in id where seen.insert(id).inserted { ids.append(id) }
        guard let idsFile else { return ids }
        do {
            let lines = try LineFile.integers(path: idsFile)
            for id in lines where seen.insert(id).inserted { ids.append(id) }
            return ids
        } catch {
            Output.complain("sluice: \(error)")
            throw Exit.data
        }
    }
}
