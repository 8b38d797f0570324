import NIOCore
import NIOPosix
import SluiceCore
import SluiceTopology
import Testing

/// SRV records, as a nameserver sends them.
@Suite(.timeLimit(.minutes(1))) struct DNSMessageTests {
    /// The question, then two services whose hosts end in the question's name.
    private static func reply(id: UInt16 = 7, flags: [UInt8] = [0x81, 0x80]) -> [UInt8] {
        let question = DNSMessage.question("_pg.db.example", id: id) ?? []
        func service(_ host: String, _ port: UInt16, priority: UInt8) -> [UInt8] {
            // `db.example` is at byte 16: after the header and `_pg`.
            let name = [UInt8(host.utf8.count)] + host.utf8 + [0xC0, 16]
            let data: [UInt8] = [0, priority, 0, 5, UInt8(port >> 8), UInt8(port & 0xFF)] + name
            return [0xC0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, UInt8(data.count)] + data
        }
        let address: [UInt8] = [0xC0, 16, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]
        return question[..<2] + flags + [0, 1, 0, 3, 0, 0, 0, 0] + question[12...] + service("b", 5_433, priority: 2)
            + address + service("a", 5_432, priority: 1)
    }

    private static let services = [
        DNSMessage.Service(host: "a.db.example", port: 5_432, priority: 1),
        DNSMessage.Service(host: "b.db.example", port: 5_433, priority: 2),
    ]

    @Test func servicesAreReadByPriority() throws {
        #expect(try DNSMessage.services(Self.reply(), id: 7) == Self.services)
        #expect(try DNSMessage.services(Self.reply(flags: [0x81, 0x83]), id: 7) == [])
    }

    @Test(arguments: [[UInt8]]([[0x01, 0x80], [0x83, 0x80], [0x81, 0x82]]))
    func whatIsNoGoodReplyIsAnError(flags: [UInt8]) {
        #expect(throws: UnreadableAnswer.self) { try DNSMessage.services(Self.reply(flags: flags), id: 7) }
        #expect(throws: UnreadableAnswer.self) { try DNSMessage.services(Self.reply(), id: 8) }
    }

    @Test func aReplyThatIsCutOffAnywhereIsAnError() {
        let reply = Self.reply()
        for length in 0..<reply.count {
            #expect(throws: UnreadableAnswer.self) { try DNSMessage.services(Array(reply[..<length]), id: 7) }
        }
    }

    /// It ends, whatever the bytes are; also where a name leads to itself.
    @Test(arguments: 0..<200) func noReplyTrapsOrHangs(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<50 {
            var reply = Self.reply()
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                reply[Int.random(in: 2..<reply.count, using: &random)] = .random(in: .min ... .max, using: &random)
            }
            let services = try? DNSMessage.services(reply, id: 7)
            #expect((services ?? []).count <= reply.count)
        }
        var loop = Self.reply()
        loop.replaceSubrange(12..<14, with: [0xC0, 12])
        #expect(throws: UnreadableAnswer.self) { try DNSMessage.services(loop, id: 7) }
    }

    @Test func whatIsNoNameIsNotAsked() {
        for name in ["", ".", "a..b", String(repeating: "x", count: 64), String(repeating: "a.", count: 200)] {
            #expect(DNSMessage.question(name, id: 1) == nil, "\(name)")
        }
        #expect(DNSMessage.question("a.b.", id: 1) == DNSMessage.question("a.b", id: 1))
    }

    @Test func aNameserverIsAskedAndTheNextOneIfItSaysNothing() async throws {
        let silent = try await Self.nameserver { _ in nil }
        let server = try await Self.nameserver { id in Self.reply(id: id) }
        let addresses = [silent, server].compactMap(\.localAddress)
        let found = try await ServiceQuery.ask("_pg.db.example", within: .seconds(1), of: addresses)
        #expect(found == Self.services)
        await #expect(throws: UnreadableAnswer.self) { () async throws in
            _ = try await ServiceQuery.ask("_pg.db.example", within: .milliseconds(50), of: [addresses[0]])
        }
        try await silent.close()
        try await server.close()
    }

    private static func nameserver(_ answer: @escaping @Sendable (UInt16) -> [UInt8]?) async throws -> any Channel {
        try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Nameserver(answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }
}

private final class Nameserver: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    private let answer: @Sendable (UInt16) -> [UInt8]?

    init(_ answer: @escaping @Sendable (UInt16) -> [UInt8]?) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let question = unwrapInboundIn(data)
        let id = question.data.getInteger(at: question.data.readerIndex, as: UInt16.self) ?? 0
        guard let reply = answer(id) else { return }
        context.writeAndFlush(
            wrapOutboundOut(AddressedEnvelope(remoteAddress: question.remoteAddress, data: ByteBuffer(bytes: reply))),
            promise: nil)
    }
}
