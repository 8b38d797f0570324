import ArgumentParser
import Foundation
import SluiceClient
import SluiceTools

/// Messages for people go to standard error, results to standard output.
enum Output {
    static func complain(_ message: String) { FileHandle.standardError.write(Data((message + "\n").utf8)) }

    static func json(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        print(String(decoding: try encoder.encode(value), as: UTF8.self))
    }

    static func milliseconds(_ duration: Duration) -> String {
        String(format: "%.2f ms", Double(microseconds(duration)) / 1e3)
    }

    static func microseconds(_ duration: Duration) -> Int64 {
        duration.components.seconds * 1_000_000 + duration.components.attoseconds / 1_000_000_000_000
    }

    /// Columns padded to the width of their widest cell.
    static func table(_ rows: [[String]]) {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        for row in rows {
            let cells = zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
            print(cells.joined(separator: "  ").replacing(/\s+$/, with: ""))
        }
    }
}

/// Runs a client's command and turns its errors into messages and exit codes.
func withClient(
    _ gateway: String, connections: Int = 1, _ body: (SluiceClient) async throws -> Void
) async throws {
    do {
        var options = SluiceClient.Options()
        options.connections = connections
        options.name = "sluice-cli"
        let client = try await SluiceClient.connect(gateway, options: options)
        try await body(client)
        await client.close()
    } catch let error as SluiceError {
        Output.complain("sluice: \(error)")
        for leg in error.legs where leg.status != .ok {
            Output.complain(
                "  \(leg.collection) \(leg.shard) \(leg.replica): \(leg.status.rawValue) \(leg.message ?? "")")
        }
        switch error.code {
        case .notConnected, .connectionLost: throw Exit.unreachable
        case .invalidArgument where error.message.contains("address of a gateway"): throw Exit.usage
        default: throw Exit.software
        }
    }
}

struct GatewayOption: ParsableArguments {
    @Option(help: "Where the gateway listens: sluice://HOST:PORT or sluice+unix:///PATH.")
    var gateway = "sluice://127.0.0.1:7411"
}
