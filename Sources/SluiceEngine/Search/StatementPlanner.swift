/// What the shards are asked for a request, planned as lanes plan it, for whoever runs it without a lane: the load of
/// `sluice bench --direct` is the same statements. By one caller at a time, as a lane is.
package struct StatementPlanner {
    private var planner: Planner

    package init(_ topology: Topology, limits: PlanLimits) { planner = Planner(topology, limits: limits) }

    /// A search's first stage: words, coarse candidates and repairs, which come after it or beside it, are left out.
    package mutating func statements(for search: Search) throws(SearchError) -> [PlannedStatement] {
        let plan = try planner.plan(search)
        return zip(plan.stage.legs, plan.stage.inputs).map(PlannedStatement.init)
    }

    package mutating func statements(for rows: RowRequest) throws(SearchError) -> [PlannedStatement] {
        let stage = try planner.rows(rows, ids: rows.ids)
        return zip(stage.legs, stage.inputs).map(PlannedStatement.init)
    }
}

/// One statement on one shard.
package struct PlannedStatement: Sendable {
    private let leg: PlannedLeg
    private let input: LegInput

    fileprivate init(_ leg: PlannedLeg, _ input: LegInput) {
        self.leg = leg
        self.input = input
    }

    /// Its shard's place in the catalogue.
    package var shard: Int { leg.shardIndex }
    /// Equal distances are ordered by it.
    package var collectionRank: Int { leg.collectionRank }

    package func request(token: Int64, timeout: Duration, maximumBytes: Int) -> BackendSearch {
        BackendSearch(
            shape: leg.shape, settings: input.settings, timeout: timeout, subject: input.subject,
            furtherSubjects: input.furtherSubjects, parameters: input.parameters, token: token,
            maximumBytes: maximumBytes)
    }
}
