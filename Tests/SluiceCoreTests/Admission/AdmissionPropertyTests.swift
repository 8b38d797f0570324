import SluiceCore
import Testing

@Suite struct AdmissionPropertyTests {
    /// Any sequence: who is queued is resolved once, and the counts are what they should be.
    @Test(arguments: 0..<200)
    func everyoneIsResolvedOnce(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let most = Int.random(in: 1...20, using: &generator)
        let room = Int.random(in: 0...20, using: &generator)
        var machine = AdmissionMachine(
            .init(limit: .init(minimum: 1, maximum: most, initial: most), maxWaiting: room, maxWait: .milliseconds(50)))
        var waiting: [UInt64: Instant] = [:]
        var inFlight = 0
        var now = Instant(nanoseconds: 0)
        func resolve(_ id: UInt64) { #expect(waiting.removeValue(forKey: id) != nil) }
        for id: UInt64 in 1...3_000 {
            now = now.advanced(by: .microseconds(Int64.random(in: 0...2_000, using: &generator)))
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<5:
                let deadline = now.advanced(by: .milliseconds(Int64.random(in: -1...60, using: &generator)))
                let priority = SearchPriority.allCases.randomElement(using: &generator) ?? .batch
                let session = UInt64.random(in: 0..<5, using: &generator)
                switch machine.searchArrived(
                    id: id, priority: priority, session: session, deadline: deadline, now: now)
                {
                case .admit:
                    inFlight += 1
                    #expect(inFlight <= machine.currentLimit)
                case .queue(let displaced):
                    displaced.map(resolve)
                    waiting[id] = deadline
                case .shed(let after, let depth):
                    #expect(after >= .milliseconds(10) && after <= .seconds(2) && depth == waiting.count)
                }
            case 5..<8 where inFlight > 0:
                let outcome: AdmissionMachine.Outcome =
                    [.ok, .ok, .dropped, .timedOut, .ignored].randomElement(using: &generator) ?? .ok
                let took = Duration.microseconds(Int64.random(in: 0...20_000, using: &generator))
                let departure = machine.searchEnded(took: took, outcome: outcome, now: now)
                inFlight += departure.admitted.count - 1
                for id in departure.admitted { #expect(waiting[id].map { $0 > now } == true) }
                (departure.admitted + departure.expired).forEach(resolve)
            case 8:
                if let id = waiting.keys.randomElement(using: &generator) {
                    let wasWaiting = machine.waiterCancelled(id)
                    #expect(wasWaiting)
                    resolve(id)
                }
            case 9:
                for id in waiting.keys where machine.latestStart(of: id).map({ $0 <= now }) == true {
                    let wasWaiting = machine.waiterCancelled(id)
                    #expect(wasWaiting)
                    resolve(id)
                }
            default: break
            }
            #expect(machine.inFlight == inFlight && machine.waiting == waiting.count && waiting.count <= room)
        }
        while inFlight > 0 {
            let departure = machine.searchEnded(took: .zero, outcome: .ignored, now: now)
            inFlight += departure.admitted.count - 1
            (departure.admitted + departure.expired).forEach(resolve)
        }
        #expect(waiting.isEmpty, "with nothing in flight nobody waits")
    }

    @Test(arguments: [Int64.min, -1, 0, .max])
    func noInputTrapsIt(nanoseconds: Int64) {
        for bound in [Int.min, 0, 1, .max] {
            var machine = AdmissionMachine(
                .init(
                    limit: .init(minimum: bound, maximum: bound, initial: bound, tolerance: .nan, smoothing: .infinity),
                    maxWaiting: bound, maxWait: .seconds(nanoseconds), batchShare: .nan))
            for now in [nanoseconds, .max, .min, 0].map(Instant.init(nanoseconds:)) {
                for (id, priority) in zip(UInt64(0)..., SearchPriority.allCases + SearchPriority.allCases) {
                    _ = machine.searchArrived(id: id, priority: priority, deadline: .distantFuture, now: now)
                    _ = machine.searchArrived(id: id, priority: priority, deadline: now, now: now)
                    for outcome in [AdmissionMachine.Outcome.ok, .dropped, .timedOut, .ignored] {
                        _ = machine.searchEnded(took: .seconds(nanoseconds), outcome: outcome, now: now)
                    }
                    _ = machine.waiterCancelled(0)
                }
            }
            #expect(machine.inFlight >= 0 && machine.currentLimit >= 1)
        }
    }
}
