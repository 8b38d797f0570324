import Foundation
import Glibc
import NIOCore
import SluiceWire

/// A peer that does what it likes with its socket, by plain system calls on a thread of its own.
final class HostileSocket: Sendable {
    struct Failed: Error {
        var call: String
        var code: Int32
    }

    enum Take {
        case bytes([UInt8])
        case nothingYet
        case ended
    }

    private let descriptor: Int32

    /// - Parameters:
    ///   - host: the last byte of the address in 127.0.0.0/24 to come from.
    ///   - receiveBuffer: for what arrives, in bytes; the system's default if nil.
    init(port: Int, from host: UInt8 = 1, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Failed(call: "socket", code: errno) }
        if var size = receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        try call("bind", bind, Self.address(host, 0))
        try call("connect", connect, Self.address(1, UInt16(clamping: port)))
    }

    deinit { close(descriptor) }

    private static func address(_ host: UInt8, _ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = (0x7F00_0000 | UInt32(host)).bigEndian
        return address
    }

    private func call(
        _ name: String, _ function: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32, _ address: sockaddr_in
    ) throws {
        let result = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                function(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Failed(call: name, code: errno) }
    }

    /// Sends all of it, waiting if it must.
    /// - Returns: false if the gateway has closed the connection.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// Sends what the kernel takes just now.
    /// - Returns: how many bytes; nil if the gateway has closed the connection.
    func push(_ bytes: [UInt8]) -> Int? {
        let count = bytes.withUnsafeBytes {
            Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        if count < 0, errno != EAGAIN, errno != EINTR { return nil }
        return max(0, count)
    }

    /// - Parameter time: how long to wait for something, in milliseconds.
    func take(within time: Int32) -> Take {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&wanted, 1, time) > 0 else { return .nothingYet }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        // A reset is an end, too; what came before it has been read.
        return count > 0 ? .bytes(Array(buffer[..<count])) : .ended
    }

    /// Everything that is sent until the end of the connection.
    /// - Parameter time: how long nothing may come, in milliseconds.
    /// - Returns: nil if the connection is not ended by then.
    func takeAll(within time: Int32) -> [UInt8]? {
        var all: [UInt8] = []
        while true {
            switch take(within: time) {
            case .bytes(let bytes): all += bytes
            case .nothingYet: return nil
            case .ended: return all
            }
        }
    }

    /// The last error among what was sent until the end.
    func lastError(within time: Int32) throws -> ErrorReply? {
        guard let bytes = takeAll(within: time) else { return nil }
        return try Self.errors(in: bytes).last
    }

    static func errors(in bytes: [UInt8]) throws -> [ErrorReply] {
        var buffer = ByteBuffer(bytes: bytes)
        var decoder = FrameDecoder(maximumFrameLength: 64 << 20, lz4: true)
        var errors: [ErrorReply] = []
        while let frame = try decoder.next(&buffer) {
            if frame.kind == .error { errors.append(try ErrorReply(decoding: frame.payload)) }
        }
        return errors
    }

    // MARK: What is sent

    static func frame(
        _ kind: FrameKind, _ requestID: UInt32, lz4: Bool = false, _ payload: (inout ByteBuffer) -> Void = { _ in }
    ) -> [UInt8] {
        var buffer = ByteBuffer()
        FrameEncoder(lz4: lz4).write(kind, requestID: requestID, into: &buffer, payload: payload)
        return Array(buffer.readableBytesView)
    }

    static func greeting(_ features: Features = []) -> [UInt8] {
        Preface.bytes + frame(.hello, 0) { Hello(clientName: "hostile", features: features).encode(into: &$0) }
    }
}

/// Runs blocking calls on a thread of their own: the test's other tasks must go on.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
}
