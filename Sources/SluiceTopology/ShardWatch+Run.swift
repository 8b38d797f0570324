internal import Logging
internal import NIOCore
internal import NIOSSL
internal import SluiceCore
internal import SluiceHTTP

extension ShardWatch {
    /// Follows the source until the task is cancelled.
    package func run() async {
        let tls: NIOSSLContext?
        do { tls = try settings.tls } catch {
            logger.error("the certificates of the topology source cannot be used: \(error)")
            take([], silences: [.init("tls", "its certificates cannot be used")], asked: now())
            return
        }
        switch settings.source {
        case .patroni(let endpoints): await PatroniDriver(watch: self, endpoints: endpoints, tls: tls).run()
        case .etcd(let endpoints, let prefix):
            await EtcdDriver(watch: self, endpoints: endpoints, prefix: prefix, tls: tls).run()
        case .dns(let name, let port): await DNSDriver(watch: self, look: .addresses(name, port: port)).run()
        case .srv(let name): await DNSDriver(watch: self, look: .services(name)).run()
        }
        release()
    }

    /// Sleeps until the next round is due, a tenth earlier or later so that gateways do not ask in step; not for long
    /// while nobody may be written to. False if the task has been cancelled.
    func pause(since began: Instant) async -> Bool {
        var interval = settings.interval
        if settings.namesLeader, case .refused = verdict(now: now()) { interval = min(interval, .milliseconds(250)) }
        let jittered = interval * Double.random(in: 0.9...1.1)
        return (try? await Task.sleep(for: max(.milliseconds(20), jittered - began.duration(to: now())))) != nil
    }

    /// One call, with a deadline for all of it.
    /// - Throws: in words.
    func call(
        _ endpoint: HTTPEndpoint, _ tls: NIOSSLContext?, mostBytes: Int,
        _ ask: @escaping @Sendable (HTTPCall) async throws(HTTPCall.Failure) -> HTTPCall.Answer
    ) async throws(UnreadableAnswer) -> [UInt8] {
        var call = HTTPCall(host: endpoint.host, port: endpoint.port, tls: endpoint.isEncrypted ? tls : nil)
        call.mostBytes = mostBytes
        let timeout = settings.timeout
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
        case .success(let answer):
            guard answer.status == 200 else { throw UnreadableAnswer("status \(answer.status)") }
            return Array(answer.body.readableBytesView)
        case .failure(let failure):
            // Complaints are shown to whoever may see the state, which has no addresses.
            logger.debug("\(String(failure.description.prefix(300)).withoutControls)")
            throw UnreadableAnswer(
                failure.description.contains("cannot be reached") ? "cannot be reached" : "gave no whole answer")
        case nil: throw UnreadableAnswer("no answer within \(timeout)")
        }
    }
}

extension TopologySettings {
    /// Nil if no endpoint is asked by TLS.
    fileprivate var tls: NIOSSLContext? {
        get throws {
            let endpoints: [HTTPEndpoint]
            switch source {
            case .patroni(let all), .etcd(let all, _): endpoints = all
            case .dns, .srv: return nil
            }
            guard endpoints.contains(where: \.isEncrypted) else { return nil }
            var configuration = TLSConfiguration.makeClientConfiguration()
            if let authority = certificates.authority { configuration.trustRoots = .file(authority) }
            if let certificate = certificates.certificate, let key = certificates.key {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate)
                    .map { .certificate($0) }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            }
            return try NIOSSLContext(configuration: configuration)
        }
    }
}
