import SluiceCore
import Testing

/// What two tables are compared by, and how rows are split over shards.
@Suite struct RowSumsTests {
    @Test func sumsAreReadModuloTwoToTheSixtyFour() {
        #expect(RowSum(count: "3", sum: "12") == RowSum(count: 3, sum: 12))
        #expect(RowSum(count: "1", sum: "-1") == RowSum(count: 1, sum: .max))
        #expect(RowSum(count: "2", sum: "18446744073709551617")?.sum == 1)
        #expect(RowSum(count: "2", sum: "-36893488147419103235")?.sum == 0 &- 3)
        for (count, sum) in [("", "1"), ("1", ""), ("1", "-"), ("1", "1.5"), ("-1", "1"), ("1", "1e3")] {
            #expect(RowSum(count: count, sum: sum) == nil)
        }
    }

    @Test func sumsOfPartsAddUp() {
        var sum = RowSum(count: 1, sum: .max)
        sum += RowSum(count: 2, sum: 3)
        #expect(sum == RowSum(count: 3, sum: 2))
    }

    @Test func everyKindOfDifferenceIsFound() {
        let (same, changed) = (HashCell(shard: 0, range: 0), HashCell(shard: 0, range: 9))
        let (lost, misplaced) = (HashCell(shard: 1, range: 3), HashCell(shard: 2, range: 3))
        let old: [HashCell: RowSum] = [
            same: RowSum(count: 5, sum: 5), changed: RowSum(count: 2, sum: 7), lost: RowSum(count: 1, sum: 1),
        ]
        let new: [HashCell: RowSum] = [
            same: RowSum(count: 5, sum: 5), changed: RowSum(count: 2, sum: 8), misplaced: RowSum(count: 1, sum: 1),
        ]
        #expect(RangeDifference.all(old: old, new: new).map(\.cell) == [changed, lost, misplaced])
        #expect(RangeDifference.all(old: old, new: old).isEmpty)
        #expect(RangeDifference.all(old: [:], new: new).allSatisfy { $0.old == RowSum() })
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// Of a bigint, a null and two bytes.
    private static func record(_ id: UInt8) -> [UInt8] {
        [0, 0, 0, 3]
            + [0, 0, 0, 20, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, id]
            + [0, 0, 0, 25, 255, 255, 255, 255]
            + [0, 0, 64, 1, 0, 0, 0, 2, 0xAB, 0xCD]
    }

    @Test func recordsBecomeRowsOfTheShardThatTheirIDsName() throws {
        let placement = try #require(HashPlacement(shardCount: 3))
        var split = RowSplit(placement)
        for id in 1...20 as ClosedRange<UInt8> {
            let isAdded = split.add(Int64(id), record: Self.hexadecimal(Self.record(id)))
            #expect(isAdded)
        }
        split.addMissing(21)
        #expect(split.parts.map(\.count).reduce(0, +) == 20)
        for (shard, part) in split.parts.enumerated() {
            #expect(part.ids.allSatisfy { placement.shard(of: $0) == shard })
            let rows = part.ids.filter { $0 <= 20 }.flatMap { id -> [UInt8] in
                [0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, UInt8(id), 255, 255, 255, 255, 0, 0, 0, 2, 0xAB, 0xCD]
            }
            #expect(part.rows == rows)
        }
        #expect(split.parts[placement.shard(of: 21)].ids.last == 21)
    }

    @Test func whatIsNoRecordIsRefusedWhole() throws {
        var split = RowSplit(try #require(HashPlacement(shardCount: 1)))
        let whole = Self.hexadecimal(Self.record(1))
        let isAdded = split.add(1, record: whole)
        #expect(isAdded)
        let before = split.parts
        let broken =
            (0..<whole.count).map { String(whole.prefix($0)) }
            + [whole + "00", String(whole.dropLast(2)) + "XY", "7fffffff", "ffffffff"]
        for record in broken {
            let isTaken = split.add(2, record: record)
            #expect(!isTaken, "\(record.count) digits")
        }
        #expect(split.parts == before)
    }
}
