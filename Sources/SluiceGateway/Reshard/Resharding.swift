internal import Logging
internal import SluiceCore
internal import SluicePostgres
internal import SluiceReactor

/// What `sluice reshard` does, on connections that it opens and closes.
struct Resharding: Sendable {
    let config: GatewayConfig
    let request: ReshardRequest
    let connector: ReshardConnector
    let report: ReshardRun.Report

    /// Runs the body with what the configuration says, and connections to its shards at hand.
    /// - Throws: `ReactorError` if the process gets no thread for it; `ReshardProblem`.
    static func with<Value: Sendable>(
        _ request: ReshardRequest, _ report: @escaping ReshardRun.Report,
        _ body: (Resharding) async throws(ReshardProblem) -> Value
    ) async throws -> Value {
        let config: GatewayConfig
        do throws(ConfigErrors) {
            config = try GatewayConfig.load(path: request.configPath, environment: request.environment)
        } catch {
            throw ReshardProblem(.wrong, all: error.lines)
        }
        // It follows the sources until the last shard has been changed.
        let logger = Logger(label: "sluice") { _ in SwiftLogNoOpLogHandler() }
        let keeper = TopologyKeeper(config, keepsState: false, logger: logger)
        defer { keeper.stop() }
        await keeper.awaitFirst(within: config.pool.connectTimeout)
        let serving = config.serving(keeper.places)
        let finder = PrimaryFinder(config: serving, dialler: try Dialler(serving), fences: keeper.fences(of: config))
        let resharding = Resharding(
            config: serving, request: request, connector: ReshardConnector(config: serving, finder: finder),
            report: report)
        let result: Result<Value, ReshardProblem>
        do throws(ReshardProblem) {
            result = .success(try await body(resharding))
        } catch {
            result = .failure(error)
        }
        await finder.dialler.end()
        return try result.get()
    }

    private var collection: GatewayConfig.Collection {
        get throws(ReshardProblem) {
            guard let found = config.collections.first(where: { $0.name == request.collection }) else {
                throw ReshardProblem(
                    .wrong,
                    "there is no collection \"\(request.collection.withoutControls)\""
                        + Suggestion.text(for: request.collection, among: config.collections.map(\.name)))
            }
            return found
        }
    }

    // MARK: plan

    func plan() async throws(ReshardProblem) -> (layout: ReshardLayout, survey: ReshardSurvey, obstacles: [String]) {
        let layout = try ReshardLayout(request, collection, config)
        let sites = try await connector.primaries(of: layout.shards)
        let survey = try await ReshardSurvey.look(at: sites, layout)
        return (layout, survey, try await epochProblem(layout, sites) + survey.obstacles(layout))
    }

    /// The databases may be further than the configuration.
    private func epochProblem(
        _ layout: ReshardLayout, _ sites: [ReshardSite]
    ) async throws(ReshardProblem) -> [String] {
        for site in sites {
            guard let epoch = try await site.epoch(of: layout.collection), epoch >= layout.epoch else { continue }
            return [
                "\(site.name): epoch \(epoch) of \(layout.collection) is in force, and the configuration has "
                    + "\(layout.epoch - 1): give the collection the table, the shards and the epoch of that layout"
            ]
        }
        return []
    }

    // MARK: run

    /// Begins a move, or goes on with one.
    func run(_ limits: ReshardMachine.Limits) async throws(ReshardProblem) -> ReshardResult {
        let layout = try ReshardLayout(request, collection, config)
        guard let home = layout.old.shards.first else { throw ReshardProblem(.wrong, "the collection has no shards") }
        let desk = try await ReshardDesk(try await connector.primary(of: home).get(), collection: layout.collection)
        let kept = try await ReshardDesk.find(layout.collection, at: [desk.site])
        var record: ReshardRecord
        if let state = kept?.state {
            guard state.layout == layout else {
                let way =
                    "\(state.layout.old.shown) to \(state.layout.new.shown) on "
                    + state.layout.new.shards.joined(separator: ", ")
                throw ReshardProblem(
                    .wrong,
                    state.record.phase == .done
                        ? "the old tables of the last move, \(way), are there still: run --drop-old first"
                        : "another move, \(way), has been begun: run that one, or --abort first")
            }
            record = state.record
        } else {
            record = ReshardRecord(sources: layout.old.shards.count)
        }
        guard record.phase != .done else { return ReshardResult(layout, record, outcome: .switched) }
        // Writers first: no other shard is waited for.
        if record.phase == .fence, await !connector.hasSwitched(layout) { try await connector.lowerOldFence(layout) }
        let sites = try await connector.primaries(of: layout.shards)
        let survey = try await ReshardSurvey.look(at: sites, layout)
        if record.phase == .prepare {
            let obstacles = try await epochProblem(layout, sites) + survey.obstacles(layout)
            guard obstacles.isEmpty else { throw ReshardProblem(.wrong, all: obstacles) }
            try await desk.makeOwnHouse()
        }
        guard let shape = survey.old.first.flatMap(\.self)?.shape,
            let placement = HashPlacement(shardCount: layout.new.shards.count)
        else { throw ReshardProblem(.wrong, "there is no table \(layout.old.shown)") }
        for site in sites { await site.connection.close() }
        let (sources, targets) = try await desk.connect(layout, connector, report)
        if record.phase != .prepare {
            try await checkTriggers(sources, layout)
            if try await ReshardConnector.hasSwitched(layout, sources + targets) {
                record.phase = .switchOver
            } else if record.phase != .switchOver {
                // One that the record does not know of.
                for site in sources where try await site.value(ReshardStatements.isFenced, [layout.old.quoted]) == "t" {
                    try await site.lowerFence(on: layout.old)
                }
            }
        }
        var run = ReshardRun(
            layout, shape: shape, placement: placement, connector: connector, desk: desk, sources: sources,
            targets: targets, batch: survey.batch(most: request.batch), estimatedRows: survey.rows,
            machine: ReshardMachine(record, limits: limits), report: report)
        let outcome = try await run.run()
        return ReshardResult(layout, run.machine.record, outcome: outcome, pause: run.pause)
    }

    /// A table that was replaced meanwhile has none, and its changes are not known.
    private func checkTriggers(_ sites: [ReshardSite], _ layout: ReshardLayout) async throws(ReshardProblem) {
        for site in sites {
            let there = try await site.rows(ReshardStatements.triggers, [layout.old.quoted])
            guard there.count == 3 else {
                throw ReshardProblem(
                    .wrong,
                    "\(site.name): the triggers of \(layout.old.shown) are gone, so that not all changes are "
                        + "known: run --abort, and begin again")
            }
        }
    }

    // MARK: Afterwards

    /// What is known of the collection's move, with its lock.
    private func desk() async throws(ReshardProblem) -> (desk: ReshardDesk, state: ReshardState) {
        let site: ReshardSite
        if let home = try await home() {
            site = home
        } else {
            let sites = try await connector.primaries(of: config.shards.map(\.name))
            guard let found = try await ReshardDesk.find(request.collection, at: sites) else {
                throw ReshardProblem(.wrong, "no move of \"\(request.collection.withoutControls)\" has been begun")
            }
            site = found.site
        }
        let desk = try await ReshardDesk(site, collection: request.collection)
        // What another process has done until it gave the lock back.
        guard let state = try await ReshardDesk.find(request.collection, at: [desk.site])?.state else {
            throw ReshardProblem(.wrong, "the move of \(request.collection) has just been ended by somebody else")
        }
        return (desk, state)
    }

    /// The first old shard, if it has the record of a move from the configuration's own layout: no other can have a
    /// later one, and needs to be asked.
    private func home() async throws(ReshardProblem) -> ReshardSite? {
        guard let collection = config.collections.first(where: { $0.name == request.collection }),
            let shard = collection.shards.first
        else { return nil }
        let site = try await connector.primary(of: shard).get()
        let state = try await ReshardDesk.find(collection.name, at: [site])?.state
        if let state, state.layout.epoch == collection.epoch + 1, state.layout.old.shards == collection.shards {
            return site
        }
        await site.connection.close()
        return nil
    }

    /// Undoes all of a move that has not come to its switch.
    func abort() async throws(ReshardProblem) -> ReshardLayout {
        let (desk, state) = try await desk()
        let layout = state.layout
        guard state.record.canBeAborted else {
            throw ReshardProblem(
                .wrong,
                state.record.phase == .done
                    ? "the switch is done: gateways use \(layout.new.shown)"
                    : "the switch has begun, and there is no way back: run it again, and it goes on")
        }
        let statements = ReshardStatements(layout)
        let hasSwitched = ReshardProblem(
            .wrong,
            "the switch has begun, which the record does not know, as after a failover: gateways may use "
                + "\(layout.new.shown), and there is no way back: run it again, and it goes on")
        guard await !connector.hasSwitched(layout) else { throw hasSwitched }
        // Writers first: no other shard is waited for.
        try await connector.lowerOldFence(layout)
        let (sources, targets) = try await desk.connect(layout, connector, report)
        guard try await !ReshardConnector.hasSwitched(layout, sources + targets) else { throw hasSwitched }
        for site in sources where try await site.value(ReshardStatements.isThere, [layout.old.quoted]) == "t" {
            try await site.changeLocking(
                [ReshardStatements.logTrigger, ReshardStatements.truncateTrigger, ReshardStatements.fenceTrigger].map {
                    ReshardStatements.dropTrigger($0, on: layout.old.quoted)
                } + statements.dropLog, waiting: .milliseconds(500), tries: 30)
        }
        for site in targets {
            let mark = "SELECT obj_description(to_regclass($1), 'pg_class')"
            guard try await site.value(mark, [layout.new.quoted]) == layout.mark else { continue }
            try await site.changeLocking(["DROP TABLE \(layout.new.quoted)"])
        }
        try await desk.forget(layout.collection)
        return layout
    }

    /// Drops the old tables after the switch.
    func dropOld() async throws(ReshardProblem) -> ReshardLayout {
        let (desk, state) = try await desk()
        let layout = state.layout
        guard state.record.phase == .done else {
            throw ReshardProblem(.wrong, "the move is not at its end: \(layout.old.shown) is still needed")
        }
        if let collection = config.collections.first(where: { $0.name == layout.collection }) {
            guard (collection.schema, collection.table) != (layout.old.schema, layout.old.table) else {
                throw ReshardProblem(
                    .wrong,
                    "the configuration's collection is still the old layout: give it "
                        + layout.configLines.joined(separator: ", ") + "; without \(layout.old.shown) gateways cannot "
                        + "start with it as it is")
            }
        }
        let (sources, _) = try await desk.connect(layout, connector, report)
        for site in sources {
            try await site.changeLocking(
                ["DROP TABLE IF EXISTS \(layout.old.quoted)"] + ReshardStatements(layout).dropLog)
        }
        try await desk.forget(layout.collection)
        return layout
    }

    // MARK: verify

    func verify() async throws(ReshardProblem) -> (state: ReshardState, differences: [RangeDifference]) {
        let (desk, state) = try await desk()
        let layout = state.layout
        switch state.record.phase {
        case .prepare, .copy:
            throw ReshardProblem(.wrong, "not all rows are copied yet: there is nothing to compare")
        case .index, .catchUp, .fence, .switchOver, .done: break
        }
        let (sources, targets) = try await desk.connect(layout, connector, report)
        guard let first = sources.first, let shape = try await ReshardSurvey.shape(first, layout),
            let placement = HashPlacement(shardCount: layout.new.shards.count)
        else { throw ReshardProblem(.wrong, "there is no table \(layout.old.shown) any more") }
        let run = ReshardRun(
            layout, shape: shape, placement: placement, connector: connector, desk: desk, sources: sources,
            targets: targets, batch: 1, estimatedRows: 0, machine: ReshardMachine(state.record), report: report)
        return (state, try await run.differences())
    }
}

/// What came of `run`.
struct ReshardResult: Sendable {
    var layout: ReshardLayout
    var rows: Int
    var outcome: ReshardMachine.Outcome
    var pause: Duration?

    init(
        _ layout: ReshardLayout, _ record: ReshardRecord, outcome: ReshardMachine.Outcome, pause: Duration? = nil
    ) {
        self.layout = layout
        self.outcome = outcome
        self.pause = pause
        rows = record.sources.reduce(0) { $0 + $1.rows }
    }
}
