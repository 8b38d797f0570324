import Glibc
import NIOCore
import SluiceWire
import Testing

extension PostgreSQL {
    /// A PING's payload comes back as it is, up to 64 bytes; a longer one ends its session and no other.
    @Suite struct PingSizes {
        /// A session with blocking reads and writes, byte by byte as the protocol has them.
        private final class Session {
            private let socket: Int32
            private var received = ByteBuffer()
            private var decoder = FrameDecoder(maximumFrameLength: 65_536, lz4: false)

            init(port: Int) throws {
                socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                var address = sockaddr_in()
                address.sin_family = sa_family_t(AF_INET)
                address.sin_port = UInt16(port).bigEndian
                address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
                let size = socklen_t(MemoryLayout<sockaddr_in>.size)
                let result = withUnsafePointer(to: &address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, size) }
                }
                try #require(result == 0)
                try send(ByteBuffer(bytes: Preface.bytes))
                try send(.hello, 0) { Hello(clientName: "sizes").encode(into: &$0) }
                try #require(try next()?.kind == .welcome)
            }

            deinit { close(socket) }

            func send(_ kind: FrameKind, _ requestID: UInt32, _ payload: (inout ByteBuffer) -> Void) throws {
                var buffer = ByteBuffer()
                FrameEncoder(lz4: false).write(kind, requestID: requestID, into: &buffer, payload: payload)
                try send(buffer)
            }

            private func send(_ buffer: ByteBuffer) throws {
                let sent = buffer.withUnsafeReadableBytes { write(socket, $0.baseAddress, $0.count) }
                try #require(sent == buffer.readableBytes)
            }

            /// Nil at the end of the session.
            func next() throws -> Frame? {
                while true {
                    if let frame = try decoder.next(&received) { return frame }
                    let count = received.writeWithUnsafeMutableBytes(minimumWritableBytes: 4_096) {
                        max(0, read(socket, $0.baseAddress, $0.count))
                    }
                    if count == 0 { return nil }
                }
            }
        }

        @Test func sixtyFourBytesComeBackAndSixtyFiveAreTooMany() async throws {
            try await withRealGateway(Replicas().text()) { gateway in
                let port = try #require(gateway.port)
                let session = try Session(port: port)
                for size in [0, 1, 64] {
                    try session.send(.ping, UInt32(size + 1)) { $0.writeRepeatingByte(0xA5, count: size) }
                    let pong = try #require(try session.next())
                    #expect(pong.kind == .pong && pong.requestID == UInt32(size + 1))
                    #expect(pong.payload == ByteBuffer(repeating: 0xA5, count: size))
                }
                try session.send(.ping, 99) { $0.writeRepeatingByte(0xA5, count: 65) }
                let refusal = try #require(try session.next())
                #expect(refusal.kind == .error && refusal.requestID == 0)
                #expect(try ErrorReply(decoding: refusal.payload).code == .malformed)
                #expect(try session.next() == nil)
                #expect(try gateway.run("ping").code == 0)
            }
        }
    }
}
