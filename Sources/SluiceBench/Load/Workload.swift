package import SluiceClient

/// What the requests of a load ask, each kind's, and of what.
package final class Workload: Sendable {
    /// A collection with what was drawn from it, or read from a file.
    package struct Subject: Sendable {
        package var name: String
        package var vectors: [SearchQuery.Vector]
        package var ids: [Int64]
        /// Of what its own rows have; for `filtered` if the workload has none for all.
        package var filters: [Filter]

        package init(
            name: String, vectors: [SearchQuery.Vector], ids: [Int64] = [], filters: [Filter] = []
        ) {
            self.name = name
            self.filters = filters
            self.vectors = vectors
            self.ids = ids
        }
    }

    /// How searches are asked.
    package struct Terms: Sendable {
        package var k = 10
        package var efSearch: Int?
        package var deadline: Duration?
        package var allowsHedges = true
        /// Vectors in each request of the kind `batch`.
        package var batch = 8
        /// Ids in each request of the kind `get`.
        package var getIDs = 1
        /// Where the ids of `get` are drawn from, each as likely; nil for those of the subject, in turn.
        package var idRange: ClosedRange<Int64>?

        package init() {}
    }

    /// Where the rows of the kind `load` go.
    package struct Loading: Sendable {
        package var collection: String
        package var rows: Int
        package var firstID: Int64
        /// Given to the rows in turn.
        package var vectors: [SearchQuery.Vector]

        package init(collection: String, rows: Int, firstID: Int64, vectors: [SearchQuery.Vector]) {
            self.vectors = vectors
            self.collection = collection
            self.rows = rows
            self.firstID = firstID
        }
    }

    package let subjects: [Subject]
    package let terms: Terms
    package let filters: [Filter]
    package let loading: Loading?
    private let names: [String]
    /// Those of other ef_search, too.
    let loaded: LoadedBlocks

    package init(
        subjects: [Subject], terms: Terms, filters: [Filter] = [], loading: Loading? = nil
    ) {
        self.subjects = subjects
        self.terms = terms
        self.filters = filters
        self.loading = loading
        names = subjects.map(\.name)
        loaded = LoadedBlocks()
    }

    private init(_ other: Workload, terms: Terms) {
        self.terms = terms
        (subjects, filters, loading) = (other.subjects, other.filters, other.loading)
        (names, loaded) = (other.names, other.loaded)
    }

    /// - Parameter turn: which request it is, so that vectors, rows and collections are taken in turn.
    func perform(
        _ kind: RequestKind, _ turn: Int, on target: any BenchTarget
    ) async throws(BenchFailure) -> BenchAnswer {
        switch kind {
        case .ping:
            try await target.ping()
            return .plain
        case .search:
            let subject = subjects[turn % subjects.count]
            return try await target.search(query([subject.name], subject, turn / subjects.count))
        case .filtered:
            let subject = subjects[turn % subjects.count]
            var query = query([subject.name], subject, turn / subjects.count)
            let filters = self.filters.isEmpty ? subject.filters : self.filters
            if !filters.isEmpty { query.filter = filters[turn / subjects.count % filters.count] }
            return try await target.search(query)
        case .multi:
            let subject = subjects[turn % subjects.count]
            return try await target.search(query(names, subject, turn / subjects.count))
        case .batch:
            let subject = subjects[turn % subjects.count]
            let first = turn / subjects.count * terms.batch
            let vectors = (0..<terms.batch).map { subject.vectors[(first + $0) % subject.vectors.count] }
            return try await target.batch(vectors, query(names, subject, first))
        case .get:
            let subject = subjects[turn % subjects.count]
            return try await target.get(subject.name, ids: ids(of: subject, turn), deadline: terms.deadline)
        case .load:
            // Rows are packed apart from who asks the rest.
            try await withTaskExecutorPreference(globalConcurrentExecutor) { () async throws(BenchFailure) in
                try await load(turn, on: target)
            }
            return .plain
        }
    }

    /// A search as the load makes it; recall asks the same.
    func query(_ collections: [String], _ subject: Subject, _ turn: Int) -> SearchQuery {
        var query = SearchQuery(
            collections: collections, target: .vector(subject.vectors[turn % subject.vectors.count]), k: terms.k,
            deadline: terms.deadline, efSearch: terms.efSearch)
        query.allowHedges = terms.allowsHedges
        return query
    }

    private func ids(of subject: Subject, _ turn: Int) -> [Int64] {
        guard let range = terms.idRange else {
            let first = turn / subjects.count * terms.getIDs
            return (0..<terms.getIDs).map { subject.ids[(first + $0) % subject.ids.count] }
        }
        return DrawnIDs(range: range).ids(terms.getIDs, turn: turn)
    }

    private func load(_ turn: Int, on target: any BenchTarget) async throws(BenchFailure) {
        guard let loading else { throw BenchFailure("invalid_argument", "there is no collection to load into") }
        let number = loaded.begin()
        let vectors = loading.vectors
        var block = LoadBlock(capacity: 64 * 1_024)
        let first = loading.firstID + number * Int64(loading.rows)
        do throws(SluiceError) {
            for row in 0..<loading.rows {
                let vector = vectors[(turn + row) % vectors.count]
                try block.append(LoadRow(id: first + Int64(row), vector: .vector(vector)))
            }
        } catch {
            throw BenchFailure(error)
        }
        do throws(BenchFailure) { try await target.load(loading.collection, block) } catch {
            loaded.failed(number, error)
            throw error
        }
    }

    /// The same with another ef_search.
    func with(efSearch: Int?) -> Workload {
        var terms = terms
        terms.efSearch = efSearch
        return Workload(self, terms: terms)
    }
}
