internal import SluiceCore

public enum ReshardVerdict: String, Encodable, Sendable {
    case fine
    /// The new tables are not as the old ones.
    case differs
    /// A shard has no primary that can be reached, or two.
    case unreachable
    /// A database refused, or did not answer; or it was stopped in time.
    case failed
    /// The configuration, the options, or what is in the way.
    case wrong
}

/// What `sluice reshard plan` has to say; encoded, its keys are what docs/cli.md says.
public struct ReshardPlan: Encodable, Sendable {
    public struct Shard: Encodable, Sendable {
        public var shard: String
        /// By the server's own estimate.
        public var rows: Int
        public var bytes: Int
    }

    public var verdict: ReshardVerdict
    public var collection: String
    public var oldTable = ""
    public var newTable = ""
    /// Of the new layout.
    public var epoch = 0
    public var old: [Shard] = []
    public var new: [Shard] = []
    /// What the indexes are called that are built on each new table.
    public var indexes: [String] = []
    /// The key that the collection needs for gateways to follow.
    public var next = ""
    /// The keys that it needs afterwards.
    public var afterwards: [String] = []
    /// What keeps it from being done.
    public var obstacles: [String] = []
    /// What is left to the operator.
    public var notes: [String] = []

    init(_ collection: String, _ problem: ReshardProblem) {
        self.collection = collection
        verdict = problem.verdict
        obstacles = problem.messages
    }

    init(_ layout: ReshardLayout, _ survey: ReshardSurvey, obstacles: [String]) {
        verdict = obstacles.isEmpty ? .fine : .wrong
        collection = layout.collection
        oldTable = layout.old.shown
        newTable = layout.new.shown
        epoch = layout.epoch
        old = zip(layout.old.shards, survey.old).map { shard, old in
            Shard(shard: shard, rows: old?.rows ?? 0, bytes: (old?.tableBytes ?? 0) + (old?.indexBytes ?? 0))
        }
        let count = max(1, layout.new.shards.count)
        new = layout.new.shards.map { Shard(shard: $0, rows: survey.rows / count, bytes: survey.bytes / count) }
        indexes = survey.old.first.flatMap(\.self)?.shape.makeIndexes(layout).map(\.name) ?? []
        next = layout.nextLine
        afterwards = layout.configLines
        self.obstacles = obstacles
        notes = survey.notes(layout)
    }

    /// All of it in plain words.
    public var text: [String] {
        guard !newTable.isEmpty else { return obstacles }
        var lines = [
            "\(collection): from \(oldTable) on \(old.map(\.shard).joined(separator: ", ")) "
                + "to \(newTable) on \(new.map(\.shard).joined(separator: ", ")), which is epoch \(epoch)"
        ]
        lines += old.map { "  \($0.shard) has about \($0.rows) rows, \(Self.size($0.bytes)) with indexes" }
        lines += new.map {
            "  \($0.shard) gets about \($0.rows) rows; keep \(Self.size($0.bytes)) of its disk free for them"
        }
        lines.append(
            "  the new tables get these indexes once they are full: "
                + (indexes.isEmpty ? "none but the key" : indexes.joined(separator: ", ")))
        lines.append("  each old table gets triggers that note what changes, and that refuse writes for the switch")
        lines.append("before `run`, in every gateway's configuration of \(collection):")
        lines.append("  \(next)")
        lines.append("after it, instead of `next` and the old keys:")
        lines += afterwards.map { "  \($0)" }
        lines += notes.map { "not moved: \($0)" }
        lines += obstacles.map { "in the way: \($0)" }
        return lines.map(\.withoutControls)
    }

    private static func size(_ bytes: Int) -> String {
        bytes < 10_240 * 1_048_576 ? "\(bytes / 1_048_576 + 1) MiB" : "\(bytes / 1_073_741_824 + 1) GiB"
    }
}

/// What came of `sluice reshard run` or `verify`; encoded, its keys are what docs/cli.md says.
public struct ReshardSummary: Encodable, Sendable {
    public struct Difference: Encodable, Sendable {
        /// The new shard that the rows belong to.
        public var shard: String
        /// Of the hash, from 0.
        public var range: Int
        public var oldRows: Int
        public var newRows: Int
    }

    public var verdict: ReshardVerdict
    public var collection: String
    public var messages: [String]
    public var rows: Int?
    /// For how long writes were refused.
    public var pauseMs: Double?
    public var ranges = HashCell.ranges
    public var differences: [Difference] = []

    init(_ collection: String, _ verdict: ReshardVerdict, _ messages: [String]) {
        self.verdict = verdict
        self.collection = collection
        self.messages = messages.map(\.withoutControls)
    }

    init(_ collection: String, _ problem: ReshardProblem) {
        self.init(collection, problem.verdict, problem.messages)
    }

    init(_ result: ReshardResult) {
        let layout = result.layout
        switch result.outcome {
        case .switched:
            self.init(
                layout.collection, .fine,
                [
                    "\(layout.collection): \(layout.new.shown) is in force, epoch \(layout.epoch); "
                        + "give the collection \(layout.configLines.joined(separator: ", ")) and no `next`; "
                        + "then `sluice reshard run --drop-old` drops \(layout.old.shown)"
                ])
        case .stopped(.differs(let differences)):
            self.init(
                layout.collection, .differs,
                ["\(layout.collection): nothing is switched: the new tables are not as the old ones"])
            add(differences, layout)
        case .stopped(.writesAreFaster(let waiting)):
            self.init(
                layout.collection, .failed,
                [
                    "\(layout.collection): nothing is switched: changes come faster than they are taken over, "
                        + "\(waiting) wait; run it again when less is written"
                ])
        case .stopped(.pauseTooShort(let fences)):
            self.init(
                layout.collection, .failed,
                [
                    "\(layout.collection): nothing is switched: writes were paused \(fences) times, and the last "
                        + "changes could not be taken over in the time; give it a longer --max-pause, write less "
                        + "meanwhile, or end transactions that keep locks on \(layout.old.shown)"
                ])
        case .stopped(.changesTooMuch):
            self.init(
                layout.collection, .failed,
                [
                    "\(layout.collection): nothing is switched: too many rows change while they are compared; "
                        + "run it again when less is written"
                ])
        }
        rows = result.rows
        pauseMs = result.pause.map { Double($0.microseconds) / 1_000 }
    }

    init(_ state: ReshardState, _ found: [RangeDifference]) {
        let layout = state.layout
        let new = "\(layout.new.shown) on \(layout.new.shards.joined(separator: ", "))"
        if found.isEmpty {
            self.init(
                layout.collection, .fine,
                ["\(layout.collection): \(new) has the rows of \(layout.old.shown): all counts and checksums are equal"]
            )
        } else {
            self.init(layout.collection, .differs, ["\(layout.collection): \(new) is not as \(layout.old.shown)"])
        }
        if state.record.phase == .done {
            messages.append("the switch is done: what was written since then is in the new tables only")
        }
        add(found, layout)
    }

    private mutating func add(_ found: [RangeDifference], _ layout: ReshardLayout) {
        differences = found.map { difference in
            let shard = difference.cell.shard
            return Difference(
                shard: layout.new.shards.indices.contains(shard) ? layout.new.shards[shard] : String(shard),
                range: difference.cell.range, oldRows: difference.old.count, newRows: difference.new.count)
        }
        messages += differences.map { difference in
            "\(difference.shard): range \(difference.range) of \(ranges): \(difference.oldRows) rows before, "
                + "\(difference.newRows) now"
                + (difference.oldRows == difference.newRows ? ", with other values" : "")
        }
    }
}

extension ReshardProblem {
    fileprivate var verdict: ReshardVerdict {
        switch kind {
        case .wrong: .wrong
        case .unreachable: .unreachable
        case .failed, .locked: .failed
        }
    }
}

extension GatewayMain {
    /// What moving a collection to other shards would take. Changes nothing.
    /// - Throws: `ReactorError` if the process gets no thread for it.
    public static func reshardPlan(_ request: ReshardRequest) async throws -> ReshardPlan {
        do {
            let unheard: ReshardRun.Report = { _ in }
            return try await Resharding.with(request, unheard) { resharding async throws(ReshardProblem) in
                let plan = try await resharding.plan()
                return ReshardPlan(plan.layout, plan.survey, obstacles: plan.obstacles)
            }
        } catch let problem as ReshardProblem {
            return ReshardPlan(request.collection, problem)
        }
    }

    /// Moves a collection, or goes on with that. Cancelled, it lets writes go on first.
    public static func reshardRun(
        _ request: ReshardRequest, progress: @escaping @Sendable (ReshardProgress) -> Void
    ) async throws -> ReshardSummary {
        var limits = ReshardMachine.Limits()
        (limits.maxPause, limits.gatewayTime) = (request.maxPause, request.gatewayTime)
        return try await summary(request, progress) { [limits] resharding async throws(ReshardProblem) in
            ReshardSummary(try await resharding.run(limits))
        }
    }

    /// Undoes a move that has not come to its switch.
    public static func reshardAbort(
        _ request: ReshardRequest, progress: @escaping @Sendable (ReshardProgress) -> Void
    ) async throws -> ReshardSummary {
        try await summary(request, progress) { resharding async throws(ReshardProblem) in
            let layout = try await resharding.abort()
            return ReshardSummary(
                layout.collection, .fine,
                [
                    "\(layout.collection): all is as it was before: \(layout.new.shown) and the change logs are gone; "
                        + "take `next` out of the gateways' configuration"
                ])
        }
    }

    /// Drops the old tables of a move that is done.
    public static func reshardDropOld(
        _ request: ReshardRequest, progress: @escaping @Sendable (ReshardProgress) -> Void
    ) async throws -> ReshardSummary {
        try await summary(request, progress) { resharding async throws(ReshardProblem) in
            let layout = try await resharding.dropOld()
            return ReshardSummary(layout.collection, .fine, ["\(layout.collection): \(layout.old.shown) is dropped"])
        }
    }

    /// Compares the new tables with the old ones.
    public static func reshardVerify(
        _ request: ReshardRequest, progress: @escaping @Sendable (ReshardProgress) -> Void
    ) async throws -> ReshardSummary {
        try await summary(request, progress) { resharding async throws(ReshardProblem) in
            let found = try await resharding.verify()
            return ReshardSummary(found.state, found.differences)
        }
    }

    private static func summary(
        _ request: ReshardRequest, _ progress: @escaping @Sendable (ReshardProgress) -> Void,
        _ body: (Resharding) async throws(ReshardProblem) -> ReshardSummary
    ) async throws -> ReshardSummary {
        do {
            return try await Resharding.with(request, progress, body)
        } catch let problem as ReshardProblem {
            return ReshardSummary(request.collection, problem)
        }
    }
}
