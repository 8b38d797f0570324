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

    static func show(_ legs: [LegReport]) {
        for leg in legs {
            print(
                "\(leg.collection) \(leg.shard)/\(leg.replica): \(leg.status.rawValue), "
                    + "\(leg.rows) \(leg.rows == 1 ? "row" : "rows"), "
                    + "waited \(milliseconds(leg.wait)), executed \(milliseconds(leg.execute))"
                    + (leg.isStale ? ", older than was asked for" : "")
                    + (leg.message.map { ": \($0)" } ?? ""))
        }
    }

    static func text(_ value: Value) -> String {
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

/// Runs a client's command and turns its errors into messages and exit codes.
/// - Parameter timeout: what the body waits for each answer, if it does not wait for as long as a search may take. A
///   gateway that lets it pass counts as one that cannot be reached.
func withClient(
    _ gateway: GatewayOption, connections: Int = 1, timeout: Duration? = nil,
    _ body: (SluiceClient) async throws -> Void
) async throws {
    do {
        var options = try gateway.options()
        options.connections = connections
        options.name = "sluice-cli"
        if let timeout { options.connectTimeout = timeout }
        let client = try await SluiceClient.connect(gateway.gateway, options: options)
        try await body(client)
        await client.close()
    } catch let error as SluiceError {
        Output.complain("sluice: \(error)")
        for leg in error.legs where leg.status != .ok {
            Output.complain(
                "  \(leg.collection) \(leg.shard) \(leg.replica): \(leg.status.rawValue) \(leg.message ?? "")")
        }
        switch error.code {
        case .notConnected, .connectionLost, .noAnswer: throw Exit.unreachable
        case .deadlineExceeded where timeout != nil: throw Exit.unreachable
        case .invalidArgument where error.message.contains("address of a gateway"): throw Exit.usage
        default: throw Exit.software
        }
    }
}

/// What is wrong with a search whatever gateway it goes to. Upper limits are the gateway's to know.
enum Checks {
    static func search(k: Int, efSearch: Int?) throws {
        guard k >= 1 else { throw ValidationError("-k must be at least 1, not \(k)") }
        guard k <= Int(UInt32.max) else { throw ValidationError("-k is \(k); no gateway allows that many") }
        if let efSearch, efSearch < 1 { throw ValidationError("--ef-search must be at least 1, not \(efSearch)") }
    }
}

struct GatewayOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the gateway listens: sluice://HOST:PORT, sluice+tls://HOST:PORT or sluice+unix:///PATH; several as "
                + "sluice://A:PORT,B:PORT, or sluice+srv://NAME and sluice+tls+srv://NAME for those of SRV records."
        ))
    var gateway = Self.standard
    static let standard = "sluice://127.0.0.1:7411"

    @Option(help: "A file whose first line is the token; without it the variable SLUICE_TOKEN is the token.")
    var tokenFile: String?

    @Option(help: "A PEM file of the authorities to believe, with sluice+tls; the system's without it.")
    var ca: String?

    @Option(help: "A PEM file with a certificate to show the gateway.")
    var cert: String?

    @Option(help: "The certificate's key.")
    var key: String?

    @Option(help: "The name that the gateway's certificate must have, if it is not the address's host.")
    var serverName: String?

    func validate() throws {
        guard (cert == nil) == (key == nil) else { throw ValidationError("--cert and --key go together") }
    }

    /// What a client needs to connect there.
    func options() throws -> SluiceClient.Options {
        var options = SluiceClient.Options()
        options.tls.authorities = ca
        options.tls.certificate = cert
        options.tls.key = key
        options.tls.serverName = serverName
        options.token = try token().map { SluiceClient.Token($0) }
        return options
    }

    private func token() throws -> String? {
        guard let tokenFile else {
            return ProcessInfo.processInfo.environment["SLUICE_TOKEN"].flatMap { $0.isEmpty ? nil : $0 }
        }
        let text: String
        do { text = try String(contentsOfFile: tokenFile, encoding: .utf8) } catch {
            Output.complain("sluice: --token-file \(tokenFile) cannot be read")
            throw Exit.data
        }
        return String(text.prefix { !$0.isNewline })
    }
}

struct TimeoutOption: ParsableArguments {
    @Option(help: "How long to wait for the connection, and then for each answer.")
    var timeout = "5s"

    var limit: Duration { DurationText.parse(timeout) ?? .seconds(5) }

    func validate() throws {
        guard let limit = DurationText.parse(timeout), limit > .zero else {
            throw ValidationError("--timeout is a time like 500ms or 2s, not \"\(timeout)\"")
        }
    }
}
