import SluiceCore
import Testing

@Suite struct StalenessTrackerTests {
    private func instant(_ milliseconds: Int) -> Instant { Instant(nanoseconds: Int64(milliseconds) * 1_000_000) }

    private func primary(_ position: UInt64, at time: Int, timeline: UInt32 = 1) -> ReplicaReport {
        ReplicaReport(role: .primary, timeline: timeline, position: position, incarnation: 1, asked: instant(time))
    }

    private func standby(_ position: UInt64?, at time: Int, incarnation: UInt64 = 2) -> ReplicaReport {
        ReplicaReport(role: .standby, position: position, incarnation: incarnation, asked: instant(time))
    }

    /// The primary's reports are of replica 0, the standby's of replica 1.
    private func tracker(_ reports: [ReplicaReport]) -> StalenessTracker {
        var tracker = StalenessTracker(replicas: 2)
        for report in reports {
            tracker.reported(report.role == .primary ? 0 : 1, report, latestTimeline: report.timeline ?? 1)
        }
        return tracker
    }

    @Test func aStandbyIsAsOldAsTheLatestThatItHasAllOf() {
        let tracker = tracker([
            primary(100, at: 0), primary(200, at: 10), primary(300, at: 20), standby(250, at: 21),
        ])
        #expect(tracker.bound(of: 1, now: instant(30)) == .milliseconds(20))
        #expect(tracker.bytesBehind(1) == 50)
        #expect(tracker.hasReplayed(250, on: 1) && !tracker.hasReplayed(251, on: 1))
    }

    @Test func whoHasEverythingIsAsOldAsTheLastLookAtThePrimary() {
        let tracker = tracker([primary(100, at: 0), standby(100, at: 5), primary(100, at: 40)])
        #expect(tracker.bound(of: 1, now: instant(41)) == .milliseconds(1))
        #expect(tracker.bytesBehind(1) == 0)
    }

    @Test func nothingIsKnownOfWhoWasNeverSeenWithAnythingThatThePrimaryHad() {
        #expect(tracker([standby(50, at: 1)]).bound(of: 1, now: instant(2)) == nil)
        #expect(tracker([primary(100, at: 0), standby(50, at: 1)]).bound(of: 1, now: instant(2)) == nil)
        #expect(tracker([primary(100, at: 0), standby(nil, at: 1)]).bound(of: 1, now: instant(2)) == nil)
        #expect(tracker([primary(100, at: 0)]).bound(of: 0, now: instant(1)) == nil)
        #expect(tracker([]).bound(of: 7, now: instant(1)) == nil)
    }

    @Test func aServerThatWasStartedAnewMayHaveLess() {
        let before = [primary(100, at: 0), standby(100, at: 1)]
        #expect(!tracker(before + [standby(40, at: 2, incarnation: 3)]).hasReplayed(41, on: 1))
        #expect(!tracker(before + [standby(nil, at: 2, incarnation: 3)]).hasReplayed(1, on: 1))
        // The same one cannot have lost what it had: what it said came late.
        #expect(tracker(before + [standby(40, at: 2)]).hasReplayed(100, on: 1))
        var lost = tracker(before)
        lost.forget(1)
        #expect(!lost.hasReplayed(1, on: 1) && lost.bound(of: 1, now: instant(2)) == nil)
    }

    @Test func positionsOfAnotherTimelineAreNotComparable() {
        let tracker = tracker([primary(100, at: 0), standby(100, at: 1), primary(90, at: 2, timeline: 2)])
        #expect(!tracker.hasReplayed(90, on: 1) && tracker.sampleCount == 1)
    }

    /// Everything that the primary had so long ago, the standby has.
    @Test(arguments: 0..<40) func theBoundIsNeverTooSmall(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var tracker = StalenessTracker(replicas: 2)
        var (written, replayed): (UInt64, UInt64) = (1, 0)
        var history: [UInt64] = []
        var known = 0
        for time in 0..<5_000 {
            if Int.random(in: 0..<3, using: &random) == 0 { written += UInt64.random(in: 1...100, using: &random) }
            if Int.random(in: 0..<2, using: &random) == 0 {
                replayed = min(written, replayed + UInt64.random(in: 0...70, using: &random))
            }
            history.append(written)
            switch Int.random(in: 0..<8, using: &random) {
            case 0: tracker.reported(0, primary(written, at: time), latestTimeline: 1)
            case 1: tracker.reported(1, standby(replayed, at: time), latestTimeline: 1)
            default: break
            }
            #expect(tracker.sampleCount <= StalenessTracker.mostSamples)
            guard let bound = tracker.bound(of: 1, now: instant(time)) else { continue }
            known += 1
            let then = time - Int(bound.nanoseconds / 1_000_000)
            #expect(then >= 0 && history[then] <= replayed, "at \(time) the bound was \(bound)")
            if !tracker.hasReplayed(history[then], on: 1) { Issue.record("at \(time) it was not known to have it") }
        }
        #expect(known > 4_000)
    }
}
