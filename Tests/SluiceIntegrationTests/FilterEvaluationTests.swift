import ReferenceTestKit
import SluiceClient
import SluiceWire
import Testing

import struct SluiceCore.SplitMix64

/// The reference itself, by cases whose answers are known from SQL; needs no PostgreSQL.
@Suite struct FilterEvaluationTests {
    private static let row = FilterEvaluation(row: [
        "flag": .bool(true), "size": .int(5), "score": .double(2.5), "name": .text("libnet"), "none": nil,
        "made": .timestamp(86_400_000_000), "key": .text("00000000-0000-0001-0000-00000000000a"),
        "tags": .textArray(["a", "b"]), "nan": .double(.nan),
    ])

    @Test(
        arguments: [
            ("flag = true", true), ("flag != true", false), ("size = 5", true), ("size = 5.0", true),
            ("size < 5.5", true),
            ("score >= 2.5", true), ("score > 3", false), ("nan = 1", false), ("nan > 1e300", true),
            ("name like 'lib%'", true), ("name like 'LIB%'", false), ("name < 'z'", true),
            ("made > timestamp '2000-01-01'", true), ("made <= timestamp '2000-01-01T23:59:59Z'", false),
            ("key = uuid '00000000-0000-0001-0000-00000000000A'", true),
            ("key < uuid '00000000-0000-0001-0000-00000000000B'", true),
            ("tags && ('b', 'c')", true), ("tags && ('c')", false), ("tags && ()", false),
            ("tags = array['a', 'b']", true),
            ("tags != array['b', 'a']", true), ("size in (1, 5)", true), ("size in (1, 5.5)", false),
            ("size between 5 and 6", true), ("size between 6 and 5", false), ("size not between 6 and 7", true),
            // Unknown, which `not` does not change, unless the other operand decides.
            ("none = 1", nil), ("not none = 1", nil), ("none != 1", nil), ("none in (1)", nil),
            ("none not in (1)", nil),
            ("none in ()", false), ("none not in ()", true), ("none like '%'", nil), ("none between 1 and 2", nil),
            ("none && ('a')", nil), ("none is null", true), ("none is not null", false), ("size is null", false),
            ("none = 1 and size = 6", false), ("none = 1 and size = 5", nil), ("none = 1 or size = 5", true),
            ("none = 1 or size = 6", nil),
        ] as [(String, Bool?)])
    func threeValuedLogic(text: String, truth: Bool?) throws {
        let filter = try Filter(parsing: text)
        #expect(Self.row.truth(of: filter.expression) == truth)
        #expect(Self.row.matches(filter) == (truth == true))
    }

    @Test func cellsAsTheClientDecodesThem() {
        let array: [UInt8] = [
            0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0x61, 255, 255, 255, 255, 0, 0, 0,
            0,
        ]
        #expect(FilterValue(cell: .bytes(array, typeOID: 1_009)) == .textArray(["a", ""]))
        #expect(FilterValue(cell: .bytes(Array(array.prefix(12)), typeOID: 1_009)) == .textArray([]))
        #expect(FilterValue(cell: .bytes([255, 255, 255, 255, 255, 255, 255, 254], typeOID: 1_184)) == .timestamp(-2))
        #expect(FilterValue(cell: .null) == nil)
    }

    @Test func randomFiltersAreTheSameForASeedAndFindSomeRows() {
        let columns: [FilterGenerator<SplitMix64>.Column] = [
            .init("flag", .bool, samples: [true]), .init("size", .int, samples: [5, 7]),
            .init("score", .float, samples: [2.5]), .init("name", .text, samples: ["libnet"]),
            .init("made", .timestamp, samples: [.timestamp(microsecondsSince2000: 86_400_000_000)]),
            .init("tags", .textArray, samples: ["a", "c"]), .init("none", .int, samples: [1]),
        ]
        var first = FilterGenerator(columns: columns, random: SplitMix64(seed: 9))
        var second = FilterGenerator(columns: columns, random: SplitMix64(seed: 9))
        var truths: [Bool?: Int] = [:]
        for _ in 0..<1_000 {
            let filter = first.filter()
            #expect(filter == second.filter())
            truths[Self.row.truth(of: filter.expression), default: 0] += 1
        }
        #expect(truths.count == 3 && truths.values.allSatisfy { $0 > 50 }, "\(truths)")
    }
}
