internal import SluiceCore
internal import SluiceEngine
package import SluicePostgres

/// A table as one shard's catalogue has it.
package struct TableSighting: Sendable {
    /// The shard's place in the configuration.
    package var shard: Int
    package var shardName: String
    package var server: ServerFacts
    package var role: String
    package var facts: TableFacts
    /// Its only column; nil if there is no primary key, or it has several.
    package var primaryKey: String?
    /// What generated tsvector columns are made by.
    package var generated: [String: String]

    package init(
        shard: Int, shardName: String, server: ServerFacts, role: String, facts: TableFacts, primaryKey: String? = nil,
        generated: [String: String] = [:]
    ) {
        self.shard = shard
        self.shardName = shardName
        self.server = server
        self.role = role
        // Only configurations that every server has, or that its own columns are made by, are written.
        var facts = facts
        facts.hasTextConfiguration = true
        self.facts = facts
        self.primaryKey = primaryKey
        self.generated = generated
    }
}

/// Makes collections of tables that are there already, by what the catalogues of the shards say of them. Pure.
package struct Adoption: Sendable {
    package enum Outcome: Sendable {
        case served(GatewayConfig.Collection, comments: [String])
        case not(String)
    }

    /// Of one vector column; what only the rows know is asked for meanwhile.
    package struct Candidate: Sendable {
        package var collection: GatewayConfig.Collection
        package var sightings: [TableSighting]
        /// False if the type does not say it.
        package var hasDimensions: Bool
        package var comments: [String] = []
    }

    /// What some rows have told.
    package struct Sample: Sendable {
        /// Of a vector column whose type does not say it.
        package var dimensions: Int?
        /// Ids of each shard, in the order of the sightings.
        package var ids: [[Int64]] = []

        package init(dimensions: Int? = nil, ids: [[Int64]] = []) {
            self.dimensions = dimensions
            self.ids = ids
        }
    }

    /// Of all that is adopted, so that no name is given twice.
    private var names: Set<String> = []

    package init() {}

    // MARK: Before the rows are asked

    /// The collections that a table may make, one for each of its vector columns; none if it has no vectors.
    /// - Parameter sightings: on at least one shard, in the order of the shards.
    /// - Returns: or why it cannot be served.
    package mutating func candidates(
        schema: String, table: String, _ sightings: [TableSighting]
    ) -> Result<[Candidate], Unserved> {
        guard let first = sightings.first else { return .success([]) }
        let vectors = first.facts.columnOrder.compactMap { first.facts.columns[$0] }.compactMap { column in
            first.form(of: column).map { (column: column, form: $0) }
        }
        if vectors.isEmpty { return .success([]) }
        if schema.contains(".") || table.contains(".") {
            return .failure(Unserved("its name has a dot, which `table` takes for the end of the schema's"))
        }
        guard let id = first.idColumn else {
            return .failure(Unserved("no bigint, integer or smallint column is unique by itself"))
        }
        let shared = sightings.dropFirst().map(\.facts)
        let columns = first.valueColumns.filter { column in
            column.name != id
                && shared.allSatisfy { $0.columns[column.name].map { $0.isAlike(column) && $0.isReadable } ?? false }
        }
        return .success(
            vectors.map { vector, form in
                var candidate = Candidate(
                    collection: .init(
                        name: name(table + (vectors.count > 1 ? "_\(vector.name)" : "")), schema: schema, table: table,
                        idColumn: id, vectorColumn: vector.name, form: form, metric: form == .bit ? .hamming : .cosine,
                        dimensions: vector.modifier ?? 1, columns: [], filterable: [:], defaults: .init(),
                        caps: .init(), shards: sightings.map(\.shardName)),
                    sightings: sightings, hasDimensions: vector.modifier != nil)
                let taken = columns.prefix(Self.mostColumns)
                if taken.count < columns.count {
                    candidate.comments.append("its first \(Self.mostColumns) columns of \(columns.count)")
                }
                candidate.collection.columns = taken.map(\.name)
                for column in taken { candidate.collection.filterable[column.name] = column.filterType }
                candidate.addText(first)
                return candidate
            })
    }

    package struct Unserved: Error, Hashable, Sendable {
        package var reason: String

        init(_ reason: String) { self.reason = reason }
    }

    /// As many as a request may ask for.
    private static let mostColumns = 256

    /// A name of ours that is like the table's, and nobody's yet.
    private mutating func name(_ text: String) -> String {
        let plain = String(
            text.map { $0.isASCII && ($0.isLetter || $0.isNumber || "_.-".contains($0)) ? $0 : "_" }.prefix(56))
        var name = plain.isEmpty ? "_" : plain
        var number = 2
        while !names.insert(name).inserted {
            name = "\(plain)-\(number)"
            number += 1
        }
        return name
    }

    // MARK: After

    package static func finish(_ candidate: Candidate, _ sample: Sample) -> Outcome {
        var candidate = candidate
        if !candidate.hasDimensions {
            guard let dimensions = sample.dimensions else {
                return .not(
                    "column \"\(candidate.collection.vectorColumn)\" does not say how many dimensions it has, and no "
                        + "row shows it")
            }
            candidate.collection.dimensions = dimensions
            candidate.comments.append("dimensions: as the first row has them; the column's type does not say")
        }
        guard candidate.collection.dimensions <= candidate.collection.form.maximumDimensions else {
            return .not("\(candidate.collection.dimensions) dimensions are more than can be searched")
        }
        candidate.chooseMetric()
        candidate.chooseCoarse()
        candidate.choosePlacement(sample.ids)
        for sighting in candidate.sightings {
            let errors = candidate.judge(sighting).findings.filter { $0.severity == .error }
            if let error = errors.first { return .not("on \(sighting.shardName): \(error.message)") }
        }
        return .served(candidate.collection, comments: candidate.comments)
    }
}

// MARK: What a table is like

extension TableSighting {
    /// Nil of what is no vector. Bit strings may be anything: only one with an index to search it counts.
    fileprivate func form(of column: TableFacts.Column) -> VectorForm? {
        guard let form = VectorForm(rawValue: column.typeName) else { return nil }
        guard form == .bit else { return column.typeSchema == server.vectorSchema ? form : nil }
        let isIndexed = facts.indexes.contains { index in
            ["hnsw", "ivfflat"].contains(index.method) && index.keys.first?.column == column.name
        }
        return column.typeSchema == "pg_catalog" && isIndexed ? form : nil
    }

    /// The primary key, or else the first integer that is unique. Of what can have no index: `id`.
    fileprivate var idColumn: String? {
        let integers = facts.columnOrder.filter {
            facts.columns[$0]?.isOf(FilterColumnType.int.fittingTypes) ?? false
        }
        if let primaryKey, integers.contains(primaryKey) { return primaryKey }
        guard facts.kind.hasIndexes else { return integers.first { $0 == "id" } }
        return integers.first { facts.isUnique($0) }
    }

    /// What clients can be given and filters can compare, in the table's order.
    fileprivate var valueColumns: [TableFacts.Column] {
        facts.columnOrder.compactMap { facts.columns[$0] }.filter { $0.isReadable && $0.filterType != nil }
    }
}

extension TableFacts.Column {
    fileprivate var filterType: FilterColumnType? { FilterColumnType.allCases.first { isOf($0.fittingTypes) } }

    fileprivate func isAlike(_ other: Self) -> Bool { typeSchema == other.typeSchema && typeName == other.typeName }
}

extension Adoption.Candidate {
    /// The first tsvector that every shard has.
    fileprivate mutating func addText(_ first: TableSighting) {
        let words = first.facts.columnOrder.first { name in
            sightings.allSatisfy { $0.facts.columns[name].map { $0.isOf(["tsvector"]) && $0.isReadable } ?? false }
        }
        guard let words else { return }
        let language = first.generated[words].flatMap(Self.configuration)
        if language == nil {
            comments.append("text.language: what its words were made by cannot be seen; simple is a guess")
        }
        collection.text = .init(column: words, language: language ?? "simple")
    }

    /// The text search configuration in an expression as the server writes it.
    static func configuration(in expression: String) -> String? {
        guard let match = expression.firstMatch(of: #/to_tsvector\('([^']+)'::(?:pg_catalog\.)?regconfig/#) else {
            return nil
        }
        // The server quotes what is no plain word, and the configuration's language has no quotes.
        return match.1.contains("\"") ? nil : String(match.1)
    }

    fileprivate func judge(
        _ sighting: TableSighting, _ change: (inout GatewayConfig.Collection) -> Void = { _ in }
    ) -> CollectionJudge {
        var collection = collection
        change(&collection)
        return CollectionJudge(
            collection, sighting.facts, server: sighting.server, role: sighting.role, shard: sighting.shardName,
            replica: sighting.shardName)
    }

    /// On how many shards something is so.
    private func count(_ isSo: (TableSighting) -> Bool) -> Int { sightings.count(where: isSo) }

    private func hasIndex(_ form: CoarseForm, _ metric: Metric, _ sighting: TableSighting) -> Bool {
        guard sighting.facts.kind.hasIndexes else { return false }
        func findings(_ coarse: [CoarseForm]) -> Int {
            judge(sighting) {
                $0.metric = metric
                $0.coarse = coarse
            }.findings.count
        }
        return findings([form]) == findings([])
    }

    /// That of the indexes; with several, the one that most shards have.
    fileprivate mutating func chooseMetric() {
        let metrics = ([collection.metric] + Metric.allCases).filter { collection.form.fits($0) }
        func best(_ count: (Metric) -> Int) -> [Metric] {
            let counts = metrics.map { (metric: $0, count: count($0)) }.filter { $0.count > 0 }
            let most = counts.map(\.count).max() ?? 0
            return (counts.filter { $0.count == most } + counts.filter { $0.count < most }).map(\.metric)
                .reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
        }
        let served = best { metric in
            count { [.hnsw, .ivfflat].contains(judge($0) { $0.metric = metric }.index) }
        }
        let byHalves = served.isEmpty && CoarseForm.half.fits(collection.form)
        let found = byHalves ? best { metric in count { hasIndex(.half, metric, $0) } } : served
        guard let metric = found.first else {
            return comments.append("metric: no index says which; \(collection.metric.rawValue) is a guess")
        }
        collection.metric = metric
        if found.count > 1 {
            let others = found.dropFirst().map(\.rawValue).joined(separator: ", ")
            comments.append("metric: there are indexes for \(others), too")
        }
    }

    fileprivate mutating func chooseCoarse() {
        collection.coarse = CoarseForm.allCases.filter { form in
            form.fits(collection.form) && count { hasIndex(form, collection.metric, $0) } == sightings.count
        }
    }

    private static var manyIds: Int { 20 }

    /// By the hash of the id if all the sampled ones lie where it puts them. A few may do so by chance: only many are
    /// believed that the shards are in another order.
    fileprivate mutating func choosePlacement(_ ids: [[Int64]]) {
        guard sightings.count > 1, let placement = HashPlacement(shardCount: sightings.count) else { return }
        let sampled = ids.reduce(0) { $0 + $1.count }
        guard sampled > 0 else {
            return comments.append("placement: there are no rows to tell it by; hash is a guess")
        }
        let remainders = ids.map { Set($0.map { placement.shard(of: $0) }) }
        var order: [String?] = Array(repeating: nil, count: sightings.count)
        var homeless: [String] = []
        for (sighting, remainders) in zip(sightings, remainders) {
            if remainders.isEmpty {
                homeless.append(sighting.shardName)
            } else if let remainder = remainders.first, remainders.count == 1, order[remainder] == nil {
                order[remainder] = sighting.shardName
            } else {
                collection.placement = .any
                return comments.append("placement: \(sampled) sampled ids are not where their hash would put them")
            }
        }
        // Shards without rows take the remainders that are left, in their order.
        var rest = homeless[...]
        let shards = order.compactMap { $0 ?? rest.popFirst() }
        guard shards == collection.shards || sampled >= Self.manyIds else {
            collection.placement = .any
            return comments.append("placement: \(sampled) ids are too few to tell it by")
        }
        collection.shards = shards
        comments.append("placement: \(sampled) sampled ids are all where their hash puts them")
    }
}
