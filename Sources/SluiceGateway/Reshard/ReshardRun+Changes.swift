internal import SluiceCore

extension ReshardRun {
    // MARK: Catching up

    mutating func catchUp() async throws(ReshardProblem) {
        let round = try await round(.distantFuture)
        machine.caughtUp(round, now: now)
        report(
            ReshardProgress(
                phase: "catch_up", text: "\(round.ids.count) changes taken over, \(round.waiting) wait"))
    }

    /// Takes over the first changes of each old shard's log. What has been taken over is forgotten after it is
    /// committed on the new shards, so that nothing is lost; twice does no harm.
    func round(_ limit: Instant) async throws(ReshardProblem) -> ReshardMachine.Round {
        let began = now
        var (all, waiting): ([Int64], Int) = ([], 0)
        for source in sources {
            let site = source.limited(to: limit)
            try await site.run([(Self.begin, [])])
            let ids = Self.ids(try await site.rows(statements.takeChanges(limit: batch)))
            if !ids.isEmpty {
                var split = RowSplit(placement)
                var missing = Set(ids)
                for row in try await site.rows(statements.rows(shape), [Self.array(ids)]) {
                    missing.remove(try add(row, to: &split, site))
                }
                for id in missing { split.addMissing(id) }
                try connector.checkLeader(site)
                try await apply(split, limit)
            }
            try await site.run([("COMMIT", [])])
            all += ids
            waiting += try await site.value(statements.countChanges).flatMap { Int($0) } ?? 0
        }
        return ReshardMachine.Round(ids: all, waiting: waiting, took: began.duration(to: now))
    }

    private static func ids(_ rows: [[String?]]) -> [Int64] {
        rows.compactMap { $0.first.flatMap(\.self).flatMap { Int64($0) } }
    }

    // MARK: Comparing

    /// Compares all rows of the old tables and the new ones but those whose changes have not been taken over. Only this
    /// run changes the new tables, so it does not matter when they are read; of each old one the rows and the log are
    /// read in one snapshot.
    func differences() async throws(ReshardProblem) -> [RangeDifference] {
        var changed: Set<Int64> = []
        for site in sources {
            try await site.run([("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", [])])
            changed.formUnion(Self.ids(try await site.rows(statements.changedIDs)))
        }
        let found = try await differences(.allBut, Self.array(changed))
        for site in sources { try await site.run([("COMMIT", [])]) }
        return found
    }

    /// Compares only these rows.
    func differences(of ids: Set<Int64>, _ limit: Instant) async throws(ReshardProblem) -> [RangeDifference] {
        ids.isEmpty ? [] : try await differences(.these, Self.array(ids), limit)
    }

    private func differences(
        _ rows: ReshardStatements.Rows, _ ids: String, _ limit: Instant = .distantFuture
    ) async throws(ReshardProblem) -> [RangeDifference] {
        let (statements, shape, oldSums) = (statements, shape, statements.oldSums(shape, by: placement, rows))
        let sums = SumBoard()
        let questions =
            sources.map { Question(site: $0.limited(to: limit), sql: oldSums, isOld: true) }
            + targets.enumerated().map { place, site in
                Question(
                    site: site.limited(to: limit), sql: statements.newSums(shape, shard: place, rows), isOld: false)
            }
        try await Self.all(questions) { question async throws(ReshardProblem) in
            let rows = try await question.site.rows(question.sql, [ids], within: ReshardSite.longTime)
            guard await sums.add(rows, isOld: question.isOld) else {
                throw ReshardProblem(.failed, "\(question.site.name): it sent sums that are none")
            }
        }
        return await RangeDifference.all(old: sums.old, new: sums.new)
    }
}

private struct Question: Sendable {
    var site: ReshardSite
    var sql: String
    var isOld: Bool
}

private actor SumBoard {
    private(set) var old: [HashCell: RowSum] = [:]
    private(set) var new: [HashCell: RowSum] = [:]

    /// - Returns: false if the rows are no sums.
    func add(_ rows: [[String?]], isOld: Bool) -> Bool {
        for row in rows {
            guard row.count == 4, let shard = row[0].flatMap({ Int($0) }), let range = row[1].flatMap({ Int($0) }),
                let count = row[2], let total = row[3], let sum = RowSum(count: count, sum: total)
            else { return false }
            let cell = HashCell(shard: shard, range: range)
            if isOld { old[cell, default: RowSum()] += sum } else { new[cell, default: RowSum()] += sum }
        }
        return true
    }
}
