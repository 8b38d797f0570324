internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor

/// How far a move is.
public struct ReshardProgress: Sendable {
    /// `prepare`, `copy`, `index`, `catch_up`, `compare`, `fence`, `switch` or `wait`.
    public var phase: String
    public var text: String
}

/// Does what the machine says. It has its shards' locks, so that nobody else does.
struct ReshardRun {
    typealias Report = @Sendable (ReshardProgress) -> Void

    let layout: ReshardLayout
    let statements: ReshardStatements
    let shape: ReshardShape
    let placement: HashPlacement
    let connector: ReshardConnector
    /// Where the record is kept.
    let desk: ReshardDesk
    /// The old shards, for reading.
    var sources: [ReshardSite]
    /// The new ones, for writing.
    var targets: [ReshardSite]
    /// Rows to take at a time.
    let batch: Int
    /// The old tables' own estimate.
    let estimatedRows: Int
    let report: Report
    var machine: ReshardMachine
    /// The record as the database has it; nil until it is saved once.
    private var saved: ReshardRecord?
    /// The old tables when this run began.
    private var shapes: [ReshardShape?] = []
    /// The next rows of an old shard, which are read while the last ones are written.
    private var ahead: (after: Int64?, source: Int, task: Task<Result<[[String?]], ReshardProblem>, Never>)?
    /// Since when writes are refused.
    private var fencedAt: Instant?
    /// For how long they were.
    private(set) var pause: Duration?

    init(
        _ layout: ReshardLayout, shape: ReshardShape, placement: HashPlacement, connector: ReshardConnector,
        desk: ReshardDesk, sources: [ReshardSite], targets: [ReshardSite], batch: Int, estimatedRows: Int,
        machine: ReshardMachine, report: @escaping Report
    ) {
        self.layout = layout
        statements = ReshardStatements(layout)
        self.shape = shape
        self.placement = placement
        self.connector = connector
        self.desk = desk
        self.sources = sources
        self.targets = targets
        self.batch = batch
        self.estimatedRows = estimatedRows
        self.machine = machine
        self.report = report
    }

    var now: Instant { Instant(nanoseconds: Reactor.now()) }

    /// Returns at the end, or when there is nothing more that it can do. If it throws, writes go on, unless the switch
    /// has begun; run again, it goes on from there.
    mutating func run() async throws(ReshardProblem) -> ReshardMachine.Outcome {
        do throws(ReshardProblem) {
            shapes = try await readShapes(.distantFuture)
            while true {
                if saved?.phase == .switchOver { try await finish() } else { try await save() }
                if case .end(let outcome) = machine.step { return outcome }
                guard saved?.phase != .switchOver else { continue }
                guard !Task.isCancelled else { throw Self.interrupted }
                try await take(machine.step)
            }
        } catch {
            var problem = error
            ahead?.task.cancel()
            // What is not saved has not been begun.
            if saved?.phase == .fence {
                do throws(ReshardProblem) { try await connector.lowerOldFence(layout) } catch {
                    problem.messages += error.messages
                }
            }
            if saved?.phase == .switchOver {
                problem.messages.append("the switch has begun, and writes wait for its end: run it again")
            }
            throw problem
        }
    }

    private func readShapes(_ limit: Instant) async throws(ReshardProblem) -> [ReshardShape?] {
        var shapes: [ReshardShape?] = []
        for site in sources {
            var shape = try await ReshardSurvey.shape(site.limited(to: limit), layout)
            // They come in any order.
            shape?.grants.sort { ($0.role ?? "", $0.privilege) < ($1.role ?? "", $1.privilege) }
            shapes.append(shape)
        }
        return shapes
    }

    /// The new tables were made, and get their indexes, as the old ones were.
    private func checkShapes(_ limit: Instant) async throws(ReshardProblem) {
        for (site, (before, now)) in zip(sources, zip(shapes, try await readShapes(limit))) where before != now {
            throw ReshardProblem(
                .wrong,
                "\(site.name): columns, constraints, indexes, options or grants of \(layout.old.shown) have been "
                    + "changed since the run began, and the new tables do not have that: run --abort, and begin again")
        }
    }

    private mutating func save() async throws(ReshardProblem) {
        guard machine.record != saved else { return }
        try await desk.save(layout, machine.record)
        saved = machine.record
    }

    /// From the switch on nobody who interrupts the process cuts it short: writers wait for its end.
    private mutating func finish() async throws(ReshardProblem) {
        let begun = self
        let (run, problem) = await Task { () async -> (ReshardRun, ReshardProblem?) in
            var run = begun
            do throws(ReshardProblem) {
                while run.saved?.phase == .switchOver {
                    try await run.take(run.machine.step)
                    try await run.save()
                }
                return (run, nil)
            } catch {
                return (run, error)
            }
        }.value
        self = run
        if let problem { throw problem }
    }

    private static let interrupted = ReshardProblem(.failed, "it was interrupted; run it again, and it goes on")

    private mutating func take(_ step: ReshardMachine.Step) async throws(ReshardProblem) {
        switch step {
        case .prepare:
            report(ReshardProgress(phase: "prepare", text: "makes the new tables and the change logs"))
            try await prepare()
            machine.prepared()
        case .copy(let source, let after): try await copy(source, after: after)
        case .buildIndexes:
            try await buildIndexes()
            machine.indexesBuilt()
        case .catchUp: try await catchUp()
        case .compare:
            report(ReshardProgress(phase: "compare", text: "compares all rows"))
            try await checkShapes(.distantFuture)
            machine.compared(try await differences())
        case .fence(let until): try await fence(until)
        case .drain(let until):
            try await underFence(until) { run async throws(ReshardProblem) in
                let round = try await run.round(until)
                run.machine.caughtUp(round, now: run.now)
            }
        case .compareTouched(let ids, let until):
            try await underFence(until) { run async throws(ReshardProblem) in
                try await run.checkShapes(until)
                let differences = try await run.differences(of: ids, until)
                run.machine.touchedCompared(differences, now: run.now)
            }
        case .liftOldFence:
            try await connector.lowerOldFence(layout)
            fencedAt = nil
            machine.oldFenceLifted()
        case .pause(let pause):
            report(ReshardProgress(phase: "catch_up", text: "lets writers go on for \(pause)"))
            try? await Task.sleep(for: pause)
            machine.paused()
        case .switchOver:
            report(ReshardProgress(phase: "switch", text: "epoch \(layout.epoch)"))
            try await switchOver()
            machine.switchedOver()
        case .awaitGateways(let time):
            report(ReshardProgress(phase: "switch", text: "gateways see it"))
            guard (try? await Task.sleep(for: time)) != nil else { throw Self.interrupted }
            machine.gatewaysHadTime()
        case .liftNewFence:
            try await liftNewFence()
            pause = fencedAt.map { $0.duration(to: now) }
            machine.newFenceLifted()
        case .end: break
        }
    }

    // MARK: Preparing

    private func prepare() async throws(ReshardProblem) {
        for site in sources + targets.filter({ target in !sources.contains { $0.shard == target.shard } }) {
            try connector.checkLeader(site)
            try await desk.makeHouse(on: site)
        }
        for site in targets {
            let name = layout.new.quoted
            guard try await site.value(ReshardStatements.isThere, [name]) != "t" else { continue }
            let roles = try await site.rows("SELECT rolname FROM pg_roles").compactMap { $0.first ?? nil }
            try await site.change(shape.makeNew(layout) + shape.makeGrants(layout, roles: Set(roles)))
        }
        for site in sources {
            let there = try await site.rows(ReshardStatements.triggers, [layout.old.quoted])
            try await site.changeLocking(statements.prepareOld(there: Set(there.compactMap { $0.first ?? nil })))
        }
    }

    private func buildIndexes() async throws(ReshardProblem) {
        let (layout, indexes) = (layout, shape.makeIndexes(layout))
        let report = report
        try await Self.all(targets) { site async throws(ReshardProblem) in
            for index in indexes {
                let name = "\(layout.new.quotedSchema).\(SearchShape.quoted(index.name))"
                guard try await site.value(ReshardStatements.isThere, [name]) != "t" else { continue }
                report(ReshardProgress(phase: "index", text: "\(site.shard): builds \(index.name)"))
                try await site.change([index.sql], within: ReshardSite.longTime)
            }
            // Searches are planned by what it finds.
            try await site.change(["ANALYZE \(layout.new.quoted)"], within: ReshardSite.longTime)
        }
    }

    // MARK: Copying

    private mutating func copy(_ source: Int, after: Int64?) async throws(ReshardProblem) {
        let rows: [[String?]]
        if let read = ahead, read.source == source, read.after == after {
            rows = try await read.task.value.get()
        } else {
            ahead?.task.cancel()
            rows = try await read(source, after: after).value.get()
        }
        ahead = nil
        var split = RowSplit(placement)
        var last: Int64?
        for row in rows { last = try add(row, to: &split, sources[source]) }
        let isAll = rows.count < batch
        if !isAll { ahead = (last, source, read(source, after: last)) }
        try await apply(split)
        machine.copied(rows.count, upTo: last, isAll: isAll)
        let copied = machine.record.sources.reduce(0) { $0 + $1.rows }
        report(
            ReshardProgress(
                phase: "copy",
                text: "\(copied) of about \(max(copied, estimatedRows)) rows, from \(sources[source].shard)"))
    }

    private func read(_ source: Int, after: Int64?) -> Task<Result<[[String?]], ReshardProblem>, Never> {
        let (sql, texts) = statements.nextRows(shape, after: after, limit: batch)
        let site = sources[source]
        return Task {
            do throws(ReshardProblem) {
                return .success(try await site.rows(sql, texts))
            } catch {
                return .failure(error)
            }
        }
    }

    func add(_ row: [String?], to split: inout RowSplit, _ site: ReshardSite) throws(ReshardProblem) -> Int64 {
        guard row.count == 2, let id = row[0].flatMap({ Int64($0) }), let record = row[1],
            split.add(id, record: record)
        else { throw ReshardProblem(.failed, "\(site.name): it sent a row that is none") }
        return id
    }

    /// Makes these ids' rows be as they are here, on all new shards at a time.
    func apply(_ split: RowSplit, _ limit: Instant = .distantFuture) async throws(ReshardProblem) {
        let (statements, copy, relation) = (statements, statements.copy(shape), layout.new.table)
        let (connector, parts) = (connector, split.parts)
        let concerned = zip(targets, parts).filter { !$0.1.ids.isEmpty }
        try await Self.all(concerned) { pair async throws(ReshardProblem) in
            let (site, part) = (pair.0.limited(to: limit), pair.1)
            try connector.checkLeader(site)
            try await site.run([
                (ReshardRun.begin, []), (ReshardStatements.pass, []),
                (statements.deleteNew, [ReshardRun.array(part.ids)]),
            ])
            if part.count > 0 { try await site.copy(copy, relation: relation, part.rows) }
            try await site.run([("COMMIT", [])])
        }
    }

    static let begin = "BEGIN ISOLATION LEVEL READ COMMITTED"

    /// As a parameter.
    static func array(_ ids: some Sequence<Int64>) -> String {
        "{\(ids.map(String.init).joined(separator: ","))}"
    }

    /// The body for each of them at a time; when one has failed the others are cancelled.
    static func all<Item: Sendable>(
        _ items: [Item], _ body: @escaping @Sendable (Item) async throws(ReshardProblem) -> Void
    ) async throws(ReshardProblem) {
        let problem = await withTaskGroup(of: ReshardProblem?.self) { group in
            for item in items {
                group.addTask {
                    do throws(ReshardProblem) {
                        try await body(item)
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            var first: ReshardProblem?
            for await problem in group {
                guard let problem, first == nil else { continue }
                first = problem
                group.cancelAll()
            }
            return first
        }
        if let problem { throw problem }
    }

    // MARK: The fence

    private mutating func fence(_ until: Instant) async throws(ReshardProblem) {
        report(ReshardProgress(phase: "fence", text: "writes wait"))
        fencedAt = now
        do throws(ReshardProblem) {
            for site in sources {
                try connector.checkLeader(site)
                try await site.limited(to: until).changeLocking(
                    [ReshardStatements.raiseFence(on: layout.old.quoted)], waiting: .seconds(1), tries: 2)
            }
        } catch {
            if error.kind == .locked { return machine.ranOutOfTime() }
            guard now >= until else { throw error }
            return try await giveUpFence()
        }
        machine.fenced(now: now)
    }

    /// A step that has only until then. What takes longer is given up with its connections.
    private mutating func underFence(
        _ until: Instant, _ body: (inout ReshardRun) async throws(ReshardProblem) -> Void
    ) async throws(ReshardProblem) {
        do throws(ReshardProblem) {
            try await body(&self)
        } catch {
            guard now >= until else { throw error }
            try await giveUpFence()
        }
    }

    private mutating func giveUpFence() async throws(ReshardProblem) {
        machine.ranOutOfTime()
        // Writers wait: what is slow comes after them.
        try await connector.lowerOldFence(layout)
        for site in sources + targets { await site.connection.close() }
        (sources, targets) = try await desk.connect(layout, connector, report)
    }

    // MARK: The switch

    private func switchOver() async throws(ReshardProblem) {
        if fencedAt == nil { try await fenceAgain() }
        let others = targets.filter { target in !sources.contains { $0.shard == target.shard } }
        for site in sources + others {
            try connector.checkLeader(site)
            try await site.run([(ReshardStatements.switchOver, [layout.collection, String(layout.epoch)])])
        }
    }

    /// Another process has fenced the old tables; a failover since then may have lost that.
    private func fenceAgain() async throws(ReshardProblem) {
        for site in sources {
            try await site.changeLocking([ReshardStatements.raiseFence(on: layout.old.quoted)])
        }
        // Where the new tables take writes already, what the log has still, or again, is older than those.
        for site in targets
        where try await site.value(ReshardStatements.isFenced, [layout.new.quoted]) != "t" { return }
        var round: ReshardMachine.Round
        repeat { round = try await self.round(.distantFuture) } while !round.ids.isEmpty || round.waiting > 0
    }

    private func liftNewFence() async throws(ReshardProblem) {
        let (side, table) = (layout.new, layout.new.quoted)
        // Another process may have come further than its record says.
        try await Self.all(targets) { site async throws(ReshardProblem) in try await site.lowerFence(on: side) }
        // A trigger that is off does no harm, but a load that replaces the table refuses to lose it.
        for site in targets {
            try? await site.changeLocking(
                [ReshardStatements.dropTrigger(ReshardStatements.fenceTrigger, on: table)],
                waiting: .milliseconds(100), tries: 5)
        }
    }
}
