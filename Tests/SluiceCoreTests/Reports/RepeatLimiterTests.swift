import SluiceCore
import Testing

@Suite struct RepeatLimiterTests {
    private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test func aFewRepeatsAreWrittenAndTheRestIsCounted() {
        var limiter = RepeatLimiter<String>()
        let written = (0..<100).count { _ in limiter.seen("refused", now: at(0)).isWritten }
        #expect(written == 5)
        let next = limiter.seen("refused", now: at(10))
        #expect(next.isWritten && next.leftOut == [.init(line: "refused", count: 95)])
        #expect(limiter.seen("refused", now: at(10)).leftOut.isEmpty, "it is said once")
    }

    @Test func linesDoNotTouchOneAnother() {
        var limiter = RepeatLimiter<String>()
        for _ in 0..<50 { _ = limiter.seen("a", now: at(0)) }
        #expect(limiter.seen("b", now: at(1)).isWritten)
    }

    /// Although it does not come again.
    @Test func whateverIsWrittenNextSaysWhatWasLeftOut() {
        var limiter = RepeatLimiter<String>()
        for _ in 0..<7 { _ = limiter.seen("a", now: at(0)) }
        for _ in 0..<9 { _ = limiter.seen("b", now: at(1)) }
        for _ in 0..<5 { _ = limiter.seen("c", now: at(1)) }
        #expect(limiter.seen("d", now: at(9)).leftOut.isEmpty)
        #expect(limiter.seen("d", now: at(10)).leftOut == [.init(line: "a", count: 2)])
        #expect(limiter.seen("d", now: at(60)).leftOut == [.init(line: "b", count: 4)])
    }

    /// Each line that came is written or counted, and no more lines are held than may be.
    @Test(arguments: [UInt64(1), 2, 3]) func nothingIsLost(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var policy = RepeatLimiter<Int>.Policy()
        policy.mostLines = 8
        var limiter = RepeatLimiter<Int>(policy)
        var (came, written, leftOut) = (0, 0, 0)
        for step in 0..<Int64(20_000) {
            let seen = limiter.seen(
                Int.random(in: 0..<24, using: &random), now: Instant(nanoseconds: step * 10_000_000))
            came += 1
            written += seen.isWritten ? 1 : 0
            leftOut += seen.leftOut.reduce(0) { $0 + $1.count }
            #expect(seen.leftOut.count <= policy.mostLines)
        }
        leftOut += limiter.seen(-1, now: .distantFuture).leftOut.reduce(0) { $0 + $1.count }
        #expect(came == written + leftOut && leftOut > 0)
    }

    @Test func whatIsNotKnownIsWritten() {
        var policy = RepeatLimiter<Int>.Policy()
        policy.mostLines = 2
        var limiter = RepeatLimiter<Int>(policy)
        _ = limiter.seen(0, now: at(0))
        _ = limiter.seen(1, now: at(0))
        for _ in 0..<20 { #expect(limiter.seen(2, now: at(0)).isWritten) }
    }
}
