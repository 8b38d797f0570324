internal import SluiceCore

/// What a load has for one of its shards: the open transaction, and rows on their way to it.
struct ShardLoad {
    let name: String
    /// Nil before the transaction is open, and after it has ended.
    var primary: PrimaryLease?
    var report: ShardReport
    var transaction: String?
    /// Rows of a binary COPY that no batch has taken yet, and where each ends.
    var waiting = RowBatchBuffer()
    /// The batch's writer, while it waits for rows.
    var writer: CheckedContinuation<Void, Never>?
    var isTableEmpty = false
    /// What gives the new table's parts their right names, when it takes the old one's place.
    var renames: [String] = []

    init(name: String) {
        self.name = name
        report = ShardReport(shard: name)
    }
}

/// Rows in the form of a binary COPY with their ends and their numbers.
struct RowBatchBuffer {
    var bytes: [UInt8] = []
    var ends: [Int] = []
    /// In the order in which the client sent them, from 0.
    var numbers: [Int] = []
    /// What the client was charged for them.
    var credit = 0

    var isEmpty: Bool { ends.isEmpty }

    /// Takes rows from the front: as many as have at most so many bytes, and at least one.
    mutating func takeFirst(upTo most: Int) -> RowBatchBuffer {
        guard bytes.count > most, let last = ends.lastIndex(where: { $0 <= most }) ?? ends.indices.first,
            last + 1 < ends.count
        else {
            defer { self = RowBatchBuffer() }
            return self
        }
        let cut = ends[last]
        var first = RowBatchBuffer()
        first.credit = credit * (last + 1) / ends.count
        credit -= first.credit
        first.bytes = Array(bytes[..<cut])
        first.ends = Array(ends[...last])
        first.numbers = Array(numbers[...last])
        bytes.removeSubrange(..<cut)
        ends = ends[(last + 1)...].map { $0 - cut }
        numbers.removeSubrange(...last)
        return first
    }

    /// The rows without the one at this place; returns its number.
    mutating func remove(at place: Int) -> Int? {
        guard ends.indices.contains(place) else { return nil }
        let start = place == 0 ? 0 : ends[place - 1]
        let length = ends[place] - start
        bytes.removeSubrange(start..<ends[place])
        ends.remove(at: place)
        for later in place..<ends.count { ends[later] -= length }
        return numbers.remove(at: place)
    }
}
