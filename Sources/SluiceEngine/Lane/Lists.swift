internal import SluiceCore

/// The lists of a search, merged from its legs: one for each vector, or for each vector and collection.
struct Lists {
    private(set) var lists: [[Candidate]] = []
    /// In merged lists, where the rows end of those collections that may bring fewer than k: by vector, then by part.
    private var ends: [Int: Candidate] = [:]

    init(_ plan: SearchPlan, _ legs: [LegReport]) {
        let vectors = plan.vectorCount
        lists.reserveCapacity(plan.isSeparate ? vectors * plan.parts.count : vectors)
        for vector in 0..<vectors {
            if plan.isSeparate {
                for part in plan.parts {
                    var merge = TopKMerge(k: part.k)
                    plan.offer(legs, part.legs, vector: vector, to: &merge)
                    lists.append(merge.finish())
                }
            } else {
                lists.append(merged(plan, legs, vector: vector))
            }
        }
    }

    private mutating func merged(_ plan: SearchPlan, _ legs: [LegReport], vector: Int) -> [Candidate] {
        var merge = TopKMerge(k: plan.search.k)
        for (place, part) in plan.parts.enumerated() {
            guard part.k < plan.search.k else {
                plan.offer(legs, part.legs, vector: vector, to: &merge)
                continue
            }
            var own = TopKMerge(k: part.k)
            plan.offer(legs, part.legs, vector: vector, to: &own)
            let list = own.finish()
            if list.count == part.k { ends[vector * plan.parts.count + place] = list.last }
            for candidate in list { merge.offer(candidate) }
        }
        return merge.finish()
    }

    /// The legs that may hold a row of the answer which they were not asked for, by their places; ascending.
    func cutShort(_ plan: SearchPlan, _ legs: [LegReport]) -> [Int] {
        guard plan.parts.contains(where: { plan.asked(of: $0) < $0.needed }) else { return [] }
        var short: Set<Int> = []
        for (number, list) in lists.enumerated() {
            let vector = plan.isSeparate ? number / plan.parts.count : number
            for (place, part) in plan.parts.enumerated() {
                if plan.isSeparate, place != number % plan.parts.count { continue }
                let k = plan.isSeparate ? part.k : min(part.k, plan.search.k)
                let facts = part.legs.map { place in
                    Self.quotaLeg(legs[place], place, vector: vector, needed: part.needed, k: k)
                }
                let end = plan.isSeparate ? nil : ends[vector * plan.parts.count + place]
                let bound = Self.bound(list, k: plan.isSeparate ? part.k : plan.search.k, end, plan)
                let found = ShardQuota.mayBeCutShort(facts, k: k, bound: bound, ordersTies: plan.search.exact)
                for place in found { short.insert(part.legs.lowerBound + place) }
            }
        }
        return short.sorted()
    }

    private static func quotaLeg(
        _ leg: LegReport, _ place: Int, vector: Int, needed: Int, k: Int
    ) -> ShardQuota.Leg {
        // What failed has nothing more to give.
        guard leg.status == .ok, leg.asked < needed else { return .init(asked: k, returned: 0, furthest: nil) }
        let rows = leg.rows.of(subject: vector)
        guard rows.count >= leg.asked else { return .init(asked: k, returned: rows.count, furthest: nil) }
        return .init(
            asked: min(leg.asked, k - 1), returned: rows.count, furthest: leg.furthest(of: rows, leg: place))
    }

    /// Where the answer ends: at its last row, at that of its collection, or at the distance asked for.
    private static func bound(
        _ list: [Candidate], k: Int, _ end: Candidate?, _ plan: SearchPlan
    ) -> Candidate? {
        let most = plan.maxDistance
        let furthest = Candidate(distance: most, collection: .max, id: .max, leg: 0, row: 0)
        return [list.count >= k ? list.last : nil, end, most.isFinite ? furthest : nil].compactMap(\.self)
            .min(by: Candidate.precedes)
    }

    func answer(_ plan: SearchPlan, _ legs: [LegReport], coverage: Double) -> SearchAnswer {
        var answer = SearchAnswer(hits: lists.first ?? [], legs: legs, coverage: coverage)
        answer.mayBeIncomplete = legs.contains { $0.mayBeIncomplete }
        guard lists.count > 1 else { return answer }
        var extras = AnswerExtras()
        extras.furtherLists = Array(lists.dropFirst())
        extras.listsPerVector = plan.isSeparate ? plan.parts.count : 1
        answer.extras = extras
        return answer
    }
}

extension SearchPlan {
    /// Every row of some legs that may be a hit.
    func offer(_ legs: [LegReport], _ places: Range<Int>, vector: Int = 0, to merge: inout TopKMerge) {
        eachRow(legs, places, vector: vector, within: maxDistance) { merge.offer($0) }
    }

    func eachRow(
        _ legs: [LegReport], _ places: Range<Int>, vector: Int = 0, within maxDistance: Double,
        _ body: (Candidate) -> Void
    ) {
        for place in places {
            let leg = legs[place]
            let rows = vector == 0 ? leg.rows : leg.rows.of(subject: vector)
            let left = like.flatMap { $0.collection == leg.collection ? $0.id : nil }
            for row in 0..<rows.count where !(rows.distances[row] > maxDistance) && rows.ids[row] != left {
                body(leg.candidate(row, of: rows, leg: place))
            }
        }
    }
}
