import ArgumentParser
import Foundation
import SluiceClient
import SluiceTools

/// How long a request may take, if not the gateway's default.
struct DeadlineOption: ParsableArguments {
    @Option(help: "How long it may take, like 40ms.")
    var deadline: String?

    var limit: Duration? { deadline.flatMap(DurationText.parse) }

    func validate() throws {
        if let deadline, DurationText.parse(deadline) == nil {
            throw ValidationError("--deadline is a time like 40ms or 2s, not \"\(deadline)\"")
        }
    }
}

struct GetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "get", abstract: "Fetch rows by their ids.")

    @OptionGroup var gateway: GatewayOption

    @Option(help: "The collection.")
    var collection: String

    @Option(parsing: .unconditionalSingleValue, help: "The id of a row; repeat it for several.")
    var id: [Int64]

    @Option(help: "Columns to show, separated by commas.")
    var columns: String?

    @Flag(help: "Show the rows' vectors, too.")
    var vectors = false

    @OptionGroup var patience: DeadlineOption

    @Flag(help: "Accept an answer without the rows of shards that do not answer.")
    var allowPartial = false

    @OptionGroup var freshness: FreshnessOptions

    @Flag(help: "Print JSON (docs/cli.md describes it).")
    var json = false

    func validate() throws {
        guard (1...10_000).contains(id.count) else { throw ValidationError("give 1 to 10000 times --id") }
    }

    func run() async throws {
        let names = SearchCommand.names(columns)
        try await withClient(gateway) { client in
            let reply = try await client.get(
                collection, ids: id, columns: names, withVectors: vectors, deadline: patience.limit,
                allowPartial: allowPartial, after: freshness.token, maxStaleness: freshness.limit,
                allowStale: freshness.allowStale)
            if json { try Output.json(GetReport(reply)) } else { show(reply, names) }
        }
    }

    private func show(_ reply: GetReply, _ names: [String]) {
        let rows = reply.rows.map { row in
            [String(row.id)] + names.map { row.columns[$0].map(Output.text) ?? "" }
                + (vectors ? [row.vector.map(Self.short) ?? ""] : []) + ["\(row.shard)/\(row.replica)"]
        }
        Output.table([["ID"] + names.map { $0.uppercased() } + (vectors ? ["VECTOR"] : []) + ["FROM"]] + rows)
        print("")
        Output.show(reply.legs)
        if !reply.missing.isEmpty {
            print("no such row: \(reply.missing.map(String.init).joined(separator: ", "))")
        }
        print(String(format: "coverage %.3f, %@", reply.coverage, Output.milliseconds(reply.elapsed)))
    }

    /// As much of it as fits a table; `--json` has it all.
    private static func short(_ vector: SearchQuery.Vector) -> String {
        func list(_ words: [String], of count: Int) -> String {
            words.joined(separator: ",") + (count > words.count ? ",… \(count)" : "")
        }
        switch vector {
        case .float(let floats), .half(let floats):
            return "[\(list(floats.prefix(4).map { String($0) }, of: floats.count))]"
        case .sparse(let dimensions, let indices, let values):
            let words = zip(indices, values).prefix(4).map { "\($0 + 1):\($1)" }
            return "{\(list(words, of: indices.count))}/\(dimensions)"
        case .bits(let bits):
            return bits.prefix(32).map { $0 ? "1" : "0" }.joined() + (bits.count > 32 ? "… \(bits.count)" : "")
        }
    }
}

struct CountCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "count", abstract: "Say how many rows a filter finds, by the planner's estimate or exactly.")

    @OptionGroup var gateway: GatewayOption

    @Option(help: "The collection.")
    var collection: String

    @OptionGroup var condition: FilterOption

    @Flag(help: "Count instead of estimating.")
    var exact = false

    @OptionGroup var patience: DeadlineOption

    @Flag(help: "Print JSON (docs/cli.md describes it).")
    var json = false

    private struct Report: Encodable {
        var rows: Double
        var isExact: Bool
        var legs: [SearchReport.Leg]
    }

    func run() async throws {
        let filter = try condition.parsed()
        try await withClient(gateway) { client in
            let reply = try await client.count(collection, filter: filter, exact: exact, deadline: patience.limit)
            if json {
                return try Output.json(
                    Report(rows: reply.rows, isExact: reply.isExact, legs: reply.legs.map(SearchReport.Leg.init)))
            }
            print("\(reply.isExact ? "" : "about ")\(String(format: "%.0f", reply.rows)) rows")
            Output.show(reply.legs)
        }
    }
}

/// The JSON of rows by id.
struct GetReport: Encodable {
    struct Row: Encodable {
        var id: Int64
        var columns: [String: JSONValue]
        var vector: JSONVector?
        var shard: String
        var replica: String
    }

    var rows: [Row]
    var missing: [Int64]
    var coverage: Double
    var legs: [SearchReport.Leg]
    var elapsedUs: Int64

    init(_ reply: GetReply) {
        rows = reply.rows.map {
            Row(
                id: $0.id, columns: $0.columns.mapValues { JSONValue(value: $0) },
                vector: $0.vector.map { JSONVector(vector: $0) }, shard: $0.shard, replica: $0.replica)
        }
        missing = reply.missing
        coverage = reply.coverage
        legs = reply.legs.map(SearchReport.Leg.init)
        elapsedUs = Output.microseconds(reply.elapsed)
    }
}

/// A list of numbers, a text of bits, or the parts of a sparse vector.
struct JSONVector: Encodable {
    var vector: SearchQuery.Vector

    private enum CodingKeys: CodingKey {
        case dimensions
        case indices
        case values
    }

    func encode(to encoder: any Encoder) throws {
        switch vector {
        case .float(let floats), .half(let floats):
            var container = encoder.singleValueContainer()
            try container.encode(floats)
        case .bits(let bits):
            var container = encoder.singleValueContainer()
            try container.encode(bits.map { $0 ? "1" : "0" }.joined())
        case .sparse(let dimensions, let indices, let values):
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(dimensions, forKey: .dimensions)
            try container.encode(indices, forKey: .indices)
            try container.encode(values, forKey: .values)
        }
    }
}
