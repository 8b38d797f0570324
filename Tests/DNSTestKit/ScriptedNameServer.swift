package import NIOCore
internal import NIOPosix

/// A name server on loopback, by UDP and TCP at the same port, which answers as a test says.
package final class ScriptedNameServer: Sendable {
    package enum Way: Sendable {
        case datagram
        case stream
    }

    /// What to answer to the question with this id; nothing to say nothing.
    package typealias Script = @Sendable (_ id: UInt16, Way) -> [[UInt8]]

    private final class Datagrams: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        private let script: Script
        init(_ script: @escaping Script) { self.script = script }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let question = unwrapInboundIn(data)
            guard let id = question.data.getInteger(at: 0, as: UInt16.self) else { return }
            for answer in script(id, .datagram) {
                let envelope = AddressedEnvelope(remoteAddress: question.remoteAddress, data: ByteBuffer(bytes: answer))
                context.writeAndFlush(NIOAny(envelope), promise: nil)
            }
        }
    }

    private final class Stream: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let script: Script
        init(_ script: @escaping Script) { self.script = script }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard let id = unwrapInboundIn(data).getInteger(at: 2, as: UInt16.self) else { return }
            for answer in script(id, .stream) {
                var buffer = ByteBuffer(integer: UInt16(answer.count))
                buffer.writeBytes(answer)
                // In two pieces, as TCP may have it.
                let first = buffer.readSlice(length: 1) ?? ByteBuffer()
                context.writeAndFlush(NIOAny(first), promise: nil)
                context.writeAndFlush(NIOAny(buffer), promise: nil)
            }
        }
    }

    private let channels: [any Channel]
    package let address: SocketAddress

    package init(_ script: @escaping Script) async throws {
        // The port that the system gives for datagrams may be another's for streams.
        for _ in 0..<50 {
            let datagrams = try await Self.datagrams(script)
            guard let address = datagrams.localAddress, let stream = try? await Self.stream(script, at: address) else {
                try await datagrams.close().get()
                continue
            }
            self.address = address
            channels = [datagrams, stream]
            return
        }
        throw ChannelError.operationUnsupported
    }

    private static func datagrams(_ script: @escaping Script) async throws -> any Channel {
        try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Datagrams(script))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    private static func stream(_ script: @escaping Script, at address: SocketAddress) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Stream(script))
                }
            }
            .bind(to: address).get()
    }

    package func stop() async throws { for channel in channels { try await channel.close().get() } }
}
