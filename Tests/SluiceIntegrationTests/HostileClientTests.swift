import Foundation
import NIOCore
import SluiceWire
import Testing

extension PostgreSQL {
    /// Clients that mean harm, or behave as if they did, beside a good one: it is served, the bad ones end as the
    /// protocol says, and the gateway's memory stays bounded.
    @Suite struct HostileClients {
        static func withGateway(
            _ limits: String = "{}", _ body: (RealGateway, Int) async throws -> Void
        ) async throws {
            let text = try Replicas().text(extra: "limits: \(limits)\nlog: {level: notice}")
            try await withRealGateway(text) { gateway in
                try await body(gateway, try #require(gateway.port))
            }
        }

        // MARK: The handshake

        static let stages: [(name: String, bytes: [UInt8])] = [
            ("nothing", []), ("half a preface", Array(Preface.bytes.prefix(4))), ("a preface", Preface.bytes),
            ("half a HELLO", Array(HostileSocket.greeting().dropLast(5))),
        ]

        /// 2,000 sockets that stop at one stage of the handshake, from two addresses: those beyond the cap make room
        /// for the next ones, the rest goes when its time is over, and a good client gets in at any moment.
        @Test(.timeLimit(.minutes(2)), arguments: stages.indices)
        func neverFinishingTheHandshake(stage: Int) async throws {
            let bytes = Self.stages[stage].bytes
            try await Self.withGateway("{handshake_timeout: 2s, max_unauthenticated: 500}") { gateway, port in
                let before = try gateway.residentBytes()
                try await GoodClient.works(beside: gateway) {
                    let sockets = try await onThread {
                        try (0..<2_000).map { number in
                            let socket = try HostileSocket(port: port, from: number.isMultiple(of: 2) ? 2 : 3)
                            socket.send(bytes)
                            return socket
                        }
                    }
                    let grown = try gateway.residentBytes() - before
                    #expect(grown < 64 << 20, "\(grown) bytes for 2,000 sockets")
                    try await GoodClient.works(beside: gateway, atLeast: 10) {}
                    let codes = try await onThread { try sockets.map { try $0.lastError(within: 10_000)?.code } }
                    #expect(Set(codes) == [.busy, .handshakeTimeout])
                    #expect(codes.filter { $0 == .busy }.count >= 1_400)
                }
            }
        }

        // MARK: Slow peers

        /// Frames that are sent but for their last byte: they are given up, and what they hold is bounded.
        @Test(.timeLimit(.minutes(2))) func halfFrames() async throws {
            let limits = "{frame_timeout: 2s}"
            try await Self.withGateway(limits) { gateway, port in
                let before = try gateway.residentBytes()
                try await GoodClient.works(beside: gateway) {
                    let errors = try await onThread {
                        let part =
                            HostileSocket.greeting()
                            + HostileSocket.frame(.write, 1) { $0.writeRepeatingByte(0, count: 1_048_568) }.dropLast()
                        let sockets = try (0..<200).map { _ in try HostileSocket(port: port) }
                        // Some are not read to the end: then nothing waits for them here.
                        for socket in sockets {
                            var rest = part[...]
                            while let count = socket.push(Array(rest.prefix(65_536))), count > 0 {
                                rest = rest.dropFirst(count)
                            }
                        }
                        return try sockets.map { try $0.lastError(within: 20_000) }
                    }
                    let grown = try gateway.residentBytes() - before
                    #expect(grown < 160 << 20, "\(grown) bytes where 200 MiB were begun")
                    for error in errors {
                        #expect(error?.code == .limitExceeded)
                        #expect(error?.message.contains("frame_timeout") == true)
                    }
                }
            }
        }

        /// Every byte by itself: each is a turn of the loop for nearly nothing, and the frames are frames all the same.
        @Test(.timeLimit(.minutes(2))) func aByteAtATime() async throws {
            try await Self.withGateway { gateway, port in
                try await GoodClient.works(beside: gateway) {
                    let pongs = try await onThread {
                        let bytes = HostileSocket.greeting() + (1...50).flatMap { HostileSocket.frame(.ping, $0) }
                        let sockets = try (0..<50).map { _ in try HostileSocket(port: port) }
                        for byte in bytes { for socket in sockets { socket.send([byte]) } }
                        return sockets.map { socket in
                            var count = 0
                            // WELCOME, and PONGs of 12 bytes.
                            while count < 50 * 12, case .bytes(let bytes) = socket.take(within: 10_000) {
                                count += bytes.count
                            }
                            return count
                        }
                    }
                    for count in pongs { #expect(count >= 50 * 12) }
                }
            }
        }

        /// Peers that ask and never read: they are not read from, then ended.
        @Test(.timeLimit(.minutes(2))) func neverReading() async throws {
            try await Self.withGateway("{stream_idle: 1s, max_pings: 1000000}") { gateway, port in
                let before = try gateway.residentBytes()
                try await GoodClient.works(beside: gateway) {
                    let ends = try await onThread {
                        let asked = (1...5_000).flatMap { HostileSocket.frame(.collections, $0) }
                        let sockets = try (0..<20).map { _ in try HostileSocket(port: port, receiveBuffer: 4_096) }
                        for socket in sockets { socket.send(HostileSocket.greeting()) }
                        var open = Array(sockets.indices)
                        var rests = sockets.map { _ in asked[...] }
                        // Nothing is taken when the gateway does not read any more, until it closes the connection.
                        while !open.isEmpty {
                            open.removeAll { place in
                                if rests[place].isEmpty { rests[place] = asked[...] }
                                guard let count = sockets[place].push(Array(rests[place])) else { return true }
                                rests[place] = rests[place].dropFirst(count)
                                return false
                            }
                        }
                        return true
                    }
                    #expect(ends)
                    let grown = try gateway.residentBytes() - before
                    #expect(grown < 96 << 20, "\(grown) bytes for 20 that do not read")
                }
            }
        }

        // MARK: Floods

        struct Flood: Sendable, CustomTestStringConvertible {
            var testDescription: String
            var bytes: [UInt8]
            var code: ErrorCode
            var word: String
            var features: Features = []
        }

        private static let bomb = HostileSocket.frame(.search, 9, lz4: true) {
            $0.writeRepeatingByte(0, count: 1_048_568)
        }

        /// A compressed frame that says it has so many bytes.
        private static func liar(_ declared: UInt32) -> [UInt8] {
            var bytes = bomb
            withUnsafeBytes(of: declared.bigEndian) { bytes.replaceSubrange(12..<16, with: $0) }
            return bytes
        }

        private static let late = HostileSocket.frame(.search, 7) { buffer in
            SearchRequest(
                collections: ["programs", "libraries"], vector: VectorBytes(Slow.vector), k: 3, columns: ["colour"]
            ).encode(into: &buffer)
        }

        static let floods: [Flood] = [
            Flood(
                testDescription: "pings", bytes: HostileSocket.frame(.ping, 1) { $0.writeRepeatingByte(0, count: 64) },
                code: .limitExceeded, word: "max_pings"),
            Flood(
                testDescription: "cancels", bytes: HostileSocket.frame(.cancel, 1), code: .limitExceeded,
                word: "max_cancels"),
            Flood(
                testDescription: "empty frames of rows", bytes: HostileSocket.frame(.loadRows, 1),
                code: .limitExceeded, word: "max_pings"),
            Flood(
                testDescription: "empty requests", bytes: HostileSocket.frame(.search, 1), code: .limitExceeded,
                word: "max_errors"),
            Flood(
                testDescription: "lists of collections", bytes: HostileSocket.frame(.collections, 1),
                code: .limitExceeded, word: "max_pings"),
            Flood(
                testDescription: "duplicate ids", bytes: late + late, code: .protocolViolation,
                word: "duplicate request id 7"),
            Flood(
                testDescription: "LZ4 bombs", bytes: bomb, code: .limitExceeded, word: "max_errors", features: .lz4),
            Flood(
                testDescription: "LZ4 that says more", bytes: liar(1_048_570), code: .malformed, word: "lies",
                features: .lz4),
            Flood(
                testDescription: "LZ4 that says less", bytes: liar(1_000), code: .malformed, word: "lies",
                features: .lz4),
            Flood(
                testDescription: "LZ4 that says too much", bytes: liar(.max), code: .frameTooLarge, word: "above",
                features: .lz4),
            Flood(
                testDescription: "LZ4 without agreement", bytes: bomb, code: .protocolViolation, word: "not agreed"),
            Flood(
                testDescription: "a second HELLO", bytes: HostileSocket.frame(.hello, 0), code: .protocolViolation,
                word: "HELLO"),
            Flood(
                testDescription: "a gateway's frame", bytes: HostileSocket.frame(.result, 1),
                code: .protocolViolation, word: "only a gateway"),
            Flood(
                testDescription: "the largest length", bytes: [0xFF, 0xFF, 0xFF, 0xFF], code: .frameTooLarge,
                word: "above the limit"),
        ]

        /// As much of it as the gateway takes, from several sessions that come again and again.
        @Test(.timeLimit(.minutes(2)), arguments: floods) func flood(flood: Flood) async throws {
            try await Self.withGateway("{max_pings: 1000, max_errors: 100}") { gateway, port in
                let before = try gateway.residentBytes()
                try await GoodClient.works(beside: gateway) {
                    try await withThrowingTaskGroup(of: [ErrorReply?].self) { group in
                        for _ in 0..<4 { group.addTask { try await Self.attack(port, flood) } }
                        for try await errors in group {
                            for error in errors {
                                #expect(error?.code == flood.code, "\(error?.message ?? "no error")")
                                #expect(error?.message.contains(flood.word) == true, "\(error?.message ?? "")")
                            }
                        }
                    }
                }
                let grown = try gateway.residentBytes() - before
                #expect(grown < 96 << 20, "\(grown) bytes")
            }
        }

        /// Five sessions one after another, each flooding until it is ended.
        private static func attack(_ port: Int, _ flood: Flood) async throws -> [ErrorReply?] {
            try await onThread {
                let bytes = Array(repeatElement(flood.bytes, count: max(1, 65_536 / flood.bytes.count)).joined())
                return try (0..<5).map { _ in
                    let socket = try HostileSocket(port: port)
                    socket.send(HostileSocket.greeting(flood.features))
                    var taken: [UInt8] = []
                    var rest = bytes[...]
                    // It reads what comes, as who does not read is not read from.
                    while true {
                        let pushed = socket.push(Array(rest.prefix(16_384))) ?? 0
                        rest = pushed < rest.count ? rest.dropFirst(pushed) : bytes[...]
                        switch socket.take(within: pushed > 0 ? 0 : 5) {
                        case .bytes(let answer): taken += answer
                        case .nothingYet: continue
                        case .ended: return try HostileSocket.errors(in: taken).last
                        }
                    }
                }
            }
        }
    }
}
