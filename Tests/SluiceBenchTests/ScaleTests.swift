import SluiceBench
import Testing

@Suite struct ScaleTests {
    @Test func linearTicksAreRoundAndWithinTheBounds() {
        #expect(Scale.linear.ticks(from: 0, to: 3_000, count: 6) == [0, 500, 1_000, 1_500, 2_000, 2_500, 3_000])
        #expect(
            Scale.linear.ticks(from: 0.87, to: 1, count: 8).map { ($0 * 100).rounded() } == [
                88, 90, 92, 94, 96, 98, 100,
            ])
        #expect(Scale.linear.ticks(from: -3, to: 7, count: 5) == [-2, 0, 2, 4, 6])
    }

    @Test func logarithmicTicksHaveOneTwoFiveOnlyWhereThereIsRoom() {
        #expect(Scale.logarithmic.ticks(from: 500, to: 10_000, count: 6) == [500, 1_000, 2_000, 5_000, 10_000])
        #expect(Scale.logarithmic.ticks(from: 100, to: 1e6, count: 6) == [100, 1e3, 1e4, 1e5, 1e6])
        #expect(Scale.logarithmic.ticks(from: 1, to: 1e12, count: 6).count == 7)
    }

    @Test func eachNineOfATailTakesTheSameSpace() {
        let places = [0, 90, 99, 99.9].map { Scale.tail.place($0) }
        #expect(zip(places, [0, 1, 2, 3]).allSatisfy { abs($0 - $1) < 1e-9 })
        #expect(abs(Scale.percentile(at: 2) - 99) < 1e-9)
        #expect(Scale.tail.place(100).isFinite)
    }

    @Test(arguments: [Scale.linear, .logarithmic, .tail])
    func boundsHoldWhatTheyAreFor(scale: Scale) {
        for (low, high) in [(0.0, 0.0), (5, 5), (1, 3_000), (0.87, 0.999), (0, 1e12), (1e-7, 99)] {
            let bounds = scale.bounds(low, high, fromZero: false)
            #expect(bounds.low < bounds.high)
            #expect(bounds.low.isFinite && bounds.high.isFinite)
            if scale == .linear { #expect(bounds.low <= low && high <= bounds.high) }
        }
    }

    @Test func numbersAreWrittenForPeople() {
        #expect(Figures.time(530) == "530 µs")
        #expect(Figures.time(999.7) == "1 ms")
        #expect(Figures.time(1_250) == "1.25 ms")
        #expect(Figures.time(2_100_000) == "2.1 s")
        #expect(Figures.rate(1_638_123.4) == "1,638,123/s")
        #expect(Figures.percent(0) == "0 %")
        #expect(Figures.percent(0.000_001) == "below 0.001 %")
        #expect(Figures.change(-0.123) == "-12 %")
        #expect(Figures.change(0.031) == "+3.1 %")
        #expect(Figures.change(-0.000_01) == "0.0 %")
        #expect(Figures.plain(100) == "100")
        #expect(Figures.plain(-1_234_567) == "-1,234,567")
        #expect(Figures.plain(.nan) == "–")
        #expect(Figures.bytes(8 << 30) == "8 GiB")
    }
}
