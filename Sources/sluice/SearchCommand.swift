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

    @OptionGroup var target: TargetOptions

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

    @OptionGroup var options: QueryOptions

    @Flag(help: "A list for each collection instead of a merged one.")
    var separate = false

    @Option(help: "Fetch the k in pages of so many.")
    var pageSize: Int?

    @Flag(help: "Print JSON (docs/cli.md describes it).")
    var json = false

    func validate() throws {
        try Checks.search(k: k, efSearch: efSearch)
        if let minCoverage, !(0...1).contains(minCoverage) {
            throw ValidationError("--min-coverage is a share from 0 to 1, not \(minCoverage)")
        }
        if let deadline, DurationText.parse(deadline) == nil {
            throw ValidationError("--deadline is a time like 40ms or 2s, not \"\(deadline)\"")
        }
        if let pageSize {
            guard pageSize >= 1 else { throw ValidationError("--page-size must be at least 1, not \(pageSize)") }
            guard !separate, options.groupBy == nil else {
                throw ValidationError("--page-size does not go with --separate or --group-by")
            }
        }
        if separate, options.groupBy != nil || options.text != nil {
            throw ValidationError("--separate does not go with --group-by or --text")
        }
    }

    func run() async throws {
        let query = try makeQuery()
        try await withClient(gateway) { client in
            if let pageSize {
                for try await page in client.pages(query, size: pageSize) { try print(page, query.columns) }
            } else if separate {
                try print(try await client.searchEach(query), query)
            } else {
                try print(try await client.search(query), query.columns)
            }
        }
    }

    private func makeQuery() throws -> SearchQuery {
        var query = SearchQuery(
            collections: collection, target: try target.target(in: collection), k: k,
            columns: Self.names(columns), deadline: deadline.flatMap(DurationText.parse), efSearch: efSearch,
            exact: exact, allowPartial: allowPartial)
        query.minCoverage = minCoverage
        query.allowHedges = hedges
        query.priority = batch ? .batch : .interactive
        try options.apply(to: &query)
        return query
    }

    static func names(_ columns: String?) -> [String] {
        columns.map { $0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } } ?? []
    }

    private func print(_ reply: SearchReply, _ columns: [String]) throws {
        if json { try Output.json(SearchReport(reply)) } else { SearchTable(columns: columns).show(reply) }
    }

    private func print(_ replies: [String: SearchReply], _ query: SearchQuery) throws {
        if json { return try Output.json(["collections": replies.mapValues(SearchReport.init)]) }
        for name in query.collections {
            guard let reply = replies[name] else { continue }
            SearchTable(columns: query.columns).show(reply)
            Swift.print("")
        }
    }
}
