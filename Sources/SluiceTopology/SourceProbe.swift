internal import Logging
package import SluiceCore

/// One look at each witness of a source by itself, with more patience than a gateway has: what `sluice doctor` asks.
package struct SourceProbe: Sendable {
    package struct Word: Hashable, Sendable {
        package var witness: String
        /// Until it answered, or was waited for no more.
        package var took: Duration
        package var answer: Result<ClusterReport, UnreadableAnswer>
        /// Of the cluster; what is not known is nil.
        package var systemIdentifier: UInt64?
        /// How long the leader's key lives without being renewed.
        package var timeToLive: Duration?
        package var isPaused: Bool?

        package init(
            _ witness: String, took: Duration, _ answer: Result<ClusterReport, UnreadableAnswer>,
            systemIdentifier: UInt64? = nil, timeToLive: Duration? = nil, isPaused: Bool? = nil
        ) {
            self.witness = witness
            self.took = took
            self.answer = answer
            self.systemIdentifier = systemIdentifier
            self.timeToLive = timeToLive
            self.isPaused = isPaused
        }

        /// Of the dynamic configuration.
        fileprivate mutating func note(configuration bytes: [UInt8]?) {
            guard let bytes, let configuration = try? JSONReader.read(bytes) else { return }
            timeToLive = configuration["ttl"]?.integer(UInt32.self).map { .seconds(Int64($0)) }
            isPaused = configuration["pause"]?.flag ?? false
        }
    }

    private let source: TopologySettings.Source
    /// Asks for the members, and for what is only good to know.
    private let patient: ShardWatch
    private let brisk: ShardWatch

    /// - Parameters:
    ///   - patience: for each answer.
    ///   - now: of a monotonic clock.
    package init(
        _ settings: TopologySettings, patience: Duration, names: @escaping ShardWatch.NameLookUp,
        now: @escaping @Sendable () -> Instant
    ) {
        func watch(_ timeout: Duration) -> ShardWatch {
            var settings = settings
            settings.timeout = timeout
            settings.stateFile = nil
            return ShardWatch(
                shard: "", settings, keepsState: false,
                logger: Logger(label: "sluice") { _ in SwiftLogNoOpLogHandler() }, names: names, now: now,
                onRound: { _ in })
        }
        source = settings.source
        patient = watch(patience)
        brisk = watch(settings.timeout)
    }

    /// All at a time; in the order of the configuration.
    package func ask() async -> [Word] {
        switch source {
        case .patroni(let endpoints): await each(endpoints) { await askPatroni($0, $1) }
        case .etcd(let endpoints, let prefix): await each(endpoints) { await askEtcd($0, $1, prefix) }
        case .dns(let name, let port): [await askDNS(.addresses(name, port: port))]
        case .srv(let name): [await askDNS(.services(name))]
        }
    }

    private func each(
        _ endpoints: [HTTPEndpoint], _ ask: @escaping @Sendable (HTTPEndpoint, String) async -> Word
    ) async -> [Word] {
        await withTaskGroup(of: (Int, Word).self) { group in
            for (place, endpoint) in endpoints.enumerated() {
                group.addTask { (place, await ask(endpoint, HTTPEndpoint.name(place))) }
            }
            let words = await group.reduce(into: [Int: Word]()) { $0[$1.0] = $1.1 }
            return endpoints.indices.compactMap { words[$0] }
        }
    }

    private func askPatroni(_ endpoint: HTTPEndpoint, _ name: String) async -> Word {
        let began = patient.now()
        let driver = PatroniDriver(watch: patient, endpoints: [endpoint])
        let answer: Result<ClusterReport, UnreadableAnswer>
        do throws(UnreadableAnswer) {
            answer = .success(try PatroniAnswer.report(cluster: try await driver.get("/cluster", endpoint)))
        } catch {
            answer = .failure(error)
        }
        var word = Word(name, took: began.duration(to: patient.now()), answer)
        guard case .success = answer else { return word }
        let further = PatroniDriver(watch: brisk, endpoints: [endpoint])
        let configuration = try? await further.get("/config", endpoint)
        word.note(configuration: configuration)
        if let bytes = try? await further.get("/patroni", endpoint) {
            word.systemIdentifier = PatroniAnswer.systemIdentifier(bytes)
        }
        return word
    }

    private func askEtcd(_ endpoint: HTTPEndpoint, _ name: String, _ prefix: String) async -> Word {
        let began = patient.now()
        let session = EtcdSession(watch: patient, patient.settings.credentials)
        let driver = EtcdDriver(watch: patient, endpoints: [endpoint], prefix: prefix, session: session)
        do throws(UnreadableAnswer) {
            var view = EtcdView()
            view.replace(try await driver.range(endpoint), now: began)
            var word = Word(name, took: began.duration(to: patient.now()), .success(view.report))
            word.note(configuration: view.values["config"])
            word.systemIdentifier = view.report.systemIdentifier
            return word
        } catch {
            return Word(name, took: began.duration(to: patient.now()), .failure(error))
        }
    }

    private func askDNS(_ look: DNSDriver.Look) async -> Word {
        let began = patient.now()
        let answer: Result<ClusterReport, UnreadableAnswer>
        do throws(UnreadableAnswer) {
            let members = try await DNSDriver(watch: patient, look: look).members()
            answer = .success(ClusterReport(members: members, leaders: []))
        } catch {
            answer = .failure(error)
        }
        return Word("dns", took: began.duration(to: patient.now()), answer)
    }
}
