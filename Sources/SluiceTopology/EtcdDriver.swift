internal import NIOCore
internal import NIOHTTP1
internal import SluiceCore
internal import SluiceHTTP
internal import Synchronization

/// Reads Patroni's keys from etcd, and watches them: a change arrives without being asked for. They are read again at
/// each interval: what is watched says nothing of its age, and the leader's lease counts from the last reading.
struct EtcdDriver: Sendable {
    private enum Input: Sendable {
        case events([EtcdAnswer.Event], revision: Int64)
        /// The keys are to be read anew.
        case read
        case unreadable(String)
    }

    private enum End {
        case failed(String)
        case cancelled
    }

    /// What the watch begins after when it has broken: the last change that is known.
    private final class Mark: Sendable {
        let revision: Atomic<Int64>

        init(_ revision: Int64) { self.revision = Atomic(revision) }
    }

    let watch: ShardWatch
    let endpoints: [HTTPEndpoint]
    let prefix: String

    private static let mostWaiting = 256
    private static let mostLineBytes = EtcdAnswer.mostBytes

    func run() async {
        var turn = Int.random(in: 0..<max(1, endpoints.count))
        while !Task.isCancelled, !endpoints.isEmpty {
            let began = watch.now()
            let place = turn % endpoints.count
            switch await follow(endpoints[place], HTTPEndpoint.name(place)) {
            case .cancelled: return
            case .failed(let reason):
                watch.take([], silences: [.init(HTTPEndpoint.name(place), reason)], asked: watch.now())
                turn = (turn + 1) % endpoints.count
            }
            // The next endpoint at once, unless this one was asked just now.
            guard await watch.pause(since: began) else { return }
        }
    }

    /// As long as an endpoint answers.
    private func follow(_ endpoint: HTTPEndpoint, _ name: String) async -> End {
        var view = EtcdView()
        var asked = watch.now()
        do throws(UnreadableAnswer) { view.replace(try await range(endpoint)) } catch {
            return .failed(error.description)
        }
        say(view, name, asked)
        let mark = Mark(view.revision)
        let inputs = AsyncStream.makeStream(of: Input.self, bufferingPolicy: .bufferingOldest(Self.mostWaiting))
        return await withTaskGroup(of: Void.self) { group in
            group.addTask { await tick(inputs.continuation) }
            group.addTask { await listen(endpoint, after: mark, inputs.continuation) }
            defer { group.cancelAll() }
            for await input in inputs.stream {
                switch input {
                case .unreadable(let reason): return .failed(reason)
                case .events(let events, let revision):
                    let leader = view.leader
                    view.apply(events, revision: revision)
                    say(view, name, asked)
                    // Another leader's lease begins with a reading.
                    if view.leader == leader { break }
                    fallthrough
                case .read:
                    let began = watch.now()
                    do throws(UnreadableAnswer) { view.replace(try await range(endpoint)) } catch {
                        return .failed(error.description)
                    }
                    asked = began
                    say(view, name, asked)
                }
                mark.revision.store(view.revision, ordering: .relaxed)
            }
            return .cancelled
        }
    }

    private func say(_ view: EtcdView, _ name: String, _ asked: Instant) {
        watch.take([.init(name, view.report)], silences: [], asked: asked)
    }

    private func tick(_ inputs: AsyncStream<Input>.Continuation) async {
        while await watch.pause(since: watch.now()) { inputs.yield(.read) }
    }

    // MARK: Questions

    func range(_ endpoint: HTTPEndpoint) async throws(UnreadableAnswer) -> EtcdAnswer.Range {
        let body = ByteBuffer(string: "{\(keys)}")
        let answer = try await watch.call(endpoint, mostBytes: EtcdAnswer.mostBytes) {
            call throws(HTTPCall.Failure) in
            try await call.send(.POST, "/v3/kv/range", Self.headers, body: body)
        }
        return try EtcdAnswer.range(answer, prefix: prefix)
    }

    /// Watches, and again after what is known by then when the watch breaks, until the task is cancelled.
    private func listen(
        _ endpoint: HTTPEndpoint, after mark: Mark, _ inputs: AsyncStream<Input>.Continuation
    ) async {
        var pause = Self.shortestPause
        repeat {
            let known = mark.revision.load(ordering: .relaxed)
            let began = watch.now()
            let body = ByteBuffer(
                string: "{\"create_request\":{\(keys),\"start_revision\":\"\(known == .max ? known : known + 1)\"}}")
            // Why it broke, the next reading finds out, if it matters.
            try? await watch.httpCall(to: endpoint).lines(
                .POST, "/v3/watch", Self.headers, body: body, mostLineBytes: Self.mostLineBytes
            ) {
                Self.pass($0, of: prefix, to: inputs)
            }
            let isSteady = began.duration(to: watch.now()) > .seconds(5)
            pause = isSteady ? Self.shortestPause : min(pause * 2, .seconds(1))
        } while (try? await Task.sleep(for: pause)) != nil
    }

    private static let shortestPause = Duration.milliseconds(50)

    /// - Returns: false to end the watch: after one that is not taken in time it begins again with it.
    private static func pass(
        _ line: [UInt8], of prefix: String, to inputs: AsyncStream<Input>.Continuation
    ) -> Bool {
        do throws(UnreadableAnswer) {
            switch try EtcdAnswer.watchLine(line, prefix: prefix) {
            case .events(let events, _) where events.isEmpty: return true
            case .events(let events, let revision):
                guard case .enqueued = inputs.yield(.events(events, revision: revision)) else { return false }
                return true
            case .compacted, .ended:
                inputs.yield(.read)
                return false
            }
        } catch {
            inputs.yield(.unreadable(error.description))
            return false
        }
    }

    private static var headers: HTTPHeaders { HTTPHeaders([("Content-Type", "application/json")]) }

    private var keys: String {
        "\"key\":\"\(EtcdAnswer.base64(prefix))\",\"range_end\":\"\(EtcdAnswer.base64(EtcdAnswer.end(of: prefix)))\""
    }
}
