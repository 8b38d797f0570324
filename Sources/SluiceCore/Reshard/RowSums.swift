/// A part of a collection: the rows of one new shard whose ids' hashes are in one range.
package struct HashCell: Hashable, Comparable, Sendable {
    /// The new shard's place.
    package var shard: Int
    /// From 0, below `HashCell.ranges`.
    package var range: Int

    package static let ranges = 256

    package init(shard: Int, range: Int) {
        self.shard = shard
        self.range = range
    }

    package static func < (left: Self, right: Self) -> Bool { (left.shard, left.range) < (right.shard, right.range) }
}

/// How many rows there are, and the sum of their hashes. It does not depend on their order.
package struct RowSum: Hashable, Sendable, Codable {
    package var count: Int
    /// Modulo 2^64.
    package var sum: UInt64

    package init(count: Int = 0, sum: UInt64 = 0) {
        self.count = count
        self.sum = sum
    }

    /// - Parameters:
    ///   - count: as a server writes a bigint.
    ///   - sum: as it writes a whole number of any length.
    package init?(count: String, sum: String) {
        guard let count = Int(count), count >= 0 else { return nil }
        let isNegative = sum.utf8.first == UInt8(ascii: "-")
        let digits = sum.utf8.dropFirst(isNegative ? 1 : 0)
        guard !digits.isEmpty else { return nil }
        var value: UInt64 = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            value = value &* 10 &+ UInt64(digit &- UInt8(ascii: "0"))
        }
        self.init(count: count, sum: isNegative ? 0 &- value : value)
    }

    package static func += (left: inout Self, right: Self) {
        left.count += right.count
        left.sum &+= right.sum
    }
}

/// A part of the collection that is not the same in the new tables as in the old ones.
package struct RangeDifference: Hashable, Sendable {
    package var cell: HashCell
    package var old: RowSum
    package var new: RowSum

    package init(_ cell: HashCell, old: RowSum, new: RowSum) {
        self.cell = cell
        self.old = old
        self.new = new
    }

    /// - Parameters:
    ///   - old: summed over all old shards.
    ///   - new: of each new shard what is on it.
    /// - Returns: in the order of shards and ranges.
    package static func all(old: [HashCell: RowSum], new: [HashCell: RowSum]) -> [RangeDifference] {
        Set(old.keys).union(new.keys).sorted().compactMap { cell in
            let (before, after) = (old[cell] ?? RowSum(), new[cell] ?? RowSum())
            return before == after ? nil : RangeDifference(cell, old: before, new: after)
        }
    }
}
