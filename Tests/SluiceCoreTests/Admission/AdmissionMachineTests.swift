import SluiceCore
import Testing

@Suite struct AdmissionMachineTests {
    private typealias Arrival = AdmissionMachine.Arrival

    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    /// A fixed limit.
    private func machine(
        limit: Int, waiting: Int, wait: Duration = .seconds(1), batch: Double = 0.5
    ) -> AdmissionMachine {
        AdmissionMachine(
            .init(
                limit: .init(minimum: limit, maximum: limit), maxWaiting: waiting, maxWait: wait, batchShare: batch))
    }

    private func arrive(
        _ machine: inout AdmissionMachine, _ id: UInt64, _ priority: SearchPriority = .interactive,
        of session: UInt64 = 0, deadline: Int64 = 1_000_000, at now: Int64 = 0
    ) -> Arrival {
        machine.searchArrived(
            id: id, priority: priority, session: session, deadline: Self.at(deadline), now: Self.at(now))
    }

    private func end(
        _ machine: inout AdmissionMachine, took: Int64 = 1, at now: Int64 = 0
    ) -> AdmissionMachine.Departure {
        machine.searchEnded(took: .milliseconds(took), outcome: .ok, now: Self.at(now))
    }

    @Test func admitsUpToTheLimitThenQueuesThenSheds() {
        var machine = machine(limit: 2, waiting: 2)
        #expect(arrive(&machine, 1) == .admit && arrive(&machine, 2) == .admit)
        #expect(arrive(&machine, 3) == .queue(displaced: nil) && arrive(&machine, 4) == .queue(displaced: nil))
        #expect(arrive(&machine, 5) == .shed(retryAfter: .milliseconds(10), depth: 2))
        #expect(machine.inFlight == 2 && machine.waiting == 2)
        #expect(end(&machine).admitted == [3])
        #expect(end(&machine).admitted == [4])
        #expect(end(&machine) == .init() && end(&machine) == .init() && end(&machine) == .init())
        #expect(machine.inFlight == 0)
    }

    @Test func sessionsTakeTurns() {
        var machine = machine(limit: 1, waiting: 10)
        _ = arrive(&machine, 1, of: 7)
        for id: UInt64 in 2...4 { _ = arrive(&machine, id, of: 7) }
        _ = arrive(&machine, 5, of: 8)
        _ = arrive(&machine, 6, .batch, of: 9)
        _ = arrive(&machine, 7, of: 9)
        #expect((0..<6).map { _ in end(&machine).admitted } == [[2], [5], [7], [3], [4], [6]])
    }

    @Test func whoHasMostWaitingMakesRoomForWhoHasLess() {
        var machine = machine(limit: 1, waiting: 3)
        for id: UInt64 in 1...4 { _ = arrive(&machine, id, of: 1) }
        #expect(arrive(&machine, 5, of: 2) == .queue(displaced: 4))
        #expect(arrive(&machine, 6, of: 2) == .shed(retryAfter: .milliseconds(10), depth: 3))
        #expect(arrive(&machine, 7, of: 1) == .shed(retryAfter: .milliseconds(10), depth: 3))
        #expect((0..<3).map { _ in end(&machine).admitted } == [[2], [5], [3]])
    }

    /// Who waits for an estimate of its turn is not put off by what another session has waiting.
    @Test func theWaitIsThatForItsOwnTurn() {
        var machine = machine(limit: 1, waiting: 100)
        _ = arrive(&machine, 1, of: 1)
        _ = end(&machine, took: 10)
        for id: UInt64 in 1...50 { _ = arrive(&machine, id, of: 1) }
        #expect(arrive(&machine, 60, of: 1, deadline: 100) == .shed(retryAfter: .milliseconds(500), depth: 49))
        #expect(arrive(&machine, 61, of: 2, deadline: 100) == .queue(displaced: nil))
    }

    @Test func aTimeOutLowersTheLimitOnlyIfTheSearchHadTime() {
        var machine = AdmissionMachine(.init(limit: .init(minimum: 1, maximum: 100, initial: 100), maxWaiting: 0))
        for number in 0..<60 {
            _ = arrive(&machine, UInt64(number))
            _ = end(&machine, took: 10, at: Int64(number) * 11 + 11)
        }
        let before = machine.currentLimit
        for took in [0, 5, 19] {
            _ = arrive(&machine, 100)
            _ = machine.searchEnded(took: .milliseconds(took), outcome: .timedOut, now: Self.at(700))
            #expect(machine.currentLimit == before, "after \(took) ms")
        }
        _ = arrive(&machine, 100)
        _ = machine.searchEnded(took: .milliseconds(21), outcome: .timedOut, now: Self.at(800))
        #expect(machine.currentLimit < before)
    }

    @Test func withoutAQueueItShedsAtOnce() {
        var machine = machine(limit: 1, waiting: 0)
        _ = arrive(&machine, 1)
        #expect(arrive(&machine, 2) == .shed(retryAfter: .milliseconds(10), depth: 0))
        var impatient = self.machine(limit: 1, waiting: 10, wait: .zero)
        _ = arrive(&impatient, 1)
        #expect(arrive(&impatient, 2) == .shed(retryAfter: .milliseconds(10), depth: 0))
    }

    @Test func whoseDeadlineHasPassedIsNotStarted() {
        var machine = machine(limit: 1, waiting: 3)
        _ = arrive(&machine, 1)
        _ = arrive(&machine, 2, deadline: 100)
        _ = arrive(&machine, 3, deadline: 200)
        #expect(end(&machine, at: 100) == .init(admitted: [3], expired: [2]))
    }

    @Test func whoCannotBeAnsweredInTimeIsNotStarted() {
        var machine = machine(limit: 1, waiting: 3)
        _ = arrive(&machine, 1)
        _ = end(&machine, took: 50)
        _ = arrive(&machine, 2)
        #expect(arrive(&machine, 3, deadline: 99) == .shed(retryAfter: .milliseconds(50), depth: 0))
        #expect(arrive(&machine, 4, deadline: 120) == .queue(displaced: nil))
        #expect(arrive(&machine, 5, deadline: 160) == .queue(displaced: nil))
        #expect(end(&machine, took: 50, at: 80) == .init(admitted: [5], expired: [4]))
    }

    @Test func nobodyWaitsLongerThanAllowed() {
        var machine = machine(limit: 1, waiting: 3, wait: .milliseconds(30))
        _ = arrive(&machine, 1)
        _ = arrive(&machine, 2)
        _ = arrive(&machine, 3, .batch, deadline: 10)
        #expect(machine.latestStart(of: 2) == Self.at(30) && machine.latestStart(of: 3) == Self.at(10))
        #expect(machine.waiterCancelled(3) && machine.waiterCancelled(2))
        #expect(machine.latestStart(of: 2) == nil && machine.waiting == 0 && machine.inFlight == 1)
    }

    @Test func theInteractiveGoFirstAndDisplaceTheBatchThatCameLast() {
        var machine = machine(limit: 1, waiting: 2)
        _ = arrive(&machine, 1)
        #expect(arrive(&machine, 2, .batch) == .queue(displaced: nil))
        #expect(arrive(&machine, 3, .batch) == .queue(displaced: nil))
        #expect(arrive(&machine, 4, .batch) == .shed(retryAfter: .milliseconds(10), depth: 2))
        #expect(arrive(&machine, 5) == .queue(displaced: 3))
        #expect(end(&machine).admitted == [5])
        #expect(end(&machine).admitted == [2])
    }

    @Test func oneThatIsTooLateMakesRoom() {
        var machine = machine(limit: 1, waiting: 1)
        _ = arrive(&machine, 1)
        _ = arrive(&machine, 2, deadline: 10)
        #expect(arrive(&machine, 3, .batch, at: 10) == .queue(displaced: 2))
    }

    @Test func batchHasTheWholeLimitUntilAnInteractiveOneMustWait() {
        var machine = machine(limit: 4, waiting: 10)
        for id: UInt64 in 1...4 { #expect(arrive(&machine, id, .batch) == .admit) }
        #expect(arrive(&machine, 5) == .queue(displaced: nil))
        #expect(arrive(&machine, 6, .batch) == .queue(displaced: nil))
        #expect(end(&machine).admitted == [5])
        #expect(end(&machine).admitted == [], "three run; batch may use two places now")
        #expect(end(&machine).admitted == [])
        #expect(end(&machine).admitted == [6])
        #expect(arrive(&machine, 7, .batch, at: 999) == .queue(displaced: nil))
        #expect(arrive(&machine, 8, at: 999) == .admit)
        #expect(arrive(&machine, 10, .batch, at: 1_000) == .queue(displaced: nil), "not past the one that waits")
        #expect(end(&machine, at: 1_000).admitted == [7, 10], "a second later the pressure is over")
    }

    @Test func batchIsNeverStuck() {
        var machine = machine(limit: 1, waiting: 10, batch: 0)
        _ = arrive(&machine, 1)
        _ = arrive(&machine, 2)
        _ = arrive(&machine, 3, .batch)
        #expect(end(&machine).admitted == [2])
        #expect(end(&machine).admitted == [3])
    }

    @Test func aWaiterThatCancelsIsNeverAdmitted() {
        var machine = machine(limit: 1, waiting: 3)
        for id: UInt64 in 1...4 { _ = arrive(&machine, id) }
        let results = [3, 3, 1, 9].map { machine.waiterCancelled($0) }
        #expect(results == [true, false, false, false])
        #expect(arrive(&machine, 2) == .queue(displaced: nil), "it waits already")
        #expect(machine.waiting == 2)
        #expect(end(&machine).admitted == [2])
        #expect(end(&machine).admitted == [4])
    }
}
