/// What a leg that found too few rows does next. An index gives its candidates first and a filter thins them out
/// afterwards, so a filtered leg can return fewer rows than there are; without a filter HNSW does too if `ef_search` is
/// below what is asked for. The reply says so; and if the client wants it complete, the leg climbs: a wider search, a
/// scan that goes on until it has enough, a comparison with every row. A rung that would not be ready in time is not
/// tried, as its load on the backend would be for nothing.
///
/// Source of the rungs: pgvector's README, "Filtering" and "Iterative Index Scans".
public struct EscalationLadder: Hashable, Sendable {
    public enum Rung: Int, Hashable, Comparable, Sendable, CaseIterable {
        case asAsked
        /// With `EscalationLadder.widerEfSearch`.
        case widerSearch
        /// `hnsw.iterative_scan` or `ivfflat.iterative_scan`.
        case iterativeScan
        /// Without the index: always complete.
        case exact

        public static func < (left: Rung, right: Rung) -> Bool { left.rawValue < right.rawValue }
    }

    /// How the leg stands after the rung that it has tried last.
    public struct Situation: Hashable, Sendable {
        public var rung: Rung
        /// Its limit, and how many rows came.
        public var asked: Int
        public var returned: Int
        /// A filter is there, or something else lets rows fall out after the index: many dead rows, or lists that an
        /// IVFFlat index did not probe.
        public var mayUnderReturn: Bool
        /// The client asked for `complete: true`.
        public var wantsComplete: Bool
        /// `hnsw.ef_search` of the last rung; nil if the index is not HNSW.
        public var efSearch: Int?
        /// pgvector 0.8 and later can scan iteratively.
        public var canIterate = true
        /// How many rows an exact search would have to look at; nil if unknown.
        public var exactRows: Int?
        public var timeLeft: Duration
        /// From sending the last rung's statement to its last row.
        public var lastTook: Duration

        public init(
            rung: Rung, asked: Int, returned: Int, mayUnderReturn: Bool, wantsComplete: Bool, efSearch: Int?,
            timeLeft: Duration, lastTook: Duration
        ) {
            self.rung = rung
            self.asked = asked
            self.returned = returned
            self.mayUnderReturn = mayUnderReturn
            self.wantsComplete = wantsComplete
            self.efSearch = efSearch
            self.timeLeft = timeLeft
            self.lastTook = lastTook
        }
    }

    public enum Decision: Hashable, Sendable {
        /// Answer with what there is. Not complete: more rows may match.
        case accept(isComplete: Bool)
        /// Ask again in this way.
        case escalate(Rung)
    }

    /// pgvector's own upper bound of `hnsw.ef_search`.
    public static let highestEfSearch = 1_000
    private static let widening = 4

    /// Rows a second that an exact search looks at, for its estimate; at least 1.
    public var exactRowsPerSecond = 500_000.0
    /// `hnsw.max_scan_tuples`: where an iterative scan stops; at least 1.
    public var mostScannedRows = 20_000

    public init() {}

    /// Four times as wide, up to pgvector's bound.
    public static func widerEfSearch(_ efSearch: Int) -> Int {
        min(max(1, efSearch), highestEfSearch / widening) * widening
    }

    public func decide(_ situation: Situation) -> Decision {
        guard Self.isUnderReturned(situation) else { return .accept(isComplete: true) }
        guard situation.wantsComplete, let rung = next(after: situation) else { return .accept(isComplete: false) }
        return .escalate(rung)
    }

    /// Whether more rows may match than came.
    public static func isUnderReturned(_ situation: Situation) -> Bool {
        guard situation.returned < situation.asked, situation.rung != .exact else { return false }
        if situation.mayUnderReturn { return true }
        // An iterative scan goes on where `ef_search` ends.
        guard let efSearch = situation.efSearch, situation.rung < .iterativeScan else { return false }
        return efSearch < situation.asked
    }

    private func next(after situation: Situation) -> Rung? {
        let left = Double(max(0, situation.timeLeft.nanoseconds))
        guard left > 0 else { return nil }
        let usable = [Rung.widerSearch, .iterativeScan].filter { isUseful($0, after: situation) }
        let fitting = usable.first { nanoseconds(for: $0, after: situation) <= left }
        if let exact = exactNanoseconds(situation) {
            guard exact <= left else { return fitting }
            // It may be the quickest as well, when few rows match and an index of the filter's column finds them.
            guard let fitting, nanoseconds(for: fitting, after: situation) < exact else { return .exact }
            return fitting
        }
        if let fitting { return fitting }
        // Nothing is known of what exact costs, but that it is not less than what was tried.
        return usable.isEmpty && Self.took(situation) <= left ? .exact : nil
    }

    private func isUseful(_ rung: Rung, after situation: Situation) -> Bool {
        guard rung > situation.rung else { return false }
        if rung == .iterativeScan { return situation.canIterate }
        guard let efSearch = situation.efSearch, efSearch < Self.highestEfSearch else { return false }
        // Without a scan that goes on, more is better than nothing more.
        guard situation.canIterate else { return true }
        // At the share of rows that came through so far, would it find enough?
        let wider = Double(Self.widerEfSearch(efSearch))
        let expected = Double(max(0, situation.returned)) * wider / Double(max(1, efSearch))
        return wider >= Double(situation.asked) && expected >= Double(situation.asked)
    }

    /// What a rung will take, if time grows with the rows that the index gives: measured by the last one.
    private func nanoseconds(for rung: Rung, after situation: Situation) -> Double {
        let looked = Double(max(1, situation.efSearch ?? situation.asked))
        var more = Double(Self.widerEfSearch(situation.efSearch ?? 1)) / looked
        if rung == .iterativeScan {
            more = Double(situation.asked) / Double(max(1, situation.returned))
            let most = Double(max(1, mostScannedRows)) / looked
            // With nothing found it goes on to its bound.
            more = situation.returned > 0 ? min(more, max(most, 1)) : max(most, 1)
        }
        return Self.took(situation) * max(1, more)
    }

    private func exactNanoseconds(_ situation: Situation) -> Double? {
        guard let rows = situation.exactRows else { return nil }
        let speed = exactRowsPerSecond.isNaN ? 1 : max(1, exactRowsPerSecond)
        return Double(max(0, rows)) / speed * 1e9
    }

    private static func took(_ situation: Situation) -> Double { Double(max(1, situation.lastTook.nanoseconds)) }
}
