import ArgumentParser
import Foundation
import SluiceBench
import SluiceClient
import SluiceGateway
import SluiceTools
import UnixSignals

struct BenchRun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract:
            "Load a gateway, or the replicas behind it, and report: in a closed loop, at a rate, or at rising rates.")

    @OptionGroup var gateway: GatewayOption
    @OptionGroup var pace: PaceOptions
    @OptionGroup var ask: AskOptions
    @OptionGroup var faults: FaultOptions
    @OptionGroup var results: ResultOptions

    @Flag(help: "Ask the replicas of --config themselves, without a gateway.")
    var direct = false

    @Option(help: "The gateway's configuration, for --direct.")
    var config: String?

    func validate() throws {
        guard direct == (config != nil) else { throw ValidationError("--direct and --config go together") }
        guard !direct || gateway.gateway == GatewayOption.standard else {
            throw ValidationError("give --gateway or --direct, not both")
        }
        let requests = try ask.requests()
        guard !direct || !requests.has(.ping) else {
            throw ValidationError("ping only goes through a gateway, not with --direct")
        }
        guard faults.fault == nil || faults.from < pace.seconds else {
            throw ValidationError("--fault-at must be below --seconds")
        }
        guard !ask.recall || pace.sweep == nil else { throw ValidationError("give --recall or --sweep, not both") }
    }

    func run() async throws {
        DescriptorLimit.raise()
        let interruption = Interruption()
        // Ctrl-C ends the measurement, not the command: what was measured so far is reported, and all is undone.
        let interrupt = Task {
            for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup) { interruption.end() }
        }
        defer { interrupt.cancel() }
        if direct {
            let target = try await directTarget()
            do { try await measure(target, interruption) } catch {
                await target.close()
                throw error
            }
            await target.close()
        } else {
            try await withClient(gateway, connections: connections) { client in
                // Calls take the connections in turn: each is made before the clock runs.
                for _ in 0..<connections { try await client.ping() }
                try await measure(GatewayTarget(client), interruption)
            }
        }
    }

    /// Without a gateway as many as may be in flight, unless it is said otherwise: nobody waits for one.
    private var connections: Int { pace.connections ?? (direct ? min(pace.concurrency, 64) : 1) }

    /// How many workers a closed loop has.
    private var workers: Int { direct ? pace.concurrency : pace.concurrency * connections }

    private func directTarget() async throws -> DirectTarget {
        let configuration: GatewayConfig
        do throws(ConfigErrors) {
            configuration = try GatewayConfig.load(
                path: config ?? "", environment: ProcessInfo.processInfo.environment)
        } catch {
            Output.complain(error.description)
            throw Exit.config
        }
        do throws(BenchFailure) {
            return try await DirectTarget(
                configuration, connections: connections, loadingInto: ask.loadCollection)
        } catch {
            Output.complain("sluice: \(error)")
            throw error.isUnreached ? Exit.unreachable : Exit.config
        }
    }

    private func measure(_ target: any BenchTarget, _ interruption: Interruption) async throws {
        let outcome: BenchSession.Outcome
        try await checkFault()
        var versions = await target.versions().merging(["sluice": Version.withCommit]) { $1 }
        let (started, machine) = (Date.now, SluiceBench.Measurement.Machine.current())
        let meter = ProgressMeter(total: nil)
        do {
            let workload = try await workload(target)
            let session = try BenchSession(
                plan(), workload, on: target, interruption: interruption, fault: injection()
            ) { status in meter.show { status.line } }
            outcome = try await session.run()
        } catch let failure as BenchFailure {
            meter.end()
            Output.complain("sluice: \(failure)")
            throw failure.isUnreached ? Exit.unreachable : Exit.software
        }
        meter.end()
        // A gateway knows those of servers that it has had a connection to, which may have been made meanwhile.
        versions.merge(await target.versions()) { $1 }
        var settings = try self.settings()
        settings["data"] = await data(of: target)
        for warning in outcome.warnings { Output.complain("sluice: \(warning)") }
        let measurement = SluiceBench.Measurement(
            started: started.formatted(.iso8601), command: BenchSummary.command(), machine: machine,
            versions: versions, settings: settings, runs: outcome.runs, knee: outcome.knee,
            recall: outcome.recall)
        try BenchSummary(measurement: measurement, outcome: outcome, flat: flat(outcome)).deliver(results)
        if outcome.runs.reduce(0, { $0 + $1.answered }) == 0 { throw Exit.software }
    }

    // MARK: What is measured

    private func plan() throws -> BenchSession.Plan {
        var plan = BenchSession.Plan(mix: try ask.requests())
        plan.workers = workers
        plan.rate = pace.rate
        plan.spacing = pace.spacing
        plan.maxInFlight = pace.mostInFlight
        plan.sweep = try pace.rates()
        plan.knee = KneeRule(
            mostP99: pace.kneeP99.flatMap(DurationText.parse).map { Int(clamping: Output.microseconds($0)) })
        plan.repeats = pace.repeats
        plan.warmup = .seconds(pace.warmup)
        plan.seconds = .seconds(pace.seconds)
        if ask.recall { plan.recallWith = try ask.efSearches() }
        plan.recallQueries = ask.comparedQueries
        plan.seed = pace.seed ?? .random(in: .min ... .max)
        plan.keepsLoaded = ask.keep
        return plan
    }

    private func workload(_ target: any BenchTarget) async throws -> Workload {
        let requests = try ask.requests()
        var terms = ask.terms
        if !ask.recall { terms.efSearch = try ask.efSearches().first }
        guard requests.parts.contains(where: { $0.kind != .ping }) else { return Workload(subjects: [], terms: terms) }
        let known = try await target.collections()
        let together = known.filter { ask.collection.contains($0.name) }.map { "\($0.vectorType) \($0.dimensions)" }
        guard Set(together).count <= 1 || !(requests.has(.multi) || requests.has(.batch)) else {
            throw BenchFailure(
                "invalid_argument", "multi and batch send a vector to all collections, whose vectors are not alike")
        }
        var names = ask.collection
        var subjects: [Workload.Subject] = []
        let filters = try ask.parsedFilter().map { [$0] } ?? []
        var drawing = Drawing(from: target, seed: pace.seed ?? .random(in: .min ... .max))
        if let loaded = ask.loadCollection, !names.contains(loaded) { names.append(loaded) }
        for name in names {
            guard let collection = known.first(where: { $0.name == name }) else {
                throw BenchFailure("unknown_collection", "there is no collection \"\(name)\"")
            }
            let isAsked = ask.collection.contains(name)
            let wantsFilters = isAsked && requests.has(.filtered) && filters.isEmpty
            let column = wantsFilters ? Drawing.filterColumn(of: collection) : nil
            if wantsFilters, column == nil {
                throw BenchFailure("invalid_argument", "\"\(name)\" has no column to filter by; give --filter")
            }
            let getsRows = isAsked && requests.has(.get) && ask.ids == nil
            let wantsVectors = ask.vectorFile == nil && requests.parts.contains { $0.kind.hasVectors }
            let isDrawn = isAsked && (wantsVectors || getsRows || wantsFilters)
            let rows = isDrawn ? try await drawing.rows(of: collection, column: column?.name) : []
            let drawn = column.map { Drawing.filters(on: $0.name, rows) } ?? []
            if let column, drawn.isEmpty {
                throw BenchFailure(
                    "invalid_argument", "no row of \"\(name)\" has a \(column.name) to filter by; give --filter")
            }
            var vectors = try fileVectors(for: collection) ?? rows.compactMap(\.vector)
            if vectors.isEmpty { vectors = drawing.randomVectors(of: collection) }
            if getsRows, rows.isEmpty {
                throw BenchFailure("invalid_argument", "\"\(name)\" has no row to get")
            }
            subjects.append(Workload.Subject(name: name, vectors: vectors, ids: rows.map(\.id), filters: drawn))
        }
        let loading = ask.loadCollection.map { name in
            Workload.Loading(
                collection: name, rows: ask.rowsToLoad, firstID: ask.firstLoadedID,
                vectors: subjects.first { $0.name == name }?.vectors ?? [])
        }
        return Workload(
            subjects: subjects.filter { ask.collection.contains($0.name) }, terms: terms, filters: filters,
            loading: loading)
    }

    private func fileVectors(for collection: CollectionDescription) throws -> [SearchQuery.Vector]? {
        guard let file = ask.vectorFile else { return nil }
        do {
            let (vectors, rows) = try Drawing.vectors(in: file, for: collection)
            if vectors.count < rows {
                Output.complain("sluice: of the \(rows) vectors of \(file), only the first \(vectors.count) are asked")
            }
            return vectors
        } catch {
            Output.complain("sluice: \(error)")
            throw Exit.data
        }
    }

    /// A fault that cannot be done is told before anything is measured.
    private func checkFault() async throws {
        guard faults.fault != nil else { return }
        do {
            let running = try await FaultInjection.replicas(script: faults.script)
            guard faults.replica == "any" ? running.isEmpty : !running.contains(faults.replica) else { return }
            let which = faults.replica == "any" ? "no replica" : "no replica \(faults.replica)"
            Output.complain("sluice: \(which) of \(faults.script) runs, so none can be harmed")
        } catch {
            Output.complain("sluice: \(error)")
        }
        throw Exit.config
    }

    private func injection() -> (@Sendable () async -> FaultInjection?)? {
        guard let plan = faults.plan else { return nil }
        let (script, wanted) = (faults.script, faults.replica)
        return {
            var replica = wanted
            if wanted == "any" {
                do {
                    guard let one = try await FaultInjection.replicas(script: script).randomElement() else {
                        Output.complain("sluice: no replica of \(script) runs, so none is harmed")
                        return nil
                    }
                    replica = one
                } catch {
                    Output.complain("sluice: \(error)")
                    return nil
                }
            }
            return FaultInjection(plan, replica: replica, script: script) { Output.complain("sluice: \($0)") }
        }
    }

    // MARK: What is said of it

    /// What is behind the collections' names.
    private func data(of target: any BenchTarget) async -> String? {
        guard !ask.collection.isEmpty, let known = try? await target.collections() else { return nil }
        let words = known.filter { ask.collection.contains($0.name) }.map { collection in
            "\(collection.name): \(collection.dimensions) dimensions, \(collection.vectorType), \(collection.metric), "
                + "on \(collection.shards.joined(separator: ", "))"
        }
        return words.isEmpty ? nil : words.joined(separator: "; ")
    }

    private func settings() throws -> [String: String] {
        var settings = [
            "target": direct ? "direct" : "gateway", "mix": try ask.requests().description,
            "collections": ask.collection.joined(separator: ", "), "k": "\(ask.k)", "seconds": "\(pace.seconds)",
            "warmup": "\(pace.warmup)", "repeats": "\(pace.repeats)",
            "vectors": ask.vectorFile == nil ? "drawn from the collection" : "from a file",
        ]
        let efSearches = try ask.efSearches().map(String.init)
        if !efSearches.isEmpty { settings["ef_search"] = efSearches.joined(separator: ",") }
        settings["deadline"] = ask.deadline
        let requests = try ask.requests()
        if requests.has(.batch) { settings["batch"] = "\(ask.terms.batch)" }
        if requests.has(.get) { settings["get_ids"] = "\(ask.terms.getIDs)" }
        if requests.has(.load) { settings["load_rows"] = "\(ask.rowsToLoad)" }
        if requests.has(.filtered) { settings["filter"] = ask.filter == nil ? "values of rows" : "given" }
        if ask.recall { settings["recall_queries"] = "\(ask.comparedQueries)" }
        settings["knee_p99"] = pace.kneeP99
        settings["id_range"] = ask.idRange
        settings["sweep"] = pace.sweep
        settings["connections"] = "\(connections)" + (direct ? " to each shard" : "")
        if let rate = pace.rate { settings["rate"] = "\(rate)" }
        if pace.rate == nil, pace.sweep == nil {
            settings["in_flight"] = "\(workers)"
        } else {
            settings["arrivals"] = pace.spacing.rawValue
            settings["max_in_flight"] = "\(pace.mostInFlight)"
        }
        if let fault = faults.fault {
            settings["fault"] = "\(fault.rawValue) \(faults.replica) at \(faults.from) s for \(faults.lasts) s"
        }
        if !ask.hedges { settings["hedges"] = "off" }
        if let seed = pace.seed { settings["seed"] = "\(seed)" }
        return settings
    }

    private func flat(_ outcome: BenchSession.Outcome) -> BenchFlatReport? {
        guard let place = outcome.representative else { return nil }
        let run = outcome.runs[place]
        return BenchFlatReport(
            run, concurrency: pace.concurrency, connections: connections, collections: ask.collection,
            k: ask.k, ping: ask.ping)
    }
}
