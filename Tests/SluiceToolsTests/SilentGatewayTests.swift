import Foundation
import Glibc
import Testing

/// A gateway that is frozen, or is none: it accepts and says nothing, or falls silent after WELCOME.
@Suite struct SilentGatewayTests {
    /// Listens on a free port. Clients connect without anybody accepting: the kernel does it for a full backlog.
    private final class Peer {
        let socket: Int32
        let port: UInt16

        init() throws {
            socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let (socket, sizeGiven) = (socket, size)
            let isListening = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    bind(socket, address, sizeGiven) == 0 && listen(socket, 8) == 0
                        && getsockname(socket, address, &size) == 0
                }
            }
            try #require(isListening)
            port = UInt16(bigEndian: address.sin_port)
        }

        deinit { close(socket) }

        /// Says these bytes to the next client, and then nothing until that has gone.
        func answerOnce(_ bytes: [UInt8]) {
            let listener = socket
            Thread.detachNewThread {
                let session = accept(listener, nil, nil)
                _ = bytes.withUnsafeBytes { write(session, $0.baseAddress, $0.count) }
                var buffer = [UInt8](repeating: 0, count: 4_096)
                while read(session, &buffer, buffer.count) > 0 {}
                close(session)
            }
        }
    }

    /// The golden WELCOME: hex digits, with comments from `#` on.
    private static func welcome() throws -> [UInt8] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "proto-spec/vectors/welcome.hex"), encoding: .utf8)
        let digits = text.split(whereSeparator: \.isNewline).map { $0.prefix { $0 != "#" } }.joined()
            .filter(\.isHexDigit)
        return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(digits.dropFirst($0).prefix(2), radix: 16)
        }
    }

    @Test(arguments: [["ping"], ["collections"], ["collections", "--json"], ["ping", "--count", "3"]])
    func whoNeverSaysWelcomeIsNotReachable(command: [String]) throws {
        let peer = try Peer()
        let outcome = try CommandLineTests.run(
            command + ["--gateway", "sluice://127.0.0.1:\(peer.port)", "--timeout", "100ms"])
        #expect(outcome.code == 69 && outcome.output.isEmpty)
        #expect(outcome.errors == "sluice: not_connected: the gateway did not say WELCOME in time\n")
    }

    @Test(arguments: ["ping", "collections"])
    func whoFallsSilentIsNotReachable(command: String) throws {
        let peer = try Peer()
        peer.answerOnce(try Self.welcome())
        let outcome = try CommandLineTests.run(
            [command, "--gateway", "sluice://127.0.0.1:\(peer.port)", "--timeout", "100ms"])
        #expect(outcome.code == 69 && outcome.output.isEmpty)
        #expect(outcome.errors == "sluice: deadline_exceeded: the gateway did not answer in time\n")
    }

    @Test func aSearchThatIsNeverAnsweredFindsTheGatewayNotReachable() throws {
        let peer = try Peer()
        peer.answerOnce(try Self.welcome())
        let outcome = try CommandLineTests.run([
            "search", "--gateway", "sluice://127.0.0.1:\(peer.port)", "--collection", "a", "--vector", "[1]",
            "--deadline", "1s",
        ])
        #expect(outcome.code == 69 && outcome.output.isEmpty)
        #expect(outcome.errors == "sluice: no_answer: the gateway did not answer in time\n")
    }
}
