package import NIOCore
internal import NIOPosix

#if canImport(Darwin)
internal import Darwin
#else
internal import Glibc
#endif

/// Asks name servers for the SRV records of a service: by UDP, and by TCP what does not fit.
package struct ServiceLookup: Sendable {
    private let servers: NameServers?

    /// - Parameter servers: nil for those of /etc/resolv.conf, read each time.
    package init(_ servers: NameServers?) { self.servers = servers }

    /// - Parameter time: for all of it; each server has its part of what is left.
    /// - Throws: what each server came to.
    package func answer(for name: ServiceName, within time: TimeAmount) async throws(DNSError) -> DNSMessage.Answer {
        let end = NIODeadline.now() + time
        let servers = if let servers { servers } else { await Self.configured() }
        var problems: [String] = []
        for _ in 0..<servers.attempts {
            for (place, server) in servers.servers.enumerated() {
                let left = end - .now()
                guard left > .zero, !Task.isCancelled else { break }
                let share = TimeAmount.nanoseconds(left.nanoseconds / Int64(servers.servers.count - place))
                do {
                    let answer = try await ask(server, for: name, within: min(servers.timeout, share))
                    if answer.records.contains(where: { !$0.host.isEmpty }) { return answer }
                    problems.append("\(Self.text(server)): there are no SRV records")
                } catch {
                    problems.append("\(Self.text(server)): \(error)")
                }
            }
        }
        throw DNSError(
            "the SRV records of \(name) cannot be had: "
                + (problems.isEmpty ? "there was no time" : problems.prefix(6).joined(separator: "; ")))
    }

    private static func text(_ server: SocketAddress) -> String { server.ipAddress ?? "a name server" }

    private func ask(
        _ server: SocketAddress, for name: ServiceName, within time: TimeAmount
    ) async throws -> DNSMessage.Answer {
        let end = NIODeadline.now() + time
        // With the port, which the system draws, this is what a forger has to guess.
        let id = UInt16.random(in: 0...UInt16.max)
        let question = DNSMessage.question(for: name, id: id)
        let bytes = try await Self.exchange(question, id, with: server, until: end, isStream: false)
        let answer = try DNSMessage.answer(bytes, to: name, id: id)
        guard answer.isTruncated else { return answer }
        let whole = try await Self.exchange(question, id, with: server, until: end, isStream: true)
        let longer = try DNSMessage.answer(whole, to: name, id: id)
        guard !longer.isTruncated else { throw DNSError("its answer does not fit") }
        return longer
    }

    private static func exchange(
        _ question: ByteBuffer, _ id: UInt16, with server: SocketAddress, until end: NIODeadline, isStream: Bool
    ) async throws -> [UInt8] {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: [UInt8].self)
        let timer = loop.scheduleTask(deadline: end) { promise.fail(DNSError("no answer in time")) }
        defer { timer.cancel() }
        let channel: any Channel
        do {
            if isStream {
                channel = try await ClientBootstrap(group: loop)
                    .connectTimeout(max(.milliseconds(1), end - .now()))
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(StreamAnswer(promise))
                        }
                    }
                    .connect(to: server).get()
            } else {
                channel = try await DatagramBootstrap(group: loop)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(DatagramAnswer(promise, to: id))
                        }
                    }
                    .connect(to: server).get()
            }
        } catch {
            promise.fail(error)
            throw error
        }
        defer { channel.close(promise: nil) }
        if isStream {
            var framed = ByteBuffer(integer: UInt16(truncatingIfNeeded: question.readableBytes))
            framed.writeImmutableBuffer(question)
            channel.writeAndFlush(framed).cascadeFailure(to: promise)
        } else {
            channel.writeAndFlush(AddressedEnvelope(remoteAddress: server, data: question)).cascadeFailure(to: promise)
        }
        return try await withTaskCancellationHandler {
            try await promise.futureResult.get()
        } onCancel: {
            promise.fail(DNSError("nobody waits for it any more"))
        }
    }

    // MARK: /etc/resolv.conf

    private static let configurationPath = "/etc/resolv.conf"
    private static let mostBytes = 65_536

    private static func configured() async -> NameServers {
        let text = try? await NIOThreadPool.singleton.runIfActive { contents(of: configurationPath) }
        return NameServers(configuration: text ?? "")
    }

    private static func contents(of path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: mostBytes)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }
}

/// Takes the first datagram that is an answer; what else comes may be late, or forged.
private final class DatagramAnswer: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private static let mostOthers = 64

    private let promise: EventLoopPromise<[UInt8]>
    private let id: UInt16
    private var others = 0

    init(_ promise: EventLoopPromise<[UInt8]>, to id: UInt16) {
        self.promise = promise
        self.id = id
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Array(unwrapInboundIn(data).data.readableBytesView)
        if DNSMessage.isAnswer(bytes, to: id) { return promise.succeed(bytes) }
        others += 1
        if others > Self.mostOthers { promise.fail(DNSError("it sends what nobody asked for")) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }

    func handlerRemoved(context: ChannelHandlerContext) { promise.fail(DNSError("the socket was closed")) }
}

/// Takes one message with its length before it.
private final class StreamAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let promise: EventLoopPromise<[UInt8]>
    private var received = ByteBuffer()

    init(_ promise: EventLoopPromise<[UInt8]>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        guard let length = received.getInteger(at: received.readerIndex, as: UInt16.self) else { return }
        guard let message = received.getBytes(at: received.readerIndex + 2, length: Int(length)) else { return }
        promise.succeed(message)
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }

    func handlerRemoved(context: ChannelHandlerContext) {
        promise.fail(DNSError("the connection ended before the answer"))
    }
}
