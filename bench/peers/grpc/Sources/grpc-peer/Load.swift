import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import SearchMessages
import SwiftProtobuf

/// So many calls in flight on so many connections, each followed by the next, for some seconds.
struct Load: Sendable {
    enum Call: String, Sendable {
        case ping
        case search
    }

    let call: Call
    let port: Int
    let connections: Int
    let concurrency: Int
    let seconds: Double
    let request: Sluice_Bench_SearchRequest
    let rows: Int

    /// The latencies of all calls, sorted, in nanoseconds.
    func run() async throws -> [Int64] {
        try await withThrowingTaskGroup(of: [Int64].self) { group in
            for _ in 0..<connections { group.addTask { try await self.connection() } }
            return try await group.reduce(into: []) { $0 += $1 }.sorted()
        }
    }

    private func connection() async throws -> [Int64] {
        let transport = try HTTP2ClientTransport.Posix.http2NIOPosix(
            target: .ipv4(address: "127.0.0.1", port: port), transportSecurity: .plaintext)
        return try await withGRPCClient(transport: transport) { client in
            let gateway = Sluice_Bench_Gateway.Client(wrapping: client)
            // The connection is made before the clock runs.
            _ = try await gateway.ping(Sluice_Bench_PingRequest())
            let end = ContinuousClock.now.advanced(by: .seconds(seconds))
            return try await withThrowingTaskGroup(of: [Int64].self) { group in
                for _ in 0..<concurrency { group.addTask { try await self.calls(gateway, until: end) } }
                return try await group.reduce(into: []) { $0 += $1 }
            }
        }
    }

    private func calls(
        _ gateway: Sluice_Bench_Gateway.Client<HTTP2ClientTransport.Posix>, until end: ContinuousClock.Instant
    ) async throws -> [Int64] {
        var latencies: [Int64] = []
        var began = ContinuousClock.now
        while began < end {
            switch call {
            case .ping: _ = try await gateway.ping(Sluice_Bench_PingRequest())
            case .search:
                let reply = try await gateway.search(request)
                guard reply.hits.count == rows else { throw Problem("an answer of \(reply.hits.count) rows") }
            }
            let now = ContinuousClock.now
            let (whole, parts) = began.duration(to: now).components
            latencies.append(whole * 1_000_000_000 + parts / 1_000_000_000)
            began = now
        }
        return latencies
    }

    static func request(dimensions: Int, k: Int) -> Sluice_Bench_SearchRequest {
        var vector = Data([UInt8(truncatingIfNeeded: dimensions >> 8), UInt8(truncatingIfNeeded: dimensions), 0, 0])
        for place in 0..<dimensions {
            let bits = (Float(place % 97) / 97).bitPattern
            vector.append(contentsOf: (0..<4).map { UInt8(truncatingIfNeeded: bits >> (24 - 8 * $0)) })
        }
        return Sluice_Bench_SearchRequest.with { request in
            request.collections = ["wide"]
            request.vector = vector
            request.k = UInt32(clamping: k)
        }
    }
}

struct Problem: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
