import SluiceCore
import Testing

@Suite struct AdaptiveTimeoutTests {
    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test(arguments: [(100, 50), (2, 5), (4_000, 500), (0, 5)])
    func laggardsGetAShareOfWhatTheOthersTook(took: Int64, extra: Int64) {
        let until = AdaptiveTimeout().instant(started: Self.at(7), reached: Self.at(7 + took), deadline: .distantFuture)
        #expect(until == Self.at(7 + took + extra))
    }

    @Test func neverBeyondTheDeadline() {
        let until = AdaptiveTimeout().instant(started: Self.at(0), reached: Self.at(100), deadline: Self.at(110))
        #expect(until == Self.at(110))
    }

    @Test func noInputTrapsIt() {
        for factor in [-1, .nan, .infinity, 1e300] {
            for bound in [Duration.seconds(Int64.min), .zero, .seconds(Int64.max)] {
                let timeout = AdaptiveTimeout(factor: factor, minimum: bound, maximum: bound)
                for (started, reached) in [(Int64.min, Int64.max), (.max, .min), (0, 0), (.max, .max)] {
                    let (start, end) = (Instant(nanoseconds: started), Instant(nanoseconds: reached))
                    let until = timeout.instant(started: start, reached: end, deadline: .distantFuture)
                    #expect(until >= end)
                }
            }
        }
    }
}
