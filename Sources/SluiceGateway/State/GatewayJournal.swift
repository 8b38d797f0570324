internal import SluiceCore
internal import SluiceEngine

/// What has happened in a gateway of late: `/api/v1/journal` is this as JSON. The numbers grow, so whoever looks again
/// knows what is new. Times are in seconds, points in time since 1970 (UTC).
package struct GatewayJournal: Codable, Hashable, Sendable {
    package struct Event: Codable, Hashable, Sendable {
        package var number: UInt64
        package var at: Double
        /// `breaker`, `reachability`, `role`, `conflict`, `action` or `plan`.
        package var kind: String
        package var shard: String
        /// Empty for one of the shard as a whole.
        package var replica: String
        package var text: String
    }

    package struct Leg: Codable, Hashable, Sendable {
        package var collection: String
        package var shard: String
        package var replica: String
        package var status: String
        package var took: Double
        package var wait: Double
        package var execute: Double
        package var attempts: Int
        package var hedges: Int
    }

    /// How the server of the slowest leg would run its statement: kinds of steps and names of indexes.
    package struct Plan: Codable, Hashable, Sendable {
        package var collection: String
        package var shard: String
        package var replica: String
        package var steps: String
        /// `vector`, `other` or `none`.
        package var indexUsed: String
        /// There is an index for it, and it was not used.
        package var isIndexMissed: Bool
        package var estimatedRows: Double
        package var estimatedCost: Double
    }

    package struct SlowSearch: Codable, Hashable, Sendable {
        package var number: UInt64
        package var at: Double
        package var collections: [String]
        package var k: Int
        package var took: Double
        /// Nil for an answer.
        package var failure: String?
        package var coverage: Double
        package var legs: [Leg]
        /// As WELCOME has it, and the session's number of the search.
        package var session: UInt64
        package var request: UInt32
        /// Nil if it was part of no trace.
        package var traceID: String?
        /// Of one in so many, a little later.
        package var plan: Plan?
    }

    /// Oldest first.
    package var events: [Event]
    package var slowSearches: [SlowSearch]
}

extension Gateway {
    /// The last things that happened.
    package var journal: GatewayJournal {
        let (now, wall) = (house.now, WallClock.exactSeconds())
        func time(_ instant: Instant) -> Double { wall - instant.duration(to: now).seconds }
        return GatewayJournal(
            events: house.shared.journal.events.map {
                .init(
                    number: $0.number, at: time($0.at), kind: $0.value.kind.rawValue, shard: $0.value.shard,
                    replica: $0.value.replica, text: $0.value.text)
            },
            slowSearches: house.shared.journal.slowSearches.map { entry in
                .init(
                    number: entry.number, at: time(entry.at), collections: entry.value.collections, k: entry.value.k,
                    took: entry.value.took.seconds, failure: entry.value.failure.map { "\($0)" },
                    coverage: entry.value.coverage, legs: entry.value.legs.map(GatewayJournal.Leg.init),
                    session: entry.value.session, request: entry.value.request, traceID: entry.value.traceID,
                    plan: entry.value.plan.map(GatewayJournal.Plan.init))
            })
    }
}

extension GatewayJournal.Plan {
    fileprivate init(_ plan: Journal.SlowSearch.Plan) {
        self.init(
            collection: plan.collection, shard: plan.shard, replica: plan.replica, steps: plan.outline.steps,
            indexUsed: plan.outline.indexUse.rawValue, isIndexMissed: plan.isIndexMissed,
            estimatedRows: plan.outline.rows, estimatedCost: plan.outline.cost)
    }
}

extension GatewayJournal.Leg {
    fileprivate init(_ leg: Journal.SlowSearch.Leg) {
        self.init(
            collection: leg.collection, shard: leg.shard, replica: leg.replica, status: "\(leg.status)",
            took: leg.took.seconds, wait: leg.wait.seconds, execute: leg.execute.seconds, attempts: leg.attempts,
            hedges: leg.hedges)
    }
}
