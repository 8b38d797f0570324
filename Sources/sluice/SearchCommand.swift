import ArgumentParser
import Foundation
import SluiceClient
import SluiceTools

struct SearchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search", abstract: "Find the nearest neighbours of a vector.")

    @OptionGroup var gateway: GatewayOption

    @Option(help: "A collection to search; repeat it to merge several.")
    var collection: [String]

    @Option(help: "A .npy file of vectors, one a row.")
    var vectorFile: String?

    @Option(help: "The row of the vector file, from 0.")
    var row = 0

    @Option(help: "The vector itself, like [0.1,0.2].")
    var vector: String?

    @Option(name: [.customShort("k"), .customLong("k")], help: "How many neighbours.")
    var k = 10

    @Option(help: "Columns to show, separated by commas.")
    var columns: String?

    @Option(help: "hnsw.ef_search for this search.")
    var efSearch: Int?

    @Flag(help: "Compare with every row instead of using an index.")
    var exact = false

    @Option(help: "How long the search may take, like 40ms.")
    var deadline: String?

    @Flag(help: "Accept an answer that not all shards have contributed to.")
    var allowPartial = false

    @Option(help: "The share of the rows, 0 to 1, that the answer must cover.")
    var minCoverage: Double?

    @Flag(inversion: .prefixedNo, help: "Let the gateway ask a second replica when the first is slow.")
    var hedges = true

    @Flag(help: "Less urgent than other searches: shed first when the gateway is full.")
    var batch = false

    @Flag(help: "Print JSON (docs/cli.md describes it).")
    var json = false

    func validate() throws {
        guard (vector == nil) != (vectorFile == nil) else {
            throw ValidationError("give the vector by --vector or by --vector-file, one of the two")
        }
        try Checks.search(k: k, efSearch: efSearch)
        guard row >= 0 else { throw ValidationError("--row counts from 0, not from \(row)") }
        if let minCoverage, !(0...1).contains(minCoverage) {
            throw ValidationError("--min-coverage is a share from 0 to 1, not \(minCoverage)")
        }
        if let deadline, DurationText.parse(deadline) == nil {
            throw ValidationError("--deadline is a time like 40ms or 2s, not \"\(deadline)\"")
        }
        if let vector {
            do { _ = try VectorText.parse(vector) } catch { throw ValidationError("--vector: \(error.description)") }
        }
    }

    func run() async throws {
        var query = SearchQuery(
            collections: collection, vector: try queryVector(), k: k,
            columns: columns.map { $0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } } ?? [],
            deadline: deadline.flatMap(DurationText.parse), efSearch: efSearch, exact: exact,
            allowPartial: allowPartial)
        query.minCoverage = minCoverage
        query.allowHedges = hedges
        query.priority = batch ? .batch : .interactive
        try await withClient(gateway.gateway) { [query] client in
            let reply = try await client.search(query)
            if json { try Output.json(SearchReport(reply)) } else { show(reply, columns: query.columns) }
        }
    }

    private func queryVector() throws -> [Float] {
        if let vector { return try VectorText.parse(vector) }
        do {
            let file = try NumpyFile(path: vectorFile ?? "")
            guard let vector = file.row(row) else {
                throw NumpyFile.Problem("\(vectorFile ?? ""): there is no row \(row); it has \(file.rowCount)")
            }
            return vector
        } catch {
            Output.complain("sluice: \(error)")
            throw Exit.data
        }
    }

    private func show(_ reply: SearchReply, columns: [String]) {
        let hits = reply.hits.map { hit in
            [hit.collection, String(hit.id), String(format: "%.6f", hit.distance)]
                + columns.map { hit.columns[$0].map(Self.text) ?? "" } + ["\(hit.shard)/\(hit.replica)"]
        }
        Output.table([["COLLECTION", "ID", "DISTANCE"] + columns.map { $0.uppercased() } + ["FROM"]] + hits)
        print("")
        for leg in reply.legs {
            print(
                "\(leg.collection) \(leg.shard)/\(leg.replica): \(leg.status.rawValue), \(leg.rows) rows, "
                    + "waited \(Output.milliseconds(leg.wait)), executed \(Output.milliseconds(leg.execute))"
                    + (leg.message.map { ": \($0)" } ?? ""))
        }
        print(String(format: "coverage %.3f, %@", reply.coverage, Output.milliseconds(reply.elapsed)))
    }

    private static func text(_ value: Value) -> String {
        switch value {
        case .null: ""
        case .bool(let bool): String(bool)
        case .int(let int): String(int)
        case .double(let double): String(double)
        case .string(let string): string
        case .bytes(let bytes, let typeOID): "<\(bytes.count) bytes of type \(typeOID)>"
        }
    }
}

/// The JSON of a search.
struct SearchReport: Encodable {
    struct Hit: Encodable {
        var collection: String
        var id: Int64
        var distance: Double
        var columns: [String: JSONValue]
        var shard: String
        var replica: String
    }

    struct Leg: Encodable {
        var collection: String
        var shard: String
        var replica: String
        var status: String
        var rows: Int
        var waitUs: Int64
        var executeUs: Int64
        var attempts: Int
        var hedges: Int
        var sqlstate: String?
        var message: String?
    }

    var hits: [Hit]
    var coverage: Double
    var legs: [Leg]
    var elapsedUs: Int64

    init(_ reply: SearchReply) {
        hits = reply.hits.map {
            Hit(
                collection: $0.collection, id: $0.id, distance: $0.distance,
                columns: $0.columns.mapValues { JSONValue(value: $0) }, shard: $0.shard, replica: $0.replica)
        }
        coverage = reply.coverage
        legs = reply.legs.map {
            Leg(
                collection: $0.collection, shard: $0.shard, replica: $0.replica, status: $0.status.rawValue,
                rows: $0.rows,
                waitUs: Output.microseconds($0.wait), executeUs: Output.microseconds($0.execute),
                attempts: $0.attempts, hedges: $0.hedges, sqlstate: $0.sqlState, message: $0.message)
        }
        elapsedUs = Output.microseconds(reply.elapsed)
    }
}

/// A column's value in JSON; bytes of a type without a case of its own are base64.
struct JSONValue: Encodable {
    var value: Value

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch value {
        case .null: try container.encodeNil()
        case .bool(let bool): try container.encode(bool)
        case .int(let int): try container.encode(int)
        case .double(let double): try container.encode(double)
        case .string(let string): try container.encode(string)
        case .bytes(let bytes, _): try container.encode(Data(bytes).base64EncodedString())
        }
    }
}
