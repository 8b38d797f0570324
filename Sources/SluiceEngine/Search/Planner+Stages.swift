internal import SluiceCore

/// What is asked after a search's first stage, or instead of it.
extension Planner {
    /// Asks some legs again, for all the rows that an answer can need of them.
    /// - Parameter short: their places in the plan's stage.
    mutating func again(_ plan: SearchPlan, _ short: [Int]) -> Stage {
        var stage = Stage()
        for part in plan.parts {
            let places = short.filter(part.legs.contains)
            guard !places.isEmpty else { continue }
            let shape = plan.stage.legs[part.legs.lowerBound].shape
            var input = part.input
            input.settings = repairSettings(plan.search, part, limit: part.needed)
            input.ladder = ladder(plan.search, part, limit: part.needed)
            let legs = legs(
                part.collection, shape.question, columns: part.columns, limit: part.needed, filter: part.filter?.shape)
            for place in places {
                stage.legs.append(legs[place - part.legs.lowerBound])
                stage.inputs.append(input)
            }
        }
        return stage
    }

    /// The same legs for more rows.
    mutating func wider(_ plan: SearchPlan, limit: Int) -> Stage {
        var stage = Stage()
        for part in plan.parts {
            let shape = plan.stage.legs[part.legs.lowerBound].shape
            var input = part.input
            input.settings = repairSettings(plan.search, part, limit: limit)
            input.ladder = ladder(plan.search, part, limit: limit)
            let legs = legs(
                part.collection, shape.question, columns: part.columns, limit: limit, filter: part.filter?.shape)
            stage.append(Stage(legs: legs, inputs: Array(repeating: input, count: legs.count)))
        }
        return stage
    }

    /// The full-text half of a hybrid search.
    mutating func words(_ plan: SearchPlan, _ text: SearchExtras.TextSearch) -> Stage {
        var stage = Stage()
        for part in plan.parts {
            let legs = legs(
                part.collection, .words, columns: part.columns,
                limit: Self.candidates(text.candidates, k: plan.search.k), filter: part.filter?.shape)
            let input = LegInput(
                settings: noSettings, subject: Array(text.query.utf8), parameters: part.filter?.values ?? [])
            stage.append(Stage(legs: legs, inputs: Array(repeating: input, count: legs.count)))
        }
        return stage
    }

    /// The second phase of a search in two: the exact distances of the survivors, only where they live.
    mutating func ranked(_ plan: SearchPlan, _ survivors: [CandidateFunnel.Survivors]) -> Stage {
        var stage = Stage()
        for survivor in survivors {
            guard let part = plan.parts.first(where: { $0.legs.contains(survivor.leg) }) else { continue }
            let legs = legs(
                part.collection, .ranked, columns: part.columns, limit: part.needed, filter: part.filter?.shape)
            var input = part.input
            input.settings = noSettings
            input.ladder = nil
            let ids = ParameterValue(arrayOf: .int8, survivor.ids.map { .int($0) })
            input.parameters = [ids] + (part.filter?.values ?? [])
            stage.legs.append(legs[survivor.leg - part.legs.lowerBound])
            stage.inputs.append(input)
        }
        return stage
    }

    // MARK: Rows and counts

    /// One leg for each shard that may hold some of the ids.
    mutating func rows(_ request: RowRequest, ids: [Int64]) throws(SearchError) -> Stage {
        let collection = try collection(request.collection)
        guard (1...RowRequest.mostIDs).contains(ids.count) else {
            throw SearchError(
                .invalidArgument, "\(ids.count) ids are asked for; it must be 1 to \(RowRequest.mostIDs)")
        }
        if let twice = firstDuplicate(request.columns) {
            throw SearchError(.invalidArgument, "column \"\(twice)\" is asked for twice")
        }
        try check(request.columns, of: collection)
        var stage = Stage()
        for (place, own) in Self.placed(ids, in: collection) {
            let legs = legs(
                collection, .rows(withVector: request.withVector), columns: request.columns,
                limit: Self.roomFor(own.count), filter: nil)
            stage.legs.append(legs[place])
            stage.inputs.append(
                LegInput(
                    settings: noSettings,
                    subject: ParameterValue(arrayOf: .int8, own.map { .int($0) }).bytes))
        }
        return stage
    }

    /// The places of the shards that may hold the ids, each with those that it may hold.
    private static func placed(_ ids: [Int64], in collection: Collection) -> [(place: Int, ids: [Int64])] {
        let places = Array(collection.shards.indices)
        guard collection.placement == .hash, let placement = HashPlacement(shardCount: places.count) else {
            return places.map { ($0, ids) }
        }
        let grouped = Dictionary(grouping: ids) { placement.shard(of: $0) }
        return places.compactMap { place in grouped[place].map { (place, $0) } }
    }

    /// Statements are few: a limit that is a power of two serves any number of ids up to it.
    private static func roomFor(_ count: Int) -> Int {
        var room = 1
        while room < count { room *= 2 }
        return room
    }

    mutating func count(_ question: CountQuestion) throws(SearchError) -> Stage {
        let collection = try collection(question.collection)
        let filter = try question.filter.map { filter throws(SearchError) in
            try FilterPlan(filter, columns: collection.filterable, collection: collection.name)
        }
        let legs = legs(
            collection, question.isExact ? .count : .estimate, columns: [], limit: 1, filter: filter?.shape)
        let input = LegInput(settings: noSettings, subject: [], parameters: filter?.values ?? [])
        return Stage(legs: legs, inputs: Array(repeating: input, count: legs.count))
    }
}
