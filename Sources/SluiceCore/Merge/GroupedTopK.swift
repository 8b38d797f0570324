/// Keeps the nearest candidates of the best groups, where a group is all rows with the same value in one column, and is
/// as good as its best candidate. Offers come in any order.
///
/// A group that is far down may come up with a late offer, and then needs what it had before; so groups are kept beyond
/// those wanted. Held at any time are at most 2 × `groupsHeld` groups of at most `perGroup` candidates, and never more
/// than were offered. When there are more groups, the worst go; if one of them might have been in the answer after all,
/// the answer says that it is not exact.
public struct GroupedTopK: Sendable {
    public struct Group: Hashable, Sendable {
        /// The value in PostgreSQL's binary form; nil: SQL's null, which is a group like any other.
        public var key: [UInt8]?
        /// Nearest first; never empty.
        public var candidates: [Candidate]
    }

    public struct Answer: Hashable, Sendable {
        /// The group of the nearest candidate first.
        public var groups: [Group]
        /// False if a group may lack candidates, because it was dropped while it was far down.
        public var isExact: Bool
    }

    private struct Held {
        /// Nearest first, each row once.
        var candidates: [Candidate] = []
        /// It was not there all the time since the first offer, or may not have been.
        var mayHaveLost: Bool
    }

    private struct RowKey: Hashable {
        var collection: Int
        var id: Int64
    }

    private let groupsWanted: Int
    private let perGroup: Int
    private let groupsHeld: Int
    private var groups: [[UInt8]?: Held] = [:]
    /// The nearest candidate of all groups that were dropped.
    private var nearestLost: Candidate?
    /// What its memory is measured by.
    package var candidatesHeld: Int { groups.values.reduce(0) { $0 + $1.candidates.count } }
    /// Rows refused because their distance is not a number.
    public private(set) var unordered = 0

    /// - Parameters:
    ///   - groups: wanted at most; less than 1 is taken as an empty answer.
    ///   - perGroup: candidates wanted of each at most; less than 1 likewise.
    ///   - groupsHeld: at least `groups`; less is taken as that. Up to 2^32.
    public init(groups: Int, perGroup: Int, groupsHeld: Int = 4_096) {
        groupsWanted = max(0, groups)
        self.perGroup = max(0, perGroup)
        self.groupsHeld = min(max(groupsHeld, groupsWanted), 1 << 32)
    }

    public mutating func offer(_ candidate: Candidate, key: [UInt8]?) {
        guard groupsWanted > 0, perGroup > 0 else { return }
        guard !candidate.distance.isNaN else {
            unordered += 1
            return
        }
        let fresh = Held(mayHaveLost: nearestLost != nil)
        Self.insert(candidate, into: &groups[key, default: fresh].candidates, most: perGroup)
        if groups.count > 2 * groupsHeld { dropWorstGroups() }
    }

    /// The answer. A row under two values, as when two shards disagree about it, is only in the group where it is
    /// nearest; the other group can then be one short.
    public consuming func finish() -> Answer {
        var rows = groups.flatMap { key, held in held.candidates.map { (key: key, candidate: $0) } }
        rows.sort { Candidate.precedes($0.candidate, $1.candidate) }
        var answer: [Group] = []
        var places: [[UInt8]?: Int] = [:]
        var seen: Set<RowKey> = []
        for (key, candidate) in rows {
            let row = RowKey(collection: candidate.collection, id: candidate.id)
            guard seen.insert(row).inserted else { continue }
            if let place = places[key] {
                if answer[place].candidates.count < perGroup { answer[place].candidates.append(candidate) }
            } else if answer.count < groupsWanted {
                places[key] = answer.count
                answer.append(Group(key: key, candidates: [candidate]))
            }
        }
        return Answer(groups: answer, isExact: answer.allSatisfy { isComplete($0) })
    }

    /// What was dropped is not nearer than `nearestLost`, so it matters only to a group that ends behind that.
    private func isComplete(_ group: Group) -> Bool {
        guard let nearestLost, groups[group.key]?.mayHaveLost != false else { return true }
        guard group.candidates.count == perGroup, let last = group.candidates.last else { return false }
        return Candidate.precedes(last, nearestLost)
    }

    private static func insert(_ candidate: Candidate, into held: inout [Candidate], most: Int) {
        if held.count == most, let last = held.last, !Candidate.precedes(candidate, last) { return }
        if let same = held.firstIndex(where: { $0.id == candidate.id && $0.collection == candidate.collection }) {
            guard Candidate.precedes(candidate, held[same]) else { return }
            held.remove(at: same)
        } else if held.count == most {
            held.removeLast()
        }
        held.insert(candidate, at: place(of: candidate, in: held))
    }

    private static func place(of candidate: Candidate, in held: [Candidate]) -> Int {
        var (low, high) = (0, held.count)
        while low < high {
            let middle = (low + high) / 2
            if Candidate.precedes(held[middle], candidate) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Half of them at a time, so that sorting costs little for each offer. A dropped group comes back only with a new
    /// candidate that is nearer, as `groupsHeld` others are better now and do not get worse.
    private mutating func dropWorstGroups() {
        var bests = groups.compactMap { key, held in held.candidates.first.map { (key: key, candidate: $0) } }
        bests.sort { Candidate.precedes($0.candidate, $1.candidate) }
        for (key, best) in bests.dropFirst(groupsHeld) {
            groups[key] = nil
            if nearestLost.map({ Candidate.precedes(best, $0) }) ?? true { nearestLost = best }
        }
    }
}
