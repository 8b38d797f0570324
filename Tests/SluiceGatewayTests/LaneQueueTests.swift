import SluiceCore
import SluiceGateway
import Testing

@Suite struct LaneQueueTests {
    @Test func aSessionWaitsOnceItsQueueIsFullAndGoesOnOnceAtHalf() {
        let queue = LaneQueue()
        for _ in 1..<LaneQueue.most { #expect(queue.added()) }
        #expect(!queue.added())
        for _ in 1..<LaneQueue.most / 2 { #expect(!queue.began()) }
        #expect(queue.began())
        #expect(!queue.began(), "it is told once")
    }

    @Test func aLaneThatKeepsUpHoldsNobodyUp() {
        let queue = LaneQueue()
        for _ in 0..<100 {
            #expect(queue.added())
            #expect(!queue.began())
        }
    }

    /// However the two take turns, a session that waits is told exactly once, and never waits for an empty queue.
    @Test(arguments: 0..<50) func noWaitIsForgotten(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let queue = LaneQueue()
        var (count, isWaiting) = (0, false)
        for _ in 0..<2_000 {
            if !isWaiting, Bool.random(using: &random) {
                isWaiting = !queue.added()
                count += 1
            } else if count > 0 {
                let isTold = queue.began()
                count -= 1
                #expect(isTold == (isWaiting && count <= LaneQueue.most / 2))
                if isTold { isWaiting = false }
            }
            #expect(!isWaiting || count > 0)
        }
    }

    /// The same from two threads at once.
    @Test(.timeLimit(.minutes(1))) func theLoopAndTheLaneAtOnce() async {
        let queue = LaneQueue()
        let (requests, lane) = AsyncStream.makeStream(of: Void.self)
        let (told, session) = AsyncStream.makeStream(of: Void.self)
        let taking = Task {
            for await _ in requests where queue.began() { session.yield() }
        }
        var wakes = told.makeAsyncIterator()
        for _ in 0..<20_000 {
            let mayGoOn = queue.added()
            lane.yield()
            if !mayGoOn { await wakes.next() }
        }
        lane.finish()
        await taking.value
    }
}
