internal import Logging
internal import NIOCore
internal import SluiceCore
internal import SluiceHTTP

extension ShardWatch {
    /// Follows the source until the task is cancelled.
    package func run() async {
        switch settings.source {
        case .patroni(let endpoints): await PatroniDriver(watch: self, endpoints: endpoints).run()
        case .etcd(let endpoints, let prefix):
            let session = EtcdSession(watch: self, settings.credentials)
            await EtcdDriver(watch: self, endpoints: endpoints, prefix: prefix, session: session).run()
        case .dns(let name, let port): await DNSDriver(watch: self, look: .addresses(name, port: port)).run()
        case .srv(let name): await DNSDriver(watch: self, look: .services(name)).run()
        }
        release()
        await awaitKept()
    }

    /// Sleeps until the next round is due, a tenth earlier or later so that gateways do not ask in step; not for long
    /// while nobody may be written to. False if the task has been cancelled.
    func pause(since began: Instant) async -> Bool {
        var interval = settings.interval
        if settings.namesLeader, case .refused = verdict(now: now()) { interval = min(interval, .milliseconds(250)) }
        let jittered = interval * Double.random(in: 0.9...1.1)
        return (try? await Task.sleep(for: max(.milliseconds(20), jittered - began.duration(to: now())))) != nil
    }

    /// - Throws: in words, if its certificates cannot be used.
    func httpCall(to endpoint: HTTPEndpoint) throws(UnreadableAnswer) -> HTTPCall {
        let context = endpoint.isEncrypted ? try tls.context() : nil
        var call = HTTPCall(host: endpoint.host, port: endpoint.port, tls: context)
        // Who is waited for is told by `call`'s own deadline.
        call.timeout = max(call.timeout, .nanoseconds(settings.timeout.nanoseconds) + .seconds(1))
        return call
    }

    /// One call, with a deadline for all of it.
    /// - Parameter limit: nil for the settings' time.
    /// - Throws: in words.
    func call(
        _ endpoint: HTTPEndpoint, mostBytes: Int, within limit: Duration? = nil,
        _ ask: @escaping @Sendable (HTTPCall) async throws(HTTPCall.Failure) -> HTTPCall.Answer
    ) async throws(UnreadableAnswer) -> [UInt8] {
        let answer = try await answer(endpoint, mostBytes: mostBytes, within: limit, ask)
        guard answer.status == 200 else { throw UnreadableAnswer("status \(answer.status)", .status(answer.status)) }
        return Array(answer.body.readableBytesView)
    }

    /// The same with whatever status.
    func answer(
        _ endpoint: HTTPEndpoint, mostBytes: Int, within limit: Duration? = nil,
        _ ask: @escaping @Sendable (HTTPCall) async throws(HTTPCall.Failure) -> HTTPCall.Answer
    ) async throws(UnreadableAnswer) -> HTTPCall.Answer {
        var call = try httpCall(to: endpoint)
        call.mostBytes = mostBytes
        let timeout = limit ?? settings.timeout
        let answer = await withTaskGroup(of: Result<HTTPCall.Answer, HTTPCall.Failure>?.self) { [call] group in
            group.addTask {
                do throws(HTTPCall.Failure) { return .success(try await ask(call)) } catch { return .failure(error) }
            }
            group.addTask {
                try? await Task.sleep(for: timeout)
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        switch answer {
        case .success(let answer): return answer
        case .failure(let failure):
            // Complaints are shown to whoever may see the state, which has no addresses.
            logger.debug("\(String(failure.description.prefix(300)).withoutControls)")
            guard failure.description.contains("cannot be reached") else {
                throw UnreadableAnswer("gave no whole answer")
            }
            throw UnreadableAnswer("cannot be reached", .unreachable)
        case nil: throw UnreadableAnswer("no answer within \(timeout)", .late)
        }
    }
}
