public import SluiceCore
internal import Synchronization

/// What has happened of late, for people who look: the last events and the last slow searches, each with a number that
/// grows. Of every kind so many are kept.
public final class Journal: Sendable {
    /// Something changed.
    public struct Event: Hashable, Sendable {
        public enum Kind: String, Hashable, Sendable {
            case breaker
            case reachability
            case role
            case conflict
            /// Other members, or another leader.
            case topology
            case action
            /// An index is not used, or is used again.
            case plan
        }

        public var kind: Kind
        public var shard: String
        /// Empty if it is of the shard as a whole.
        public var replica: String
        public var text: String

        public init(_ kind: Kind, shard: String, replica: String = "", _ text: String) {
            self.kind = kind
            self.shard = shard
            self.replica = replica
            self.text = text
        }
    }

    /// A search that took long, without anything that it asked with or for.
    public struct SlowSearch: Hashable, Sendable {
        public struct Leg: Hashable, Sendable {
            public var collection: String
            public var shard: String
            public var replica: String
            public var status: LegStatus
            /// With its waits, retries and hedges.
            public var took: Duration
            public var wait: Duration
            public var execute: Duration
            public var attempts: Int
            public var hedges: Int
        }

        /// How the server of the slowest leg would run its statement.
        public struct Plan: Hashable, Sendable {
            public var collection: String
            public var shard: String
            public var replica: String
            public var outline: PlanOutline
            /// There is an index for it, and it was not used.
            public var isIndexMissed: Bool
        }

        public var collections: [String]
        public var k: Int
        public var took: Duration
        /// Nil for an answer.
        public var failure: SearchError.Code?
        /// 0 without an answer.
        public var coverage: Double
        public var legs: [Leg]
        /// Of one in so many, a little later.
        public var plan: Plan?
        public var session: UInt64
        public var request: UInt32
        /// Nil if it was part of no trace.
        public var traceID: String?
    }

    public struct Entry<Value: Hashable & Sendable>: Hashable, Sendable {
        public var number: UInt64
        public var at: Instant
        public var value: Value
    }

    private struct Ring<Value: Hashable & Sendable> {
        var entries: [Entry<Value>] = []
        var count: UInt64 = 0

        mutating func add(_ value: Value, at now: Instant) {
            count += 1
            if entries.count >= Journal.most { entries.removeFirst() }
            entries.append(Entry(number: count, at: now, value: value))
        }

        mutating func change(_ number: UInt64, _ body: (inout Value) -> Void) {
            guard let place = entries.firstIndex(where: { $0.number == number }) else { return }
            body(&entries[place].value)
        }
    }

    private struct State {
        var events = Ring<Event>()
        var searches = Ring<SlowSearch>()
        var lines: RateAllowance?
        var unsaid = 0
    }

    private static let most = 64
    /// Lines of the log about slow searches, a second.
    private static let linesPerSecond = 5

    private let slowNanoseconds: Atomic<Int64>
    let explaining: Explaining
    private let state = Mutex(State())

    /// - Parameters:
    ///   - slow: a search that takes as long is slow; nil: none is.
    ///   - explainOneIn: of so many slow searches the plan is asked for; 0: of none.
    public init(slow: Duration?, explainOneIn: Int = 0) {
        slowNanoseconds = Atomic(slow?.nanoseconds ?? .max)
        explaining = Explaining(oneIn: explainOneIn)
    }

    public func changed(slow: Duration?, explainOneIn: Int) {
        explaining.changed(toOneIn: explainOneIn)
        slowNanoseconds.store(slow?.nanoseconds ?? .max, ordering: .relaxed)
    }

    func isSlow(_ duration: Duration) -> Bool {
        let least = slowNanoseconds.load(ordering: .relaxed)
        return least != .max && duration.nanoseconds >= least
    }

    public func add(_ event: Event, at now: Instant) { state.withLock { $0.events.add(event, at: now) } }

    /// - Returns: its number, and how many came before that were not worth a line of the log, if this one is.
    func add(_ search: SlowSearch, at now: Instant) -> (number: UInt64, unsaid: Int?) {
        state.withLock { state in
            state.searches.add(search, at: now)
            let number = state.searches.count
            var lines = state.lines ?? RateAllowance(perSecond: Self.linesPerSecond, now: now)
            defer { state.lines = lines }
            guard lines.tryTake(now: now) else {
                state.unsaid += 1
                return (number, nil)
            }
            defer { state.unsaid = 0 }
            return (number, state.unsaid)
        }
    }

    /// Too late for a search that has made room for others.
    func explained(_ number: UInt64, _ plan: SlowSearch.Plan) {
        state.withLock { $0.searches.change(number) { $0.plan = plan } }
    }

    /// Oldest first.
    public var events: [Entry<Event>] { state.withLock { $0.events.entries } }
    public var slowSearches: [Entry<SlowSearch>] { state.withLock { $0.searches.entries } }
}

extension Journal.SlowSearch {
    init(_ search: Search, _ result: Result<SearchAnswer, SearchError>, took: Duration) {
        collections = search.collections
        k = search.k
        session = search.origin.session
        request = search.origin.request
        traceID = search.origin.trace?.id
        self.took = took
        let reports: [LegReport]
        switch result {
        case .success(let answer):
            failure = nil
            coverage = answer.coverage
            reports = answer.legs
        case .failure(let error):
            failure = error.code
            coverage = 0
            reports = error.legs
        }
        // A search of very many legs is as slow as its slowest.
        legs = reports.sorted { $0.took > $1.took }.prefix(Self.mostLegs).map(Leg.init)
    }

    private static let mostLegs = 32

    /// For a line of the log.
    var metadata: [String: String] {
        var metadata = [
            "collections": collections.joined(separator: ","), "k": String(k), "took": "\(took.milliseconds) ms",
            "legs": legs.map(\.line).joined(separator: "; "),
        ]
        metadata["session"] = String(session)
        metadata["request"] = String(request)
        metadata["trace_id"] = traceID
        if let failure { metadata["failure"] = "\(failure)" } else { metadata["coverage"] = String(coverage) }
        return metadata
    }
}

extension Journal.SlowSearch.Leg {
    fileprivate init(_ report: LegReport) {
        collection = report.collection
        shard = report.shard
        replica = report.replica
        status = report.status
        took = report.took
        wait = report.wait
        execute = report.execute
        attempts = report.attempts
        hedges = report.hedges
    }

    fileprivate var line: String {
        "\(collection)/\(shard)/\(replica) \(status) in \(took.milliseconds) ms"
            + " (waited \(wait.milliseconds), executed \(execute.milliseconds), attempts \(attempts), hedges \(hedges))"
    }
}

extension Duration {
    fileprivate var milliseconds: String {
        let tenths = (nanoseconds / 100_000)
        return "\(tenths / 10).\(tenths % 10)"
    }
}
