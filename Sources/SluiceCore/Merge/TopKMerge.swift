/// One row that a leg found, as the merge sees it: what it is ordered by, and where its cells are.
public struct Candidate: Hashable, Sendable {
    /// Smaller is nearer. Never NaN once it is in a merge.
    public var distance: Double
    /// The collection's place in the order of the names asked for; equal distances are ordered by it.
    public var collection: Int
    public var id: Int64
    /// Which leg found it, and which of that leg's rows it is.
    public var leg: Int
    public var row: Int

    public init(distance: Double, collection: Int, id: Int64, leg: Int, row: Int) {
        self.distance = distance
        self.collection = collection
        self.id = id
        self.leg = leg
        self.row = row
    }

    /// The total order of an answer: distance, then collection, then id. The leg and row only make the order of
    /// duplicates stable.
    public static func precedes(_ left: Candidate, _ right: Candidate) -> Bool {
        if left.distance != right.distance { return left.distance < right.distance }
        if left.collection != right.collection { return left.collection < right.collection }
        if left.id != right.id { return left.id < right.id }
        return (left.leg, left.row) < (right.leg, right.row)
    }
}

/// Keeps the k nearest of all candidates offered: a heap of at most k with the furthest on top.
///
/// A row without a place in the order (a NaN distance, as pgvector gives for a zero vector under cosine) is refused and
/// counted. The same (collection, id) offered twice is kept once: two shards that both hold a row must not push
/// another one out of the answer.
public struct TopKMerge: Sendable {
    private let k: Int
    private var heap: [Candidate] = []
    /// The rows held, if there may be too many of them to look through.
    private var seen: Set<RowKey> = []
    /// Rows refused because their distance is not a number.
    public private(set) var unordered = 0

    private struct RowKey: Hashable {
        var collection: Int
        var id: Int64
    }

    /// Up to here a walk over what is held is cheaper than a set.
    private static let walkable = 64

    /// - Parameter k: at least 1; less is taken as an empty answer.
    public init(k: Int) {
        self.k = max(0, k)
        heap.reserveCapacity(min(self.k, 1_024))
    }

    /// The distance that a candidate must beat to come in, once k are held.
    public var bound: Double? { heap.count == k ? heap.first?.distance : nil }

    public mutating func offer(_ candidate: Candidate) {
        guard k > 0 else { return }
        guard !candidate.distance.isNaN else {
            unordered += 1
            return
        }
        if heap.count == k, let furthest = heap.first, !Candidate.precedes(candidate, furthest) { return }
        if isHeld(candidate) {
            replaceIfNearer(candidate)
        } else if heap.count == k {
            forget(heap[0])
            heap[0] = candidate
            siftDown(from: 0)
        } else {
            heap.append(candidate)
            siftUp(from: heap.count - 1)
        }
    }

    /// True if the same row is held; else it is taken to be held from now on.
    private mutating func isHeld(_ candidate: Candidate) -> Bool {
        if k <= Self.walkable { return place(of: candidate) != nil }
        return !seen.insert(RowKey(collection: candidate.collection, id: candidate.id)).inserted
    }

    private mutating func forget(_ candidate: Candidate) {
        if k > Self.walkable { seen.remove(RowKey(collection: candidate.collection, id: candidate.id)) }
    }

    private func place(of candidate: Candidate) -> Int? {
        heap.firstIndex { $0.id == candidate.id && $0.collection == candidate.collection }
    }

    /// The answer, nearest first.
    public consuming func finish() -> [Candidate] {
        heap.sort(by: Candidate.precedes)
        return heap
    }

    /// Duplicates are rare, so finding the one held may walk the heap.
    private mutating func replaceIfNearer(_ candidate: Candidate) {
        guard let held = place(of: candidate), Candidate.precedes(candidate, heap[held]) else { return }
        heap[held] = candidate
        siftDown(from: held)
    }

    private mutating func siftUp(from start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            guard Candidate.precedes(heap[parent], heap[child]) else { return }
            heap.swapAt(parent, child)
            child = parent
        }
    }

    private mutating func siftDown(from start: Int) {
        var parent = start
        while true {
            let left = 2 * parent + 1
            guard left < heap.count else { return }
            let right = left + 1
            let further = right < heap.count && Candidate.precedes(heap[left], heap[right]) ? right : left
            guard Candidate.precedes(heap[parent], heap[further]) else { return }
            heap.swapAt(parent, further)
            parent = further
        }
    }
}
