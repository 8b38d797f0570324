internal import SluiceCore

/// What is asked after a search's first stage, or instead of it.
extension Planner {
    /// Asks some legs again for more rows, as hard as they have been searched already.
    /// - Parameters:
    ///   - places: theirs in the plan's stage; ascending.
    ///   - legs: what has come of all legs of the stage.
    ///   - limit: how many rows are asked for; nil for all that an answer can need.
    ///   - isExtra: what there is may be given without it.
    mutating func again(
        _ plan: SearchPlan, _ places: [Int], _ reports: [LegReport], limit: Int? = nil, isExtra: Bool
    ) -> Stage {
        var stage = Stage()
        for part in plan.parts {
            let own = places.filter(part.legs.contains)
            guard let first = own.first else { continue }
            let limit = limit ?? part.needed
            let search = plan.search
            let question = plan.stage.legs[first].shape.question
            let wanted = search.settings.filled(from: part.collection.value.defaults)
            let ladder = ladder(search, part.collection, part.columns, filter: part.filter, limit: limit)
            let asAsked = legs(
                part.collection, question, columns: part.columns, limit: limit, filter: part.filter?.shape)
            for place in own {
                let rung = reports[place].rung
                let isExact = question == .exact || rung == .exact
                let settings =
                    if let rungs = ladder?.rungs, rung > .asAsked {
                        rungs.settings(rung, part.input.settings)
                    } else if isExact {
                        part.input.settings
                    } else {
                        settings(wanted, part.collection.value.caps, limit: limit)
                    }
                let legs = rung == .exact ? ladder?.rungs?.exactLegs ?? asAsked : asAsked
                stage.legs.append(legs[place - part.legs.lowerBound])
                stage.inputs.append(part.input.again(settings, isExact ? nil : ladder, isExtra: isExtra))
            }
        }
        return stage
    }

    /// The full-text half of a hybrid search.
    mutating func words(_ plan: SearchPlan, _ text: SearchExtras.TextSearch) -> Stage {
        var stage = Stage()
        for part in plan.parts {
            let most = Self.candidates(text.candidates, k: part.needed)
            let legs = legs(
                part.collection, .words, columns: part.columns, limit: Self.room(for: most),
                filter: part.filter?.shape)
            let input = LegInput(
                settings: noSettings, subject: Array(text.query.utf8), parameters: part.filter?.values ?? [])
            stage.append(Stage(legs, asking: input))
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
            let ids = ParameterValue(arrayOf: .int8, survivor.ids.map { .int($0) })
            stage.legs.append(legs[survivor.leg - part.legs.lowerBound])
            stage.inputs.append(
                LegInput(
                    // With an index of the vectors the ids would be no more than its filter.
                    settings: withoutIndex, subject: part.input.subject,
                    parameters: [ids] + (part.filter?.values ?? [])))
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
        try check(request.columns, of: collection.value)
        let filter = try request.filter.map { filter throws(SearchError) in
            try FilterPlan(filter, collection.value)
        }
        var stage = Stage()
        for (place, own) in Self.placed(ids, in: collection.value) {
            let legs = legs(
                collection, .rows(withVector: request.withVector), columns: request.columns,
                limit: Self.room(for: own.count), filter: filter?.shape)
            stage.legs.append(legs[place])
            stage.inputs.append(
                LegInput(
                    settings: noSettings,
                    subject: ParameterValue(arrayOf: .int8, own.map { .int($0) }).bytes,
                    parameters: filter?.values ?? []))
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

    mutating func count(_ question: CountQuestion) throws(SearchError) -> Stage {
        let collection = try collection(question.collection)
        let filter = try question.filter.map { filter throws(SearchError) in
            try FilterPlan(filter, collection.value)
        }
        let legs = legs(
            collection, question.isExact ? .count : .estimate, columns: [], limit: 1, filter: filter?.shape)
        let input = LegInput(settings: noSettings, subject: [], parameters: filter?.values ?? [])
        return Stage(legs, asking: input)
    }
}
