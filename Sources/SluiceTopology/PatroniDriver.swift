internal import NIOCore
internal import NIOHTTP1
internal import SluiceCore
internal import SluiceHTTP

/// Asks all members' REST APIs in rounds.
struct PatroniDriver: Sendable {
    private enum Word: Sendable {
        case said(ShardTopology.Statement, place: Int)
        case silent(ShardTopology.Silence)
        /// The others have had their time.
        case over
    }

    let watch: ShardWatch
    let endpoints: [HTTPEndpoint]

    func run() async {
        // Of which cluster each endpoint's server is, as was said last: while it is down its agent may not say it.
        var clusters: [Int: UInt64] = [:]
        while !Task.isCancelled {
            let began = watch.now()
            let (statements, silences) = await round(&clusters)
            if Task.isCancelled { return }
            watch.take(statements, silences: silences, asked: began)
            guard await watch.pause(since: began) else { return }
        }
    }

    /// Ends when all have answered or run out of time. Sooner, as one that hangs would hold up what is known: half of
    /// the time after the first answer, or a quarter of it once more than half agree.
    private func round(
        _ clusters: inout [Int: UInt64]
    ) async -> ([ShardTopology.Statement], [ShardTopology.Silence]) {
        await withTaskGroup(of: Word.self) { group in
            for place in endpoints.indices {
                let cluster = clusters[place]
                group.addTask { await ask(place, cluster) }
            }
            var statements: [ShardTopology.Statement] = []
            var silences: [ShardTopology.Silence] = []
            func end(after grace: Duration) {
                group.addTask {
                    try? await Task.sleep(for: grace)
                    return .over
                }
            }
            var isEnding = false
            while statements.count + silences.count < endpoints.count, let word = await group.next() {
                switch word {
                case .said(let statement, let place):
                    clusters[place] = statement.report.systemIdentifier
                    if statements.isEmpty { end(after: watch.settings.timeout / 2) }
                    statements.append(statement)
                case .silent(let silence): silences.append(silence)
                case .over:
                    group.cancelAll()
                    let heard = Set(statements.map(\.witness) + silences.map(\.witness))
                    silences += endpoints.indices.map(HTTPEndpoint.name).filter { !heard.contains($0) }
                        .map { .init($0, "has not answered as soon as the others") }
                    return (statements, silences)
                }
                if !isEnding, watch.isSettled(statements, of: endpoints.count) {
                    isEnding = true
                    end(after: watch.settings.timeout / 4)
                }
            }
            group.cancelAll()
            return (statements, silences)
        }
    }

    /// - Parameter known: the cluster that its server was of when it said it last.
    private func ask(_ place: Int, _ known: UInt64?) async -> Word {
        let endpoint = endpoints[place]
        // Beside the others, and not for long: an agent whose server is down takes its time for this.
        async let status = try? get("/patroni", endpoint, within: watch.settings.timeout / 4)
        do throws(UnreadableAnswer) {
            let cluster = try await get("/cluster", endpoint)
            // Without it synchronous mode counts as on.
            let config =
                watch.settings.machine.requiresSynchronousStandby ? try? await get("/config", endpoint) : nil
            var report = try PatroniAnswer.report(cluster: cluster, config: config)
            report.systemIdentifier = await status.flatMap(PatroniAnswer.systemIdentifier) ?? known
            return .said(.init(HTTPEndpoint.name(place), report), place: place)
        } catch {
            return .silent(.init(HTTPEndpoint.name(place), error.description))
        }
    }

    func get(
        _ path: String, _ endpoint: HTTPEndpoint, within limit: Duration? = nil
    ) async throws(UnreadableAnswer) -> [UInt8] {
        try await watch.call(endpoint, mostBytes: PatroniAnswer.mostBytes, within: limit) {
            call throws(HTTPCall.Failure) in
            try await call.send(.GET, path)
        }
    }
}
