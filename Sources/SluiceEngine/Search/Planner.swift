internal import SluiceCore

/// Checks a request against the catalogue and turns it into legs. Keeps the legs and settings it has made, so that
/// connections know them by identity.
struct Planner {
    /// What two statements on a collection must share to be the same.
    private struct Kind: Hashable {
        var collection: Int
        var question: SearchShape.Question
        var columns: [String]
        var limit: Int
        var filter: FilterShape?
    }

    private struct QuotaKey: Hashable {
        var k: Int
        var shards: Int
    }

    /// One client that varies its requests without end must not make all others prepare anew; the oldest goes first.
    private static let kindsKept = 4_096

    let topology: Topology
    let limits: PlanLimits
    var catalogue: Catalogue { topology.catalogue }
    private var kinds: RecentTable<Kind, [PlannedLeg]>
    private var settingShapes: [[String]: SettingShape] = [:]
    /// For the default probability.
    private var quotas: RecentTable<QuotaKey, Int>
    let noSettings = SearchSettings(shape: SettingShape([]), values: [])

    /// For what is compared with all rows that are left.
    let withoutIndex = SearchSettings(shape: SettingShape(["enable_indexscan"]), values: ["off"])

    init(_ topology: Topology, limits: PlanLimits) {
        self.topology = topology
        self.limits = limits
        kinds = RecentTable(capacity: Self.kindsKept)
        quotas = RecentTable(capacity: Self.kindsKept)
    }

    mutating func plan(_ search: Search) throws(SearchError) -> SearchPlan {
        try check(k: search.k)
        if !search.settings.isEmpty { try search.settings.checkRanges() }
        try checkNames(search)
        var stage = Stage()
        var parts: [PlannedPart] = []
        for collection in try collections(search) {
            let (legs, part) = try plan(search, collection, from: stage.legs.count)
            if stage.legs.isEmpty { stage.legs = legs } else { stage.legs += legs }
            stage.inputs.append(contentsOf: repeatElement(part.input, count: legs.count))
            parts.append(part)
        }
        let plan = SearchPlan(
            search: search, stage: stage, parts: parts, maxDistance: search.maxDistance ?? .infinity)
        try check(plan)
        return plan
    }

    /// One small request must not make everybody's databases, or this gateway, work without end.
    private func check(_ plan: SearchPlan) throws(SearchError) {
        let text = plan.search.extras?.value.text
        guard plan.stage.legs.count * (text == nil ? 1 : 2) <= Self.mostLegs else {
            throw SearchError(
                .invalidArgument, "the search has more than \(Self.mostLegs) legs; name fewer collections")
        }
        let rows = plan.parts.reduce(0) { $0 + $1.legs.count * plan.asked(of: $1) } * plan.vectorCount
        guard rows <= limits.maximumRows else {
            throw SearchError(
                .invalidArgument,
                "the shards would be asked for \(rows) rows in all; at most \(limits.maximumRows) are allowed "
                    + "(limits.max_rows): ask for a smaller k, or for fewer vectors or collections")
        }
    }

    /// A hit's leg is a u16 in the protocol.
    private static let mostLegs = 65_535

    private mutating func plan(
        _ search: Search, _ boxed: Boxed<Collection>, from place: Int
    ) throws(SearchError) -> ([PlannedLeg], PlannedPart) {
        let collection = boxed.value
        let own = search.overrides[collection.name]
        let vector = own?.vector ?? search.vector
        let k = own?.k ?? search.k
        if own?.k != nil { try check(k: k) }
        try check(vector, collection)
        var columns = own?.columns ?? search.columns
        try check(columns, of: collection)
        var filter: FilterPlan?
        if let asked = own?.filter ?? search.filter {
            filter = try FilterPlan(asked, collection)
        }
        if let extras = search.extras?.value {
            try check(extras, collection)
            if let column = extras.group?.column, !columns.contains(column) { columns.append(column) }
        }
        let limit = limit(search, collection, k: k)
        let settings = try settings(search, collection, limit: limit)
        let legs = legs(boxed, Self.question(search), columns: columns, limit: limit, filter: filter?.shape)
        let input = LegInput(
            settings: settings, subject: vector.bytes,
            furtherSubjects: search.extras?.value.furtherVectors.map(\.bytes) ?? [],
            parameters: filter?.values ?? [],
            ladder: ladder(search, boxed, columns, filter: filter, limit: limit))
        let part = PlannedPart(
            collection: boxed, columns: columns, k: k, needed: Self.needed(search, k: k), filter: filter,
            input: input, legs: place..<place + legs.count)
        return (legs, part)
    }

    private static func question(_ search: Search) -> SearchShape.Question {
        if search.exact { return .exact }
        return search.extras?.value.twoPhase.map { .coarse($0.coarse) } ?? .nearest
    }

    /// The legs of a question to a collection, one for each of its shards.
    mutating func legs(
        _ boxed: Boxed<Collection>, _ question: SearchShape.Question, columns: [String], limit: Int,
        filter: FilterShape?
    ) -> [PlannedLeg] {
        let kind = Kind(
            collection: boxed.value.number, question: question, columns: columns, limit: limit, filter: filter)
        if let known = kinds[kind] { return known }
        let collection = boxed.value
        let shape = SearchShape(
            collection: collection, question: question, columns: columns, limit: limit, filter: filter)
        let legs = collection.shards.enumerated().map { place, shard in
            PlannedLeg(
                collection, shape: shape, place: place, shardIndex: shard, topology: topology)
        }
        kinds[kind] = legs
        return legs
    }

    // MARK: Limits

    /// How many rows of a collection the answer can need.
    static func needed(_ search: Search, k: Int) -> Int {
        // The row itself comes, too, and is left out.
        search.extras?.value.like == nil ? k : k + 1
    }

    /// How many rows each shard is asked for.
    private mutating func limit(_ search: Search, _ collection: Collection, k: Int) -> Int {
        let extras = search.extras?.value
        let needed = Self.needed(search, k: k)
        if let group = extras?.group { return Self.groupRows(k: needed, size: group.size) }
        if let text = extras?.text { return Self.room(for: Self.candidates(text.candidates, k: needed)) }
        if let twoPhase = extras?.twoPhase { return Self.room(for: Self.candidates(twoPhase.candidates, k: needed)) }
        let shards = collection.shards.count
        guard shards > 1, collection.placement == .hash, isOrdered(search, collection) else { return needed }
        if let probability = extras?.probability {
            return max(1, ShardQuota.rows(k: needed, shards: shards, probability: probability))
        }
        let key = QuotaKey(k: needed, shards: shards)
        if let known = quotas[key] { return known }
        let quota = max(1, ShardQuota.rows(k: needed, shards: shards))
        quotas[key] = quota
        return quota
    }

    /// A scan in relaxed order may give a row late that is nearer than the last one.
    private func isOrdered(_ search: Search, _ collection: Collection) -> Bool {
        (search.settings.iterativeScan ?? collection.defaults.iterativeScan) != .relaxed
    }

    /// How long a list of candidates is: what the request says, and at least what the answer can need.
    static func candidates(_ asked: Int?, k: Int) -> Int {
        min(max(asked ?? max(4 * k, 100), k), mostCandidates)
    }

    /// A first guess; if groups are few and large, more are asked for.
    private static func groupRows(k: Int, size: Int) -> Int {
        let (rows, overflow) = k.multipliedReportingOverflow(by: size)
        return overflow ? mostCandidates : room(for: min(max(rows, 25), mostCandidates) * 4)
    }

    /// Statements are few: a limit that is a power of two serves any number of rows up to it.
    static func room(for count: Int) -> Int {
        var room = 1
        while room < min(count, mostCandidates) { room *= 2 }
        return min(room, max(count, mostCandidates))
    }

    /// Rows that one leg is ever asked for, but for k itself.
    static let mostCandidates = 10_000

    // MARK: Checks

    private func check(k: Int) throws(SearchError) {
        guard (1...limits.maximumK).contains(k) else {
            throw SearchError(.invalidArgument, "k is \(k); it must be from 1 to \(limits.maximumK)")
        }
    }

    func check(_ columns: [String], of collection: Collection) throws(SearchError) {
        for column in columns where !collection.columns.contains(column) {
            throw SearchError(
                .unknownColumn, "collection \"\(collection.name)\" has no column \"\(Self.shown(column))\"")
        }
    }

    /// What can be said of a search for a row's neighbours before its vector is known.
    func check(_ search: Search, like row: SearchExtras.RowReference) throws(SearchError) {
        try check(k: search.k)
        try checkNames(search)
        _ = try collections(search)
        _ = try collection(row.collection)
    }

    private func check(_ extras: SearchExtras, _ collection: Collection) throws(SearchError) {
        for vector in extras.furtherVectors { try check(vector, collection) }
        if let column = extras.group?.column { try check([column], of: collection) }
        for asked in [extras.text?.candidates, extras.twoPhase?.candidates].compactMap(\.self)
        where asked > Self.mostCandidates {
            throw SearchError(
                .invalidArgument, "candidates is \(asked); this gateway takes at most \(Self.mostCandidates)")
        }
        if extras.text != nil, collection.text == nil {
            throw SearchError(.notSupported, "collection \"\(collection.name)\" has no text column to search")
        }
        if let coarse = extras.twoPhase?.coarse, !collection.coarse.contains(coarse) {
            throw SearchError(
                .notSupported, "collection \"\(collection.name)\" has no coarse form \"\(coarse.rawValue)\"")
        }
    }

    private func check(_ vector: QueryVector, _ collection: Collection) throws(SearchError) {
        guard vector.form == collection.form else {
            throw SearchError(
                .invalidArgument,
                "collection \"\(collection.name)\" has vectors of type \(collection.form.rawValue), "
                    + "the request's is \(vector.form.rawValue)")
        }
        guard vector.dimensions == collection.dimensions else {
            throw SearchError(
                .dimensionMismatch,
                "collection \"\(collection.name)\" has \(collection.dimensions) dimensions, "
                    + "the vector has \(vector.dimensions)")
        }
    }

    private func checkNames(_ search: Search) throws(SearchError) {
        guard !search.collections.isEmpty else {
            throw SearchError(.invalidArgument, "no collection is named; name at least one")
        }
        if let twice = firstDuplicate(search.columns) {
            throw SearchError(.invalidArgument, "column \"\(twice)\" is asked for twice")
        }
        if let twice = firstDuplicate(search.collections) {
            throw SearchError(.invalidArgument, "collection \"\(twice)\" is named twice")
        }
        for (name, override) in search.overrides {
            guard search.collections.contains(name) else {
                throw SearchError(
                    .invalidArgument, "there is an override for \"\(Self.shown(name))\", which is not searched")
            }
            if let twice = firstDuplicate(override.columns ?? []) {
                throw SearchError(.invalidArgument, "column \"\(twice)\" is asked for twice")
            }
        }
        if let distance = search.maxDistance, !distance.isFinite {
            throw SearchError(.invalidArgument, "max_distance must be a finite number")
        }
    }

    private func collections(_ search: Search) throws(SearchError) -> [Boxed<Collection>] {
        let collections = try search.collections.map { name throws(SearchError) in
            let collection = try collection(name)
            try check(search.model, of: collection.value)
            return collection
        }
        if search.extras?.value.isSeparate == true { return collections }
        if let first = collections.first?.value,
            let other = collections.first(where: { $0.value.metric != first.metric })?.value
        {
            throw SearchError(
                .invalidArgument,
                "\"\(first.name)\" is compared by \(first.metric.rawValue) and \"\(other.name)\" by "
                    + "\(other.metric.rawValue): their distances cannot be merged; ask for a list each")
        }
        return collections
    }

    func collection(_ name: String) throws(SearchError) -> Boxed<Collection> {
        guard let collection = catalogue.boxed[name] else {
            throw SearchError(.unknownCollection, "there is no collection \"\(Self.shown(name))\"")
        }
        try collection.value.checkServed()
        return collection
    }

    private func check(_ asked: String?, of collection: Collection) throws(SearchError) {
        guard let asked, let model = collection.model, asked != model else { return }
        throw SearchError(
            .modelMismatch,
            "collection \"\(collection.name)\" holds vectors of model \"\(model)\", not \"\(Self.shown(asked))\"")
    }

    // MARK: Settings

    private mutating func settings(
        _ search: Search, _ collection: Collection, limit: Int
    ) throws(SearchError) -> SearchSettings {
        // What nearly every search asks: nothing.
        if !search.exact, search.settings.isEmpty, collection.defaults.isEmpty, ScanSettings.suffices(for: limit) {
            return noSettings
        }
        try search.settings.check(within: collection.caps, of: collection.name)
        let wanted = search.settings.filled(from: collection.defaults)
        return search.exact ? exactSettings(wanted) : settings(wanted, collection.caps, limit: limit)
    }

    mutating func settings(_ wanted: ScanSettings, _ caps: ScanSettings, limit: Int) -> SearchSettings {
        settings(wanted.assignments(limit: limit, caps: caps))
    }

    private mutating func exactSettings(_ wanted: ScanSettings) -> SearchSettings {
        guard let workMem = wanted.workMemAssignment else { return withoutIndex }
        return settings([workMem, ("enable_indexscan", "off")])
    }

    private mutating func settings(_ assignments: [(name: String, value: String)]) -> SearchSettings {
        let names = assignments.map(\.name)
        let shape = settingShapes[names] ?? (names.isEmpty ? noSettings.shape : SettingShape(names))
        settingShapes[names] = shape
        return SearchSettings(shape: shape, values: assignments.map(\.value))
    }

    /// Nil if an index gives all that it is asked for.
    mutating func ladder(
        _ search: Search, _ boxed: Boxed<Collection>, _ columns: [String], filter: FilterPlan?, limit: Int
    ) -> LegLadder? {
        let extras = search.extras?.value
        let wantsComplete = extras?.isComplete ?? false
        let caps = boxed.value.caps
        guard filter != nil || wantsComplete || limit > caps.efSearch ?? EscalationLadder.highestEfSearch,
            !search.exact
        else { return nil }
        let wanted = search.settings.filled(from: boxed.value.defaults)
        let efSearch = wanted.efSearch(for: limit, caps: caps)
        let wider = min(EscalationLadder.widerEfSearch(efSearch), caps.efSearch ?? .max)
        let iterates = wanted.iterates(for: limit)
        let areCandidates = extras?.twoPhase != nil || extras?.text != nil
        let k = search.overrides[boxed.value.name]?.k ?? search.k
        let enough = areCandidates ? min(limit, Self.needed(search, k: k)) : limit
        var rungs: LegLadder.Rungs?
        if wantsComplete {
            // Candidates of two phases are compared with one another by their coarse distances, without an index, too.
            let question = extras?.twoPhase.map { .coarseExact($0.coarse) } ?? SearchShape.Question.exact
            var harder = wanted
            harder.efSearch = wider
            let widerSettings = settings(harder, caps, limit: limit)
            harder.iterativeScan = .strict
            rungs = .init(
                wider: widerSettings, iterative: settings(harder, caps, limit: limit),
                exact: exactSettings(wanted),
                exactLegs: legs(boxed, question, columns: columns, limit: limit, filter: filter?.shape))
        }
        return LegLadder(
            mayUnderReturn: filter != nil, efSearch: wider > efSearch || limit > efSearch ? efSearch : nil,
            iterates: iterates, enough: enough, maxDistance: search.maxDistance ?? .infinity, rungs: rungs)
    }

    func firstDuplicate(_ names: [String]) -> String? {
        if names.count < 2 { return nil }
        var seen: Set<String> = []
        return names.first { !seen.insert($0).inserted }.map(Self.shown)
    }

    /// A client's word as it may stand in a message: short and without control characters.
    static func shown(_ text: String) -> String {
        String(text.unicodeScalars.prefix(63)).withoutControls
    }
}

/// What a request may ask for.
public struct PlanLimits: Hashable, Sendable {
    public var maximumK: Int
    /// That all legs of a search together are asked for, for all its vectors.
    public var maximumRows: Int

    public init(maximumK: Int, maximumRows: Int = 1_000_000) {
        self.maximumK = maximumK
        self.maximumRows = maximumRows
    }
}
