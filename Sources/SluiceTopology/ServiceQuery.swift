internal import Foundation
package import NIOCore
internal import NIOPosix

/// Asks the system's nameservers for SRV records, by UDP.
package enum ServiceQuery {
    /// The nameservers one after the other, each for its part of the time.
    /// - Parameter servers: those that /etc/resolv.conf names, unless they are given.
    package static func ask(
        _ name: String, within timeout: Duration, of servers: [SocketAddress] = systemServers()
    ) async throws(UnreadableAnswer) -> [DNSMessage.Service] {
        let id = UInt16.random(in: .min ... .max)
        guard let question = DNSMessage.question(name, id: id) else { throw UnreadableAnswer("\(name) is no name") }
        guard !servers.isEmpty else { throw UnreadableAnswer("/etc/resolv.conf names no nameserver") }
        var problem = UnreadableAnswer("no nameserver has answered")
        for server in servers {
            guard let reply = await exchange(question, with: server, within: timeout / servers.count) else { continue }
            do throws(UnreadableAnswer) { return try DNSMessage.services(reply, id: id) } catch { problem = error }
        }
        throw problem
    }

    package static func systemServers() -> [SocketAddress] {
        let text = (try? String(contentsOfFile: "/etc/resolv.conf", encoding: .utf8)) ?? ""
        let addresses = text.prefix(65_536).split(whereSeparator: \.isNewline).compactMap { line -> SocketAddress? in
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count > 1, words[0] == "nameserver" else { return nil }
            return try? SocketAddress(ipAddress: String(words[1]), port: 53)
        }
        return Array(addresses.prefix(3))
    }

    /// Nil if there is no reply in time.
    private static func exchange(
        _ question: [UInt8], with server: SocketAddress, within timeout: Duration
    ) async -> [UInt8]? {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let reply = eventLoop.makePromise(of: [UInt8]?.self)
        let timer = eventLoop.scheduleTask(in: .nanoseconds(timeout.wholeNanoseconds)) { reply.succeed(nil) }
        let host = server.protocol == .inet6 ? "::" : "0.0.0.0"
        DatagramBootstrap(group: eventLoop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ReplyHandler(reply, from: server))
                }
            }
            .bind(host: host, port: 0)
            .whenComplete { result in
                guard case .success(let channel) = result else { return reply.succeed(nil) }
                reply.futureResult.whenComplete { _ in channel.close(promise: nil) }
                channel.writeAndFlush(
                    AddressedEnvelope(remoteAddress: server, data: ByteBuffer(bytes: question)), promise: nil)
            }
        let bytes = await withTaskCancellationHandler {
            try? await reply.futureResult.get()
        } onCancel: {
            reply.succeed(nil)
        }
        timer.cancel()
        return bytes ?? nil
    }
}

extension Duration {
    fileprivate var wholeNanoseconds: Int64 { Int64(self / .nanoseconds(1)) }
}

/// Takes the first datagram that comes from the server that was asked.
private final class ReplyHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let reply: EventLoopPromise<[UInt8]?>
    private let server: SocketAddress

    init(_ reply: EventLoopPromise<[UInt8]?>, from server: SocketAddress) {
        self.reply = reply
        self.server = server
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard envelope.remoteAddress == server else { return }
        reply.succeed(Array(envelope.data.readableBytesView))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { reply.succeed(nil) }
}
