import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import SearchMessages
import SwiftProtobuf

/// `grpc-peer serve --rows N` prints its port and serves until it is ended; `grpc-peer load ping|search --port P` loads
/// it, and prints JSON. bench/grpc runs both.
@main
struct Program {
    static func main() async throws {
        var words = Array(CommandLine.arguments.dropFirst())
        let verb = words.isEmpty ? "" : words.removeFirst()
        switch verb {
        case "serve": try await serve(rows: try number("--rows", in: words, 10))
        case "load":
            guard let call = words.first.flatMap(Load.Call.init) else { throw Problem("load ping, or load search") }
            try await load(call, words)
        default: throw Problem("grpc-peer serve|load; bench/grpc shows how")
        }
    }

    private static func serve(rows: Int) async throws {
        let transport = HTTP2ServerTransport.Posix.http2NIOPosix(
            address: .ipv4(host: "127.0.0.1", port: 0), transportSecurity: .plaintext)
        try await withGRPCServer(transport: transport, services: [SearchService(rows: rows)]) { server in
            guard let port = try await server.listeningAddress?.ipv4?.port else { throw Problem("it does not listen") }
            FileHandle.standardOutput.write(Data("\(port)\n".utf8))
            // Whoever started it ends it, by a signal or by going away itself.
            while try FileHandle.standardInput.read(upToCount: 1) != nil {}
        }
    }

    private static func load(_ call: Load.Call, _ words: [String]) async throws {
        let (dimensions, rows) = (try number("--dimensions", in: words, 768), try number("--rows", in: words, 10))
        let request = Load.request(dimensions: dimensions, k: rows)
        let load = Load(
            call: call, port: try number("--port", in: words, nil),
            connections: try number("--connections", in: words, 4),
            concurrency: try number("--concurrency", in: words, 32),
            seconds: Double(try number("--milliseconds", in: words, 5_000)) / 1_000, request: request, rows: rows)
        let latencies = try await load.run()
        guard !latencies.isEmpty else { throw Problem("nothing was answered") }
        func percentile(_ share: Double) -> Double {
            Double(latencies[min(latencies.count - 1, Int(share * Double(latencies.count)))]) / 1_000
        }
        let requestBytes = call == .ping ? 0 : try request.serializedData().count
        print(
            """
            {"answers": \(latencies.count), "qps": \(Double(latencies.count) / load.seconds), \
            "p50_us": \(percentile(0.5)), "p99_us": \(percentile(0.99)), "request_bytes": \(requestBytes)}
            """)
    }

    private static func number(_ option: String, in words: [String], _ usual: Int?) throws -> Int {
        guard let place = words.firstIndex(of: option) else {
            guard let usual else { throw Problem("\(option) is missing") }
            return usual
        }
        guard words.indices.contains(place + 1), let number = Int(words[place + 1]), number > 0 else {
            throw Problem("\(option) is a number above 0")
        }
        return number
    }
}
