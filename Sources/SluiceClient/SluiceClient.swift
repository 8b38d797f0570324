internal import NIOCore
internal import SluiceWire
public import Tracing

/// A client of a Sluice gateway. Any number of calls may run at the same time; they share the client's connections.
///
/// A lost connection fails the calls that were in flight on it with `connectionLost`; the next call connects again.
/// Cancelling the task of a call stops its work, down to the database. No call waits for ever: without a limit of its
/// own it waits a minute, and a connection on which the gateway does not answer is given up for a new one. Close a
/// client that is not needed any more; one that is dropped closes itself.
public final class SluiceClient: Sendable {
    /// How to connect.
    public struct Options: Sendable {
        /// Connections to spread the calls over, 1...4096.
        public var connections = 1
        /// Shown in the gateway's log.
        public var name: String?
        public var connectTimeout: Duration = .seconds(5)
        /// Whom this application acts for, where the gateway asks for that.
        public var token: Token?
        /// For `sluice+tls` addresses.
        public var tls = TLS()
        /// Whether large frames may be compressed.
        public var lz4 = false
        /// What records calls; nil for the one that `InstrumentationSystem` has when the client connects. The gateway
        /// is told which trace a call is part of.
        public var tracer: (any Tracer)?
        /// What a call without a limit of its own waits.
        package var patience = SluiceClient.defaultPatience

        public init() {}
    }

    /// What a call whose caller names no limit waits at most: the longest deadline that a gateway allows by default.
    private static let defaultPatience: Duration = .seconds(60)
    /// What the gateway may be late with the answer to a search before this client gives up.
    static let grace: Duration = .seconds(1)

    private let address: Address
    private let options: Options
    let pool: LinkPool
    let streams = StreamRegistry()
    let tracing: CallTracing?

    private init(address: Address, options: Options) {
        self.address = address
        self.options = options
        pool = LinkPool(address: address, options: options)
        tracing = CallTracing(options.tracer)
    }

    /// A client that is dropped without `close()` takes its connections with it.
    deinit { pool.close() }

    /// Connects to a gateway.
    /// - Parameters:
    ///   - address: `sluice://host:port` (7411 if no port is given), `sluice+tls://host:port` (7413) or
    ///     `sluice+unix:///path/to.sock`.
    ///   - options: how to connect.
    /// - Throws: `SluiceError` with the code `invalidArgument` or `notConnected`.
    public static func connect(
        _ address: String, options: Options = Options()
    ) async throws(SluiceError) -> SluiceClient {
        guard (1...4_096).contains(options.connections) else {
            throw SluiceError(.invalidArgument, "connections is \(options.connections); it must be from 1 to 4096")
        }
        let client = SluiceClient(address: try Address(address), options: options)
        // The connect timeout bounds each part of the dial, and the dial knows better what was late.
        _ = try await client.pool.link(until: nil)
        return client
    }

    // MARK: Calls

    /// What can be searched, sorted by name.
    /// - Parameter timeout: how long to wait for the answer; then the call fails with `deadlineExceeded`.
    public func collections(timeout: Duration? = nil) async throws(SluiceError) -> [CollectionDescription] {
        let frame = try await call(.collections, until: limit(timeout), answeredBy: .collectionList) { _ in }
        return try decoded { () throws(WireError) in
            try CollectionList(decoding: frame.payload).collections.map(CollectionDescription.init)
        }
    }

    /// The time for a message to the gateway and back.
    /// - Parameter timeout: how long to wait for the answer; then the call fails with `deadlineExceeded`.
    @discardableResult
    public func ping(timeout: Duration? = nil) async throws(SluiceError) -> Duration {
        let clock = ContinuousClock()
        let start = clock.now
        _ = try await call(.ping, until: limit(timeout), answeredBy: .pong) { _ in }
        return start.duration(to: clock.now)
    }

    /// Ends all connections. Calls in flight or waiting, and later ones, fail with `closed`.
    public func close() async {
        let streams = streams.close().flatMap { $0.close() }
        for ended in pool.close() + streams { try? await ended.get() }
    }

    /// A connection for a stream.
    func streamPool() -> LinkPool {
        var options = options
        options.connections = 1
        return LinkPool(address: address, options: options)
    }

    func decoded<Result>(_ body: () throws(WireError) -> Result) throws(SluiceError) -> Result {
        do throws(WireError) { return try body() } catch {
            throw SluiceError(.protocolViolation, "the gateway's answer is broken: \(error.message)")
        }
    }

    // MARK: One request

    func limit(_ time: Duration?, grace: Duration = .zero) -> TimeLimit {
        TimeLimit(time ?? options.patience, grace: grace, isCallers: time != nil)
    }

    func call(
        _ kind: FrameKind, until limit: TimeLimit, answeredBy expected: FrameKind,
        _ write: (inout ByteBuffer) -> Void
    ) async throws(SluiceError) -> Frame {
        var payload = ByteBufferAllocator().buffer(capacity: kind == .ping ? 0 : 2_048)
        write(&payload)
        guard let trace = tracing?.begin(kind) else { return try await answered(kind, payload, limit, expected) }
        trace.write(into: &payload)
        do throws(SluiceError) {
            let frame = try await answered(kind, payload, limit, expected)
            trace.end(nil)
            return frame
        } catch {
            trace.end(error)
            throw error
        }
    }

    private func answered(
        _ kind: FrameKind, _ payload: ByteBuffer, _ limit: TimeLimit, _ expected: FrameKind
    ) async throws(SluiceError) -> Frame {
        var answer = await exchange(kind, payload, limit)
        // Nothing was done for it yet: another connection may reach a gateway that stays.
        if case .failure(let failure) = answer, failure.isMovable { answer = await exchange(kind, payload, limit) }
        let frame: Frame
        switch answer {
        case .success(let answer): frame = answer
        case .failure(let failure): throw failure.final
        }
        guard frame.kind == expected else {
            throw SluiceError(.protocolViolation, "the gateway answered with a frame of another kind")
        }
        return frame
    }

    /// One attempt, on one connection.
    private func exchange(_ kind: FrameKind, _ payload: ByteBuffer, _ limit: TimeLimit) async -> Request.Answer {
        let link: Link
        do throws(SluiceError) { link = try await pool.link(until: limit) } catch {
            return .failure(RequestFailure(error))
        }
        let ticket = pool.number()
        let answer = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Request.Answer, Never>) in
                link.run { handler in
                    let request = Request(kind: kind, payload: payload, limit: limit) {
                        continuation.resume(returning: $0)
                    }
                    handler.send(request, ticket: ticket)
                }
                // A cancel that came before the line above found nothing to cancel: say it again.
                if Task.isCancelled { link.run { $0.cancel(ticket: ticket) } }
            }
        } onCancel: {
            link.run { $0.cancel(ticket: ticket) }
        }
        guard case .success(let frame) = answer, frame.kind == .error else { return answer }
        return .failure(refusal(frame, by: link))
    }

    func refusal(_ frame: Frame, by link: Link) -> RequestFailure {
        do throws(SluiceError) {
            let reply = try decoded { () throws(WireError) in try ErrorReply(decoding: frame.payload) }
            guard reply.code == .shuttingDown else { return RequestFailure(SluiceError(reply)) }
            pool.retire(link)
            return RequestFailure(SluiceError(reply), isMovable: true)
        } catch {
            return RequestFailure(error)
        }
    }
}
