import NIOCore
import NIOEmbedded
import SluiceClient
import SluiceWire
import Synchronization
import Testing

/// One connection on a virtual clock: the test is the gateway.
private final class VirtualLink {
    let loop = EmbeddedEventLoop()
    let channel: EmbeddedChannel
    let handler: ConnectionHandler
    private let changesSeen = Changes()
    private(set) var answers: [UInt64: Request.Answer] = [:]
    private(set) var parts = 0
    private var outbound = ByteBuffer()
    private var decoder = FrameDecoder(maximumFrameLength: 64 * 1_048_576, lz4: false)

    private final class Changes: Sendable { let all = Mutex<[ConnectionHandler.Change]>([]) }

    init(inFlight: Int) throws {
        let changes = changesSeen
        handler = ConnectionHandler(
            hello: Hello(), welcomeTimeout: .seconds(5), ready: loop.makePromise(),
            onChange: { change in changes.all.withLock { $0.append(change) } })
        channel = EmbeddedChannel(handler: handler, loop: loop)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try say(.welcome, 0) {
            Welcome(
                server: "virtual", features: [], maximumFrameLength: 32 * 1_048_576, maximumInFlight: inFlight,
                maximumK: 100, sessionID: 1
            ).encode(into: &$0)
        }
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) { outbound.writeImmutableBuffer(bytes) }
        _ = try Preface.check(&outbound)
        #expect(try heard().map(\.kind) == [.hello])
    }

    var isClosed: Bool { changesSeen.all.withLock { $0.contains { if case .closed = $0 { true } else { false } } } }

    func say(_ kind: FrameKind, _ requestID: UInt32, _ payload: (inout ByteBuffer) -> Void = { _ in }) throws {
        var buffer = ByteBuffer()
        FrameEncoder(lz4: false).write(kind, requestID: requestID, into: &buffer, payload: payload)
        try channel.writeInbound(buffer)
    }

    /// What the client has sent since the last look.
    func heard() throws -> [Frame] {
        loop.run()
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) { outbound.writeImmutableBuffer(bytes) }
        var frames: [Frame] = []
        while let frame = try decoder.next(&outbound) { frames.append(frame) }
        return frames
    }

    /// - Parameter time: the caller's limit; nil for the client's own of 60 s.
    func ask(
        _ ticket: UInt64, _ kind: FrameKind = .search, time: Duration? = nil, bytes: Int? = nil, inParts: Bool = false
    ) {
        var payload = ByteBuffer()
        if kind == .search, bytes == nil {
            SearchRequest(collections: ["a"], vector: VectorBytes([1]), k: 1).encode(into: &payload)
        }
        if let bytes { payload = ByteBuffer(repeating: 0, count: bytes) }
        let limit = TimeLimit(
            time ?? .seconds(60), grace: kind == .search ? .seconds(1) : .zero, isCallers: time != nil, from: loop.now)
        let onPart: (Frame) -> Void = { [weak self] _ in self?.parts += 1 }
        let request = Request(
            kind: kind, payload: payload, limit: limit, onPart: inParts ? onPart : nil
        ) { [weak self] answer in
            #expect(self?.answers[ticket] == nil, "one answer for each call")
            self?.answers[ticket] = answer
        }
        handler.send(request, ticket: ticket)
    }

    func failure(_ ticket: UInt64) -> SluiceError.Code? {
        guard case .failure(let failure) = answers[ticket] else { return nil }
        return failure.error.code
    }

    func isAnswered(_ ticket: UInt64) -> Bool { if case .success = answers[ticket] { true } else { false } }

    func isMovable(_ ticket: UInt64) -> Bool {
        guard case .failure(let failure) = answers[ticket] else { return false }
        return failure.isMovable
    }
}

@Suite struct ConnectionTests {
    @Test func aRequestThatWaitsForAPlaceEndsAtItsDeadline() throws {
        let link = try VirtualLink(inFlight: 1)
        link.ask(1)
        link.ask(2, time: .milliseconds(40))
        link.ask(3, .collections, time: .milliseconds(40))
        #expect(try link.heard().map(\.kind) == [.search])
        link.loop.advanceTime(by: .milliseconds(39))
        #expect(link.answers.isEmpty)
        link.loop.advanceTime(by: .milliseconds(1))
        #expect(link.failure(2) == .deadlineExceeded && link.failure(3) == .deadlineExceeded)
        #expect(!link.isMovable(2), "there is no time for another attempt")
        try link.say(.result, 1)
        #expect(try link.heard().isEmpty, "what has ended is not sent any more")
    }

    @Test func eachOfManyCallsEndsAtItsOwnDeadline() throws {
        let link = try VirtualLink(inFlight: 50)
        let times = Dictionary(uniqueKeysWithValues: (0..<200).map { (UInt64($0), Int64.random(in: 1...400)) })
        for (ticket, time) in times.sorted(by: { $0.key < $1.key }) {
            link.ask(ticket, .collections, time: .milliseconds(time))
        }
        let sent = try link.heard()
        #expect(sent.count == 50)
        // Some have an answer before their time is over, and others take their places.
        for frame in sent.prefix(20) { try link.say(.collectionList, frame.requestID) }
        let answered = Set(link.answers.keys)
        #expect(answered.count == 20)
        for now in Int64(1)...400 {
            link.loop.advanceTime(by: .milliseconds(1))
            let over = times.filter { $0.value <= now && !answered.contains($0.key) }
            #expect(Set(link.answers.keys) == answered.union(over.keys), "after \(now) ms")
        }
        #expect(times.keys.allSatisfy { answered.contains($0) || link.failure($0) == .deadlineExceeded })
    }

    @Test func theTimerFollowsTheCallThatIsDueNext() throws {
        let link = try VirtualLink(inFlight: 50)
        link.ask(1, .collections, time: .milliseconds(100))
        link.ask(2, .collections, time: .milliseconds(50))
        link.handler.cancel(ticket: 2)
        link.ask(3, .collections, time: .milliseconds(20))
        link.loop.advanceTime(by: .milliseconds(20))
        #expect(link.failure(2) == .cancelled && link.failure(3) == .deadlineExceeded && link.answers[1] == nil)
        link.ask(4, time: .milliseconds(100))
        link.ask(5, .collections, time: .milliseconds(900))
        link.loop.advanceTime(by: .milliseconds(80))
        #expect(link.failure(1) == .deadlineExceeded)
        // A search may be answered a second late; another call's time is over before that.
        link.loop.advanceTime(by: .milliseconds(819))
        #expect(link.answers.count == 3)
        link.loop.advanceTime(by: .milliseconds(1))
        #expect(link.failure(5) == .deadlineExceeded && link.answers[4] == nil)
        link.loop.advanceTime(by: .milliseconds(200))
        #expect(link.failure(4) == .noAnswer)
        // Nobody waits, and the timer has come and gone.
        link.loop.advanceTime(by: .seconds(2))
        link.ask(6, .collections, time: .milliseconds(10))
        link.loop.advanceTime(by: .milliseconds(10))
        #expect(link.failure(6) == .deadlineExceeded)
    }

    @Test func theGatewayIsToldWhatIsLeftWhenTheRequestIsSent() throws {
        let link = try VirtualLink(inFlight: 1)
        link.ask(1, time: .seconds(10))
        link.ask(2, time: .seconds(10))
        link.ask(3)
        let first = try #require(try link.heard().first)
        #expect(try SearchRequest(decoding: first.payload).deadline == .seconds(10))
        link.loop.advanceTime(by: .seconds(3))
        try link.say(.result, first.requestID)
        let second = try #require(try link.heard().first)
        #expect(try SearchRequest(decoding: second.payload).deadline == .seconds(7))
        try link.say(.result, second.requestID)
        let third = try #require(try link.heard().first)
        #expect(try SearchRequest(decoding: third.payload).deadline == nil, "the gateway's default, not this client's")
    }

    @Test func everyRequestThatHasADeadlineCarriesIt() throws {
        let link = try VirtualLink(inFlight: 9)
        for (ticket, kind) in [FrameKind.get, .count, .next, .collections].enumerated() {
            link.ask(UInt64(ticket), kind, time: .seconds(10))
        }
        let deadline = SearchRequest.deadlineFieldLength
        #expect(try link.heard().map(\.payload.readableBytes) == [deadline, deadline, 0, 0])
        link.loop.advanceTime(by: .seconds(10))
        #expect(link.failure(0) == .noAnswer && link.failure(1) == .noAnswer, "the gateway ends them itself")
        #expect(link.failure(2) == .deadlineExceeded && link.failure(3) == .deadlineExceeded)
    }

    @Test func aStreamIsWaitedForAsLongAsItsPartsCome() throws {
        let link = try VirtualLink(inFlight: 2)
        link.ask(1, time: .seconds(1), inParts: true)
        _ = try link.heard()
        link.loop.advanceTime(by: .milliseconds(1_900))
        try link.say(.resultPart, 1)
        link.loop.advanceTime(by: .milliseconds(999))
        #expect(link.parts == 1 && link.answers.isEmpty)
        link.loop.advanceTime(by: .milliseconds(1))
        #expect(link.failure(1) == .noAnswer)
        #expect(try link.heard().map(\.kind) == [.cancel])
        try link.say(.resultPart, 1)
        #expect(link.parts == 1 && !link.isClosed, "nobody wants what comes now")
    }

    @Test func aStreamThatThisClientDoesNotTakeIsNotLate() throws {
        let link = try VirtualLink(inFlight: 2)
        link.ask(1, time: .seconds(1), inParts: true)
        link.handler.setReading(false)
        link.loop.advanceTime(by: .seconds(30))
        #expect(link.answers.isEmpty)
        link.handler.setReading(true)
        link.loop.advanceTime(by: .milliseconds(999))
        #expect(link.answers.isEmpty)
        link.loop.advanceTime(by: .milliseconds(1))
        #expect(link.failure(1) == .noAnswer)
    }

    @Test func whatHasNoTimeLeftIsNotSent() throws {
        let link = try VirtualLink(inFlight: 1)
        link.ask(1, time: .zero)
        link.ask(2, time: .nanoseconds(999))
        link.ask(3, time: .seconds(-1))
        #expect(try link.heard().isEmpty)
        for ticket in 1...3 { #expect(link.failure(UInt64(ticket)) == .deadlineExceeded) }
    }

    @Test func aFrozenGatewayIsGivenUpAndAllCallsAreTold() throws {
        let link = try VirtualLink(inFlight: 2)
        link.ask(1, time: .seconds(1))
        link.ask(2)
        link.ask(3)
        _ = try link.heard()
        link.loop.advanceTime(by: .milliseconds(1_999))
        #expect(link.answers.isEmpty, "the answer to a search may be a second late")
        link.loop.advanceTime(by: .milliseconds(1))
        #expect(link.failure(1) == .noAnswer)
        #expect(try link.heard().map(\.kind) == [.cancel])
        link.loop.advanceTime(by: .milliseconds(4_999))
        #expect(!link.isClosed)
        link.loop.advanceTime(by: .milliseconds(1))
        #expect(link.isClosed)
        #expect(link.failure(2) == .connectionLost && !link.isMovable(2), "it may have run")
        #expect(link.isMovable(3), "it was never sent")
    }

    @Test func aGatewayThatAnswersCancelsIsNotGivenUp() throws {
        let link = try VirtualLink(inFlight: 2)
        link.ask(1)
        link.ask(2)
        link.ask(3)
        _ = try link.heard()
        link.handler.cancel(ticket: 1)
        link.handler.cancel(ticket: 2)
        #expect(link.failure(1) == .cancelled && link.failure(2) == .cancelled)
        link.loop.advanceTime(by: .milliseconds(499))
        try link.say(.error, 1) { ErrorReply(code: .cancelled, message: "").encode(into: &$0) }
        #expect(try link.heard().map(\.kind) == [.cancel, .cancel, .search])
        link.loop.advanceTime(by: .seconds(4))
        try link.say(.error, 2) { ErrorReply(code: .cancelled, message: "").encode(into: &$0) }
        link.loop.advanceTime(by: .seconds(20))
        #expect(!link.isClosed && link.failure(3) == nil)
    }

    @Test func aConnectionFullOfWhatWasGivenUpIsNotWaitedFor() throws {
        let link = try VirtualLink(inFlight: 2)
        for ticket in 1...3 { link.ask(UInt64(ticket)) }
        link.handler.cancel(ticket: 1)
        link.handler.cancel(ticket: 2)
        link.loop.advanceTime(by: .milliseconds(499))
        #expect(!link.isClosed)
        link.loop.advanceTime(by: .milliseconds(1))
        #expect(link.isClosed && link.isMovable(3))
        link.ask(4)
        #expect(link.isMovable(4))
    }

    @Test func pingsDoNotWaitBehindSearchesAndHaveABoundOfTheirOwn() throws {
        let link = try VirtualLink(inFlight: 1)
        link.ask(1)
        link.ask(2)
        for ticket in 100..<165 { link.ask(UInt64(ticket), .ping) }
        let frames = try link.heard()
        #expect(frames.map(\.kind) == [.search] + Array(repeating: .ping, count: 64))
        try link.say(.pong, frames[1].requestID)
        try link.say(.result, frames[0].requestID)
        #expect(try link.heard().map(\.kind) == [.ping, .search], "they take no place in flight either")
    }

    @Test func pingsThatAreNeverAnsweredEndTheConnection() throws {
        let link = try VirtualLink(inFlight: 1)
        link.ask(1, .ping, time: .seconds(1))
        link.ask(2)
        #expect(try link.heard().map(\.kind) == [.ping, .search])
        link.loop.advanceTime(by: .seconds(1))
        #expect(link.failure(1) == .deadlineExceeded)
        #expect(try link.heard().isEmpty, "there is nothing to cancel")
        link.loop.advanceTime(by: .seconds(5))
        #expect(link.isClosed && link.failure(2) == .connectionLost)
    }

    @Test func aGatewayInTheMiddleOfALongAnswerIsNotGivenUp() throws {
        let link = try VirtualLink(inFlight: 2)
        link.ask(1)
        link.ask(2)
        _ = try link.heard()
        link.handler.cancel(ticket: 1)
        var answer = ByteBuffer()
        FrameEncoder(lz4: false).write(.result, requestID: 2, into: &answer) { $0.writeRepeatingByte(1, count: 90_000) }
        while let part = answer.readSlice(length: min(10_000, answer.readableBytes)), part.readableBytes > 0 {
            try link.channel.writeInbound(part)
            link.loop.advanceTime(by: .seconds(4))
            // After the last part nothing is on its way.
            #expect(link.isClosed == (answer.readableBytes == 0))
        }
        #expect(link.isAnswered(2), "the answer was whole")
    }

    @Test func whatWaitsIsBoundedByItsBytes() throws {
        let link = try VirtualLink(inFlight: 1)
        for ticket in 1...6 { link.ask(UInt64(ticket), bytes: 16 * 1_048_576) }
        #expect(link.failure(5) == nil, "one is sent, 64 MiB wait")
        #expect(link.failure(6) == .busy && !link.isMovable(6))
        link.handler.cancel(ticket: 3)
        #expect(link.failure(3) == .cancelled)
        link.ask(7, bytes: 16 * 1_048_576)
        #expect(link.failure(7) == nil, "the cancelled one has made room")
    }

    @Test func cancellingMostOfALongQueueLeavesTheRestInOrder() throws {
        let link = try VirtualLink(inFlight: 1)
        link.ask(0)
        for ticket in 1...50_000 { link.ask(UInt64(ticket)) }
        for ticket in 1...50_000 where ticket % 10_000 != 0 { link.handler.cancel(ticket: UInt64(ticket)) }
        var id = try #require(try link.heard().first).requestID
        for ticket in stride(from: 0, through: 50_000, by: 10_000) {
            try link.say(.result, id)
            try #require(link.isAnswered(UInt64(ticket)), "each in its turn")
            id = try link.heard().first?.requestID ?? 0
        }
    }

    @Test func afterGoAwayWhatWaitsGoesElsewhereAndTheRestIsAnswered() throws {
        let link = try VirtualLink(inFlight: 1)
        link.ask(1)
        link.ask(2)
        _ = try link.heard()
        try link.say(.goAway, 0) { GoAway(code: .shuttingDown, message: "").encode(into: &$0) }
        #expect(link.isMovable(2) && link.answers[1] == nil && !link.isClosed)
        link.ask(3)
        #expect(link.isMovable(3))
        try link.say(.result, 1)
        #expect(link.isClosed)
        #expect(link.isAnswered(1), "it was in flight")
    }

    @Test func answersThatEndInTheMiddleOfAFrameDoNotPileUp() throws {
        let link = try VirtualLink(inFlight: 1)
        var one = ByteBuffer()
        FrameEncoder(lz4: false).write(.pong, requestID: 9, into: &one) { $0.writeRepeatingByte(1, count: 999) }
        var stream = ByteBuffer()
        for _ in 0..<4_000 { stream.writeImmutableBuffer(one) }
        var most = 0
        // A prime, so that a read ends with a frame after 4 MB at the earliest.
        while let part = stream.readSlice(length: 4_099) {
            try link.channel.writeInbound(part)
            most = max(most, link.handler.bytesHeld)
        }
        #expect(most <= 262_144)
        #expect(!link.isClosed)
    }

    @Test func aGatewayThatDoesNotWelcomeIsGivenUp() throws {
        let loop = EmbeddedEventLoop()
        let ready = loop.makePromise(of: Void.self)
        let handler = ConnectionHandler(
            hello: Hello(), welcomeTimeout: .seconds(5), ready: ready, onChange: { _ in })
        let channel = EmbeddedChannel(handler: handler, loop: loop)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        loop.advanceTime(by: .seconds(5))
        #expect { try ready.futureResult.wait() } throws: { ($0 as? SluiceError)?.code == .notConnected }
    }
}
