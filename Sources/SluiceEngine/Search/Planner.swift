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

    let catalogue: Catalogue
    let maximumK: Int
    private var kinds: RecentTable<Kind, [PlannedLeg]>
    private var settingShapes: [[String]: SettingShape] = [:]
    /// For the default probability.
    private var quotas: RecentTable<QuotaKey, Int>
    let noSettings = SearchSettings(shape: SettingShape([]), values: [])

    init(catalogue: Catalogue, maximumK: Int) {
        self.catalogue = catalogue
        self.maximumK = maximumK
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
        return SearchPlan(
            search: search, stage: stage, parts: parts, maxDistance: search.maxDistance ?? .infinity)
    }

    /// Which ways to another search's answer are open; nil if none is. All its collections must have opted in.
    func use(of search: Search) -> AnswerUse? {
        if search.extras?.value.bypassesCache == true { return nil }
        var use = AnswerUse(shares: true, caches: true)
        for name in search.collections {
            guard let collection = catalogue.collections[name] else { return nil }
            use.shares = use.shares && collection.sharesSearches
            use.caches = use.caches && collection.isCached
            guard use.shares || use.caches else { return nil }
        }
        return use
    }

    private mutating func plan(
        _ search: Search, _ collection: Collection, from place: Int
    ) throws(SearchError) -> ([PlannedLeg], PlannedPart) {
        let own = search.overrides[collection.name]
        let vector = own?.vector ?? search.vector
        let k = own?.k ?? search.k
        if own?.k != nil { try check(k: k) }
        try check(vector, collection)
        var columns = own?.columns ?? search.columns
        try check(columns, of: collection)
        var filter: FilterPlan?
        if let asked = own?.filter ?? search.filter {
            filter = try FilterPlan(asked, columns: collection.filterable, collection: collection.name)
        }
        var input = LegInput(settings: noSettings, subject: vector.bytes, parameters: filter?.values ?? [])
        if let extras = search.extras?.value {
            try check(extras, collection)
            input.furtherSubjects = extras.furtherVectors.map(\.bytes)
            if let column = extras.group?.column, !columns.contains(column) { columns.append(column) }
        }
        let limit = limit(search, collection, k: k)
        let question = Self.question(search)
        input.settings = try settings(search, collection, limit: limit)
        let legs = legs(collection, question, columns: columns, limit: limit, filter: filter?.shape)
        var part = PlannedPart(
            collection: collection, columns: columns, k: k, needed: Self.needed(search, k: k), filter: filter,
            input: input, legs: place..<place + legs.count)
        part.input.ladder = ladder(search, part, limit: limit)
        return (legs, part)
    }

    private static func question(_ search: Search) -> SearchShape.Question {
        if search.exact { return .exact }
        return search.extras?.value.twoPhase.map { .coarse($0.coarse) } ?? .nearest
    }

    /// The legs of a question to a collection, one for each of its shards.
    mutating func legs(
        _ collection: Collection, _ question: SearchShape.Question, columns: [String], limit: Int,
        filter: FilterShape?
    ) -> [PlannedLeg] {
        let kind = Kind(
            collection: collection.number, question: question, columns: columns, limit: limit, filter: filter)
        if let known = kinds[kind] { return known }
        let shape = SearchShape(
            collection: collection, question: question, columns: columns, limit: limit, filter: filter)
        let legs = collection.shards.enumerated().map { place, shard in
            PlannedLeg(
                collection, shape: shape, place: place, shardIndex: shard, shard: catalogue.shards[shard],
                estimate: catalogue.estimate(of: collection.name, shard: shard))
        }
        kinds[kind] = legs
        return legs
    }

    // MARK: Limits

    /// How many rows of a collection the answer can need.
    private static func needed(_ search: Search, k: Int) -> Int {
        // The row itself comes, too, and is left out.
        search.extras?.value.like == nil ? k : k + 1
    }

    /// How many rows each shard is asked for.
    private mutating func limit(_ search: Search, _ collection: Collection, k: Int) -> Int {
        let extras = search.extras?.value
        if let group = extras?.group { return Self.groupRows(k: k, size: group.size) }
        if let text = extras?.text { return Self.candidates(text.candidates, k: k) }
        if let twoPhase = extras?.twoPhase { return Self.candidates(twoPhase.candidates, k: k) }
        let needed = Self.needed(search, k: k)
        let shards = collection.shards.count
        guard shards > 1, collection.placement == .hash else { return needed }
        if let probability = extras?.probability {
            return max(1, ShardQuota.rows(k: needed, shards: shards, probability: probability))
        }
        let key = QuotaKey(k: needed, shards: shards)
        if let known = quotas[key] { return known }
        let quota = max(1, ShardQuota.rows(k: needed, shards: shards))
        quotas[key] = quota
        return quota
    }

    /// How long a list of candidates is: what the request says, and at least k.
    static func candidates(_ asked: Int?, k: Int) -> Int {
        min(max(asked ?? max(4 * k, 100), k), mostCandidates)
    }

    /// A first guess; if groups are few and large, more are asked for.
    private static func groupRows(k: Int, size: Int) -> Int {
        let (rows, overflow) = k.multipliedReportingOverflow(by: size)
        return min(max(overflow ? mostCandidates : rows, 25) * 4, mostCandidates)
    }

    /// Rows that one leg is ever asked for.
    static let mostCandidates = 10_000

    // MARK: Checks

    private func check(k: Int) throws(SearchError) {
        guard (1...maximumK).contains(k) else {
            throw SearchError(.invalidArgument, "k is \(k); it must be from 1 to \(maximumK)")
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

    private func collections(_ search: Search) throws(SearchError) -> [Collection] {
        let collections = try search.collections.map { name throws(SearchError) in
            let collection = try collection(name)
            try check(search.model, of: collection)
            return collection
        }
        if search.extras?.value.isSeparate == true { return collections }
        if let first = collections.first, let other = collections.first(where: { $0.metric != first.metric }) {
            throw SearchError(
                .invalidArgument,
                "\"\(first.name)\" is compared by \(first.metric.rawValue) and \"\(other.name)\" by "
                    + "\(other.metric.rawValue): their distances cannot be merged; ask for a list each")
        }
        return collections
    }

    func collection(_ name: String) throws(SearchError) -> Collection {
        guard let collection = catalogue.collections[name] else {
            throw SearchError(.unknownCollection, "there is no collection \"\(Self.shown(name))\"")
        }
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
        return search.exact ? exactSettings(wanted) : settings(wanted, limit: limit)
    }

    /// For more rows than were asked for at first.
    mutating func repairSettings(_ search: Search, _ part: PlannedPart, limit: Int) -> SearchSettings {
        if search.exact { return part.input.settings }
        return settings(search.settings.filled(from: part.collection.defaults), limit: limit)
    }

    private mutating func settings(_ wanted: ScanSettings, limit: Int) -> SearchSettings {
        settings(wanted.assignments(limit: limit))
    }

    private mutating func exactSettings(_ wanted: ScanSettings) -> SearchSettings {
        settings(wanted.assignments(limit: 1).filter { $0.name == "work_mem" } + [("enable_indexscan", "off")])
    }

    private mutating func settings(_ assignments: [(name: String, value: String)]) -> SearchSettings {
        let names = assignments.map(\.name)
        let shape = settingShapes[names] ?? (names.isEmpty ? noSettings.shape : SettingShape(names))
        settingShapes[names] = shape
        return SearchSettings(shape: shape, values: assignments.map(\.value))
    }

    /// For legs that are asked for so many rows; nil if an index gives all that it is asked for.
    mutating func ladder(_ search: Search, _ part: PlannedPart, limit: Int) -> LegLadder? {
        let extras = search.extras?.value
        let wantsComplete = extras?.isComplete ?? false
        guard part.filter != nil || wantsComplete || limit > ScanSettings.mostEfSearch, !search.exact else {
            return nil
        }
        let collection = part.collection
        var wanted = search.settings.filled(from: collection.defaults)
        let efSearch = wanted.efSearch(for: limit)
        var rungs: LegLadder.Rungs?
        if wantsComplete {
            wanted.efSearch = min(EscalationLadder.widerEfSearch(efSearch), collection.caps.efSearch ?? .max)
            let wider = settings(wanted, limit: limit)
            wanted.iterativeScan = .strict
            // Candidates of two phases are compared with one another by their coarse distances, without an index, too.
            let question = extras?.twoPhase.map { .coarse($0.coarse) } ?? SearchShape.Question.exact
            rungs = .init(
                wider: wider, iterative: settings(wanted, limit: limit), exact: exactSettings(wanted),
                exactLegs: legs(
                    collection, question, columns: part.columns, limit: limit, filter: part.filter?.shape))
        }
        // More candidates than that are welcome, and not missed.
        let enough = extras?.twoPhase == nil && extras?.text == nil ? limit : min(limit, part.needed)
        return LegLadder(mayUnderReturn: part.filter != nil, efSearch: efSearch, enough: enough, rungs: rungs)
    }

    func firstDuplicate(_ names: [String]) -> String? {
        if names.count < 2 { return nil }
        var seen: Set<String> = []
        return names.first { !seen.insert($0).inserted }.map(Self.shown)
    }

    /// A client's word as it may stand in a message: short and without control characters.
    static func shown(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.prefix(63).map { $0.value < 32 || $0.value == 127 ? "?" : $0 })
        )
    }
}
