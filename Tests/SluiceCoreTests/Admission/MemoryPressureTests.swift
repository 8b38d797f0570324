import SluiceCore
import Testing

/// Who has to stop when there is too much, and when all go on.
@Suite struct MemoryPressureTests {
    private static func holders(_ held: [Int]) -> [MemoryPressure.Holder] {
        held.enumerated().map { .init(id: UInt64($0.offset + 1), held: $0.element) }
    }

    @Test func belowTheHighWaterMarkNobodyStopsAndAtItTheGreediestDoes() {
        var pressure = MemoryPressure(limit: 6_400)
        #expect(pressure.highWater == 4_800 && pressure.nextLook == 4_800)
        #expect(pressure.grew(to: 4_799, Self.holders([1_000, 3_000, 799])) == [])
        #expect(pressure.grew(to: 4_800, Self.holders([1_000, 3_000, 800])) == [2])
        #expect(pressure.stopped == [2])
    }

    @Test func twiceAsManyMoreStopWithEachStepThatItGrows() {
        var pressure = MemoryPressure(limit: 6_400)
        let held = [100, 700, 600, 500, 400, 300, 200, 800, 900]
        #expect(pressure.grew(to: 4_850, Self.holders(held)) == [9])
        #expect(pressure.nextLook == 4_950, "a sixty-fourth of the limit on")
        #expect(pressure.grew(to: 4_950, Self.holders(held)) == [8, 2])
        #expect(pressure.grew(to: 5_050, Self.holders(held)) == [3, 4, 5, 6])
        // 1,600 bytes are left for nine: who holds no more than 177 is not stopped.
        #expect(pressure.grew(to: 5_150, Self.holders(held)) == [7])
        #expect(pressure.grew(to: 5_250, Self.holders(held)) == [])
        #expect(pressure.stopped.count == 8)
        #expect(pressure.grew(to: 5_350, Self.holders([177] + held.dropFirst())) == [])
        #expect(pressure.grew(to: 5_350, Self.holders([178] + held.dropFirst())) == [1])
    }

    /// A thousand sessions that each hold a little more from step to step leave the last quarter to others.
    @Test func manyHoardersAreAllStoppedBeforeTheLimit() {
        var pressure = MemoryPressure(limit: 64 << 20)
        // An equal share of the last quarter is 16 KiB.
        var held = Array(repeating: 48 << 10, count: 1_000) + [16 << 10]
        var total = held.reduce(0, +)
        while pressure.stopped.count < 1_000, total < pressure.limit {
            if total >= pressure.nextLook { _ = pressure.grew(to: total, Self.holders(held)) }
            for place in 0..<1_000 where !pressure.stopped.contains(UInt64(place + 1)) {
                held[place] += 256
                total += 256
            }
        }
        #expect(total < pressure.limit && pressure.stopped.count == 1_000 && !pressure.stopped.contains(1_001))
        #expect(pressure.grew(to: pressure.limit, Self.holders(held)) == [])
    }

    @Test func allGoOnBelowTheLowWaterMarkAndNotBefore() {
        var pressure = MemoryPressure(limit: 6_400)
        _ = pressure.grew(to: 5_000, Self.holders([1_001, 2_002, 3_003]))
        _ = pressure.grew(to: 5_200, Self.holders([1_001, 2_002, 3_003]))
        #expect(pressure.lowWater == 3_200)
        #expect(pressure.shrank(to: 3_200) == [])
        #expect(pressure.shrank(to: 3_199) == [1, 2, 3])
        #expect(pressure.shrank(to: 3_199) == [])
        #expect(pressure.nextLook == 4_800)
        #expect(pressure.grew(to: 4_800, Self.holders([1_001, 2_002, 3_003])) == [3], "one at first again")
    }

    @Test func whoHoldsNothingDoesNotStopAndWhoLeftDoesNotGoOn() {
        var pressure = MemoryPressure(limit: 100)
        #expect(pressure.grew(to: 200, Self.holders([0, 0])) == [])
        #expect(pressure.grew(to: 300, Self.holders([0, 50])) == [2])
        pressure.left(2)
        #expect(pressure.shrank(to: 0) == [])
    }

    @Test func withoutALimitNothingTraps() {
        var pressure = MemoryPressure(limit: .max)
        #expect(pressure.grew(to: .max, Self.holders([.max])) == [1])
        #expect(pressure.nextLook == .max)
        var tiny = MemoryPressure(limit: 0)
        #expect(tiny.grew(to: .max, Self.holders([1, 2])) == [2])
    }
}
