internal import NIOCore
internal import SluiceWire

/// Some hits of an answer that comes in parts.
public struct SearchPart: Sendable {
    /// Which list they go on: 0, or with several collections searched separately the collection's place in the query.
    public var list: Int
    /// The list's next hits, nearest first.
    public var hits: [SearchReply.Hit]
    /// Only of the last part: everything that a reply says of the search as a whole. Its `hits` are empty.
    public var summary: SearchReply?
}

/// The answer to a search, part by part, as the gateway merges it.
///
/// The search begins when the first part is asked for, once for each iterator, and its deadline counts from then on. A
/// stream has a connection of its own, so that one that is not read does not hold up other calls: about a megabyte
/// waits in this client, then the gateway has to wait. A gateway may end a stream that is not read for long. Leaving
/// the loop ends the search, down to the database.
public struct SearchStream: AsyncSequence, Sendable {
    public typealias Element = SearchPart
    public typealias Failure = SluiceError

    let client: SluiceClient
    let query: SearchQuery
    let isSeparate: Bool

    public func makeAsyncIterator() -> Iterator { Iterator(source: StreamSource(self)) }

    public struct Iterator: AsyncIteratorProtocol {
        let source: StreamSource

        /// - Throws: as `SluiceClient.search(_:)`; parts that were given before stay true.
        public mutating func next(
            isolation actor: isolated (any Actor)? = #isolation
        ) async throws(SluiceError) -> SearchPart? {
            try await source.next()
        }

        /// The memory of the parts that wait in this client.
        package var bytesHeld: Int { source.bytesHeld }
    }
}

/// One run of a stream. By one task at a time, as iterators are.
final class StreamSource {
    private enum State {
        case idle
        case running(StreamCall)
        case over
    }

    private let stream: SearchStream
    private var state = State.idle
    /// Of the last frame, which may have hits of several lists.
    private var decoded: [SearchPart] = []

    init(_ stream: SearchStream) { self.stream = stream }

    deinit { if case .running(let call) = state { call.end(StreamCall.abandoned) } }

    var bytesHeld: Int { if case .running(let call) = state { call.buffer.bytes } else { 0 } }

    func next() async throws(SluiceError) -> SearchPart? {
        if !decoded.isEmpty { return decoded.removeFirst() }
        do throws(SluiceError) {
            switch state {
            case .over: return nil
            case .running(let call): return try await take(call)
            case .idle:
                return try await take(try await begun())
            }
        } catch {
            end(error)
            throw error
        }
    }

    /// A gateway that cannot be reached is left for another, as nothing of the search was sent.
    private func begun() async throws(SluiceError) -> StreamCall {
        let client = stream.client
        let limit = client.limit(stream.query.deadline, grace: SluiceClient.grace)
        var tried: Set<GatewayChoice.ID> = []
        while true {
            let call = try StreamCall(client, avoiding: tried)
            state = .running(call)
            do throws(SluiceError) {
                try await call.start(stream, until: limit)
                return call
            } catch {
                tried.insert(call.gateway)
                let isUnsent = [.notConnected, .connectionLost, .shuttingDown, .busy].contains(error.code)
                let isLast = tried.count >= client.fleet.count || limit.deadline <= .now()
                guard isUnsent, !isLast else { throw error }
                end(error)
            }
        }
    }

    private func end(_ error: SluiceError? = nil) {
        if case .running(let call) = state { call.end(error) }
        state = .over
    }

    private func take(_ call: StreamCall) async throws(SluiceError) -> SearchPart? {
        switch try await call.next() {
        case .part(let frame):
            return try stream.client.decoded { () throws(WireError) in
                let result = try SearchResult(decoding: frame.payload)
                return SearchPart(
                    list: result.listIndex ?? 0, hits: try SearchReply.hits(of: result.hits, result.legs))
            }
        case .last(let frame):
            decoded = try stream.client.decoded { () throws(WireError) in
                try Self.lastParts(SearchResult(decoding: frame.payload))
            }
            end()
            return decoded.removeFirst()
        }
    }

    /// A part for each list that has hits left, at least one; the last has the summary.
    private static func lastParts(_ result: SearchResult) throws(WireError) -> [SearchPart] {
        var parts: [SearchPart] = []
        for (list, packed) in result.lists.enumerated() {
            let hits = try SearchReply.hits(of: packed, result.legs)
            if !hits.isEmpty { parts.append(SearchPart(list: list, hits: hits)) }
        }
        if parts.isEmpty { parts = [SearchPart(list: 0, hits: [])] }
        parts[parts.count - 1].summary = try SearchReply(result, list: PackedHits())
        return parts
    }
}

/// The request of a stream, on a connection of its own.
final class StreamCall: Sendable {
    enum Event {
        case part(Frame)
        case last(Frame)
    }

    let buffer = PartBuffer()
    let gateway: GatewayChoice.ID
    private let client: SluiceClient
    private let pool: LinkPool
    private let trace = StreamTrace()

    /// The loop over the stream was left.
    static var abandoned: SluiceError { SluiceError(.cancelled, "the stream was not read to its end") }

    /// - Parameter tried: gateways not to go to.
    init(_ client: SluiceClient, avoiding tried: Set<GatewayChoice.ID>) throws(SluiceError) {
        guard let place = client.fleet.choose(avoiding: tried) else {
            throw SluiceError(.notConnected, "there is no gateway for the stream", isRetryable: true)
        }
        self.client = client
        gateway = place.gateway
        pool = client.streamPool(to: place.address)
    }

    func start(_ stream: SearchStream, until limit: TimeLimit) async throws(SluiceError) {
        var request = try stream.query.request()
        request.separate = stream.isSeparate
        request.stream = true
        try request.check()
        var payload = ByteBufferAllocator().buffer(capacity: 2_048)
        request.encode(into: &payload)
        let span = client.tracing?.begin(.search)
        trace.began(span)
        span?.write(into: &payload)
        try client.streams.add(pool)
        let link = try await pool.link(until: limit)
        link.run { [buffer, payload] handler in
            let request = Request(kind: .search, payload: payload, limit: limit) { [weak handler] part in
                if buffer.append(part) { handler?.setReading(false) }
            } complete: {
                buffer.finish($0)
            }
            handler.send(request, ticket: 1)
        }
    }

    func next() async throws(SluiceError) -> Event {
        let event = await withTaskCancellationHandler {
            await buffer.next()
        } onCancel: {
            buffer.abandon(SluiceError(.cancelled, "the call was cancelled"))
        }
        switch event {
        case .part(let frame, let isDrained):
            if isDrained { pool.resumeReading() }
            return .part(frame)
        case .end(.success(let frame)) where frame.kind == .result:
            return .last(frame)
        case .end(.success(let frame)) where frame.kind == .error:
            throw SluiceError(
                try client.decoded { () throws(WireError) in try ErrorReply(decoding: frame.payload) })
        case .end(.success):
            throw SluiceError(.protocolViolation, "the gateway answered with a frame of another kind")
        case .end(.failure(let failure)): throw failure.final
        }
    }

    /// Closing the connection ends what is still in flight on it.
    func end(_ error: SluiceError?) {
        trace.end(error)
        client.fleet.end(gateway, .ended)
        pool.close()
        client.streams.remove(pool)
    }
}
