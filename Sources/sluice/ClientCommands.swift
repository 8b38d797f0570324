import ArgumentParser
import SluiceClient

struct Ping: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Time a message to the gateway and back.")

    @OptionGroup var gateway: GatewayOption

    @OptionGroup var patience: TimeoutOption

    @Option(help: "How many.")
    var count = 1

    func validate() throws {
        guard count >= 1 else { throw ValidationError("--count must be at least 1") }
    }

    func run() async throws {
        try await withClient(gateway, timeout: patience.limit) { client in
            for _ in 0..<count {
                print("pong in \(Output.microseconds(try await client.ping(timeout: patience.limit))) us")
            }
        }
    }
}

struct Collections: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the collections that can be searched.")

    @OptionGroup var gateway: GatewayOption

    @OptionGroup var patience: TimeoutOption

    @Flag(help: "Print JSON.")
    var json = false

    private struct Description: Encodable {
        var name: String
        var metric: String
        var dimensions: Int
        var columns: [String]
        var shards: [String]
    }

    func run() async throws {
        try await withClient(gateway, timeout: patience.limit) { client in
            let list = try await client.collections(timeout: patience.limit)
            if json {
                return try Output.json(
                    [
                        "collections": list.map {
                            Description(
                                name: $0.name, metric: $0.metric, dimensions: $0.dimensions, columns: $0.columns,
                                shards: $0.shards)
                        }
                    ])
            }
            let rows = list.map {
                [
                    $0.name, $0.metric, String($0.dimensions), $0.columns.joined(separator: ","),
                    $0.shards.joined(separator: ","),
                ]
            }
            Output.table([["COLLECTION", "METRIC", "DIMENSIONS", "COLUMNS", "SHARDS"]] + rows)
        }
    }
}
