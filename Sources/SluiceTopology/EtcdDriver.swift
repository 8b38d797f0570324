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
        /// Revisions of before mean nothing any more.
        case setBack
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
    let session: EtcdSession

    private static let mostWaiting = 256
    private static let mostLineBytes = EtcdAnswer.mostBytes

    func run() async {
        // Over all endpoints: what one of them had, the others have.
        var view = EtcdView()
        var turn = Int.random(in: 0..<max(1, endpoints.count))
        while !Task.isCancelled, !endpoints.isEmpty {
            let began = watch.now()
            let place = turn % endpoints.count
            switch await follow(endpoints[place], HTTPEndpoint.name(place), &view) {
            case .cancelled: return
            case .setBack: continue
            case .failed(let reason):
                watch.take([], silences: [.init(HTTPEndpoint.name(place), reason)], asked: watch.now())
                turn = (turn + 1) % endpoints.count
            }
            // The next endpoint at once, unless this one was asked just now.
            guard await watch.pause(since: began) else { return }
        }
    }

    /// As long as an endpoint answers.
    private func follow(_ endpoint: HTTPEndpoint, _ name: String, _ view: inout EtcdView) async -> End {
        var asked = watch.now()
        do throws(UnreadableAnswer) { view.replace(try await range(endpoint), now: asked) } catch {
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
                    let isSetBack: Bool
                    do throws(UnreadableAnswer) {
                        isSetBack = view.replace(try await range(endpoint), now: began)
                    } catch {
                        return .failed(error.description)
                    }
                    asked = began
                    say(view, name, asked)
                    if isSetBack { return .setBack }
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
        let answer = try await session.ask(endpoint, "/v3/kv/range", ByteBuffer(string: "{\(keys)}"))
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
            do { try await watchOnce(endpoint, from: known == .max ? known : known + 1, inputs) } catch {
                // Why it broke, the next reading finds out, if it matters.
                inputs.yield(.read)
            }
            let isSteady = began.duration(to: watch.now()) > .seconds(5)
            pause = isSteady ? Self.shortestPause : min(pause * 2, .seconds(1))
        } while (try? await Task.sleep(for: pause)) != nil
    }

    /// As long as the watch says anything: etcd may send a sign of life now and then, and a connection that is dead
    /// sends nothing.
    private func watchOnce(
        _ endpoint: HTTPEndpoint, from revision: Int64, _ inputs: AsyncStream<Input>.Continuation
    ) async throws {
        let request = "{\"create_request\":{\(keys),\"start_revision\":\"\(revision)\",\"progress_notify\":true}}"
        try await watch.httpCall(to: endpoint).lines(
            .POST, "/v3/watch", EtcdSession.headers(try await session.token(endpoint)),
            body: ByteBuffer(string: request), mostLineBytes: Self.mostLineBytes,
            idle: TimeAmount(watch.settings.watchIdle)
        ) {
            Self.pass($0, of: prefix, to: inputs)
        }
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

    private var keys: String {
        "\"key\":\"\(EtcdAnswer.base64(prefix))\",\"range_end\":\"\(EtcdAnswer.base64(EtcdAnswer.end(of: prefix)))\""
    }
}
