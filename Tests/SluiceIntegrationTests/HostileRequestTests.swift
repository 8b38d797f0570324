import Foundation
import NIOCore
import SluiceWire
import Testing

extension PostgreSQL.HostileClients {
    // MARK: Requests that are one on purpose

    private static func field(_ tag: UInt16, _ bytes: [UInt8]) -> [UInt8] {
        var buffer = ByteBuffer(integer: tag)
        buffer.writeInteger(UInt32(bytes.count))
        buffer.writeBytes(bytes)
        return Array(buffer.readableBytesView)
    }

    private static func request(_ kind: FrameKind, _ id: UInt32, _ fields: [UInt8]...) -> [UInt8] {
        HostileSocket.frame(kind, id) { buffer in for field in fields { buffer.writeBytes(field) } }
    }

    private static let name = field(1, Array("programs".utf8))
    private static let vector = field(2, [0, 3, 0, 0] + Array(repeating: 0, count: 12))
    private static let ten = field(3, [0, 0, 0, 10])
    /// A name of a column in a filter.
    private static let id: [UInt8] = [2, 0x69, 0x64]

    /// Small frames that say they have much more than they have, or ask for more than there is.
    static let giants: [(name: String, bytes: [UInt8])] = [
        ("operands", request(.search, 1, name, vector, ten, field(14, [1, 0xFF, 0xFF]))),
        ("values of a filter", request(.search, 1, name, vector, ten, field(14, [5] + id + [0xFF, 0xFF]))),
        ("a text of a filter", request(.search, 1, name, vector, ten, field(14, [8] + id + [0xFF, 0xFF, 0xFF, 0xFF]))),
        ("k", request(.search, 1, name, vector, field(3, [0xFF, 0xFF, 0xFF, 0xFF]))),
        ("dimensions", request(.search, 1, name, field(2, [0x7F, 0xFF, 0, 0]), ten)),
        (
            "components of a sparse vector",
            request(
                .search, 1, name, field(2, [0x3B, 0x9A, 0xCA, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]), ten,
                field(13, [2]))
        ),
        ("bits", request(.search, 1, name, field(2, [0x7F, 0xFF, 0xFF, 0xFF]), ten, field(13, [3]))),
        ("a field", HostileSocket.frame(.search, 1) { $0.writeBytes([0, 1, 0xFF, 0xFF, 0xFF, 0xFF]) }),
        ("empty fields", HostileSocket.frame(.search, 1) { $0.writeRepeatingByte(0, count: 6 * 100_000) }),
        ("a page", request(.next, 1, field(1, Array(repeating: 7, count: 16)), field(2, [0xFF, 0xFF, 0xFF, 0xFF]))),
        ("a row", request(.write, 1, name, field(3, [0xFF, 0xFF, 0xFF, 0xFF] + Array(repeating: 0, count: 16)))),
        (
            "a row's vector",
            request(
                .write, 1, name, field(3, [0, 0, 0, 12] + Array(repeating: 0, count: 8) + [0xFF, 0xFF, 0xFF, 0xFE]))
        ),
        ("ids", HostileSocket.frame(.get, 1) { $0.writeBytes(name + [0, 2, 0xFF, 0xFF, 0xFF, 0xF8]) }),
    ]

    /// Each is answered by an error of its own, at once, and the session goes on.
    @Test(.timeLimit(.minutes(2)), arguments: giants.indices)
    func giantCountsInSmallFrames(index: Int) async throws {
        let bytes = Self.giants[index].bytes
        try await Self.withGateway { gateway, port in
            let before = try gateway.residentBytes()
            try await GoodClient.works(beside: gateway) {
                let answered = try await onThread {
                    let socket = try HostileSocket(port: port)
                    socket.send(HostileSocket.greeting())
                    var taken: [UInt8] = []
                    for count in 1...200 {
                        socket.send(bytes)
                        while try HostileSocket.errors(in: taken).count < count {
                            guard case .bytes(let more) = socket.take(within: 10_000) else { return taken }
                            taken += more
                        }
                    }
                    return taken
                }
                let errors = try HostileSocket.errors(in: answered)
                #expect(errors.count == 200)
                let codes: Set<ErrorCode> = [.malformed, .invalidArgument, .unknownCursor, .unknownColumn, .badRow]
                #expect(errors.allSatisfy { codes.contains($0.code) }, "\(errors.first?.message ?? "")")
            }
            #expect(try gateway.residentBytes() - before < 32 << 20)
        }
    }

    // MARK: Rapid reset

    /// A search and its cancel, again and again: a place is free when the server has stopped, so there is never more at
    /// work than one session may have in flight, and a cancel too many ends it.
    @Test(.timeLimit(.minutes(2))) func requestsThatAreCancelledAtOnce() async throws {
        let replicas = try Replicas()
        try Slow.make(replicas)
        let inFlight = 3
        let text = replicas.text(
            extra: Slow.collection + "\nlimits: {max_in_flight: \(inFlight), max_cancels: 300}\npool: {max_size: 16}")
        try await withRealGateway(text) { gateway in
            let port = try #require(gateway.port)
            try await GoodClient.works(beside: gateway) {
                let attack = Task {
                    try await onThread {
                        var pairs: [UInt8] = []
                        for number in 1...200 {
                            pairs += HostileSocket.frame(.search, UInt32(number)) { buffer in
                                SearchRequest(collections: ["slow"], vector: VectorBytes(Slow.vector), k: 1)
                                    .encode(into: &buffer)
                            }
                            pairs += HostileSocket.frame(.cancel, UInt32(number))
                        }
                        return try (0..<3).map { _ in
                            let socket = try HostileSocket(port: port)
                            socket.send(HostileSocket.greeting())
                            for _ in 0..<1_000 { if !socket.send(pairs) { break } }
                            return try socket.lastError(within: 10_000)
                        }
                    }
                }
                // Those of a session that has just been ended may still be stopping.
                var most = 0
                for _ in 0..<20 { most = max(most, try Slow.running(replicas)) }
                #expect(most <= 2 * inFlight, "\(most) at work")
                for error in try await attack.value {
                    #expect(error?.code == .limitExceeded, "\(error?.message ?? "not ended")")
                }
                #expect(try Slow.waitUntil { try Slow.running(replicas) == 0 })
            }
        }
    }
}
