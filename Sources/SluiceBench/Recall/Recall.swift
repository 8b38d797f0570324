internal import SluiceClient

/// How much of the exact answer an answer has.
package enum Recall {
    /// The share of the k nearest that was found. A row as near as the k-th of the exact answer is as good as that one:
    /// which of several is given is a matter of chance.
    /// - Parameters:
    ///   - exact: nearest first, at most k.
    ///   - tolerance: relative, of distances, which an index may compute in another order of the additions.
    package static func share(of found: [Neighbour], in exact: [Neighbour], tolerance: Double = 1e-6) -> Double {
        guard let last = exact.last else { return 1 }
        struct Row: Hashable {
            var collection: String
            var id: Int64
        }
        let wanted = Set(exact.map { Row(collection: $0.collection, id: $0.id) })
        let limit = last.distance + abs(last.distance) * tolerance + 1e-12
        var seen: Set<Row> = []
        let hits = found.count { hit in
            let row = Row(collection: hit.collection, id: hit.id)
            return seen.insert(row).inserted && (wanted.contains(row) || hit.distance <= limit)
        }
        return min(1, Double(hits) / Double(exact.count))
    }

    /// The mean, and the least; of nothing they are 0.
    package static func summary(_ shares: [Double]) -> (mean: Double, least: Double) {
        guard let least = shares.min() else { return (0, 0) }
        return (shares.reduce(0, +) / Double(shares.count), least)
    }
}

/// Exact answers to some searches of a load, and how near other answers come to them.
///
/// The database gives the exact ones: the same statement with `enable_indexscan` off, so that every row is compared. So
/// they are exact by the database's own distances, for every type, metric and filter, with the rows as they are now; no
/// row has to leave the database. A load that changes rows at the same time makes them old.
package struct RecallProbe: Sendable {
    private let queries: [SearchQuery]
    private let exact: [[Neighbour]]

    /// A scan of all rows takes a core of every shard.
    private static let atATime = 2

    /// Asks for the exact answers.
    /// - Parameter show: is told how many there are, as this takes a while.
    package init(
        _ workload: Workload, isMulti: Bool, count: Int, on target: any BenchTarget, until end: Interruption,
        show: (Int) -> Void = { _ in }
    ) async throws(BenchFailure) {
        queries = (0..<count).map { number in
            let subject = workload.subjects[number % workload.subjects.count]
            let names = isMulti ? workload.subjects.map(\.name) : [subject.name]
            var query = workload.query(names, subject, number / workload.subjects.count)
            query.bypassCache = true
            query.deadline = nil
            return query
        }
        exact = try await Self.answers(
            queries.map { query in
                var query = query
                query.exact = true
                query.efSearch = nil
                query.deadline = .seconds(60)
                return query
            }, on: target, until: end, show: show)
    }

    /// The recall of the searches with an ef_search.
    package func recall(
        efSearch: Int, on target: any BenchTarget, until end: Interruption
    ) async throws(BenchFailure) -> (mean: Double, least: Double) {
        let found = try await Self.answers(
            queries.map { query in
                var query = query
                query.efSearch = efSearch
                return query
            }, on: target, until: end)
        return Recall.summary(zip(found, exact).map { Recall.share(of: $0, in: $1) })
    }

    private static func answers(
        _ queries: [SearchQuery], on target: any BenchTarget, until end: Interruption,
        show: (Int) -> Void = { _ in }
    ) async throws(BenchFailure) -> [[Neighbour]] {
        let answers = await withTaskGroup(of: Answer.self) { group in
            var done = 0
            var answers: [Result<[Neighbour], BenchFailure>] = Array(repeating: .success([]), count: queries.count)
            var waiting = Array(queries.enumerated().reversed())
            func ask() {
                guard let (number, query) = waiting.popLast() else { return }
                group.addTask { Answer(number: number, result: await outcome(of: query, on: target)) }
            }
            for _ in 0..<atATime { ask() }
            while let answer = await group.next() {
                answers[answer.number] = answer.result
                done += 1
                show(done)
                // After a failure no more is asked.
                if case .success = answer.result, !end.isWanted { ask() } else { waiting.removeAll() }
            }
            return answers
        }
        guard !end.isWanted else { throw BenchFailure("cancelled", "it was ended before recall was known") }
        var found: [[Neighbour]] = []
        for answer in answers { found.append(try answer.get()) }
        return found
    }

    private struct Answer {
        var number: Int
        var result: Result<[Neighbour], BenchFailure>
    }

    private static func outcome(
        of query: SearchQuery, on target: any BenchTarget
    ) async -> Result<[Neighbour], BenchFailure> {
        do throws(BenchFailure) { return .success(try await target.nearest(query)) } catch { return .failure(error) }
    }
}
