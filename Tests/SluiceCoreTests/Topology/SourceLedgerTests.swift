import SluiceCore
import Testing

/// How a source is said to be doing, by what became of the questions to it.
@Suite struct SourceLedgerTests {
    private static let place = MemberPlace(name: "n1", host: "h", port: 1)
    private static let report = ClusterReport(
        members: [ClusterMember(place, role: .leader, timeline: 4)], leaders: ["n1"])

    private static func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    private var ledger = SourceLedger(["w0", "w1"])

    private mutating func round(_ answered: [String], silent: [String] = [], at seconds: Int64) {
        ledger.roundEnded(
            answered.map { .init($0, Self.report) }, silences: silent.map { .init($0, "no answer") },
            asked: Self.at(seconds))
    }

    private func condition(age: Int64?, at seconds: Int64, hasComplaints: Bool = false) -> SourceCondition {
        ledger.condition(
            age: age.map { .seconds($0) }, bound: .seconds(4), hasComplaints: hasComplaints, now: Self.at(seconds))
    }

    @Test mutating func aSourceIsUnheardUntilSomebodyAnswers() {
        #expect(condition(age: nil, at: 0) == .unheard)
        round([], silent: ["w0", "w1"], at: 1)
        #expect(condition(age: nil, at: 1) == .unheard)
        round(["w0", "w1"], at: 2)
        #expect(condition(age: 0, at: 2) == .current)
    }

    @Test mutating func aSourceIsStaleAsSoonAsNobodyAnswersAndWhenItIsNotAskedInTime() {
        round(["w0", "w1"], at: 0)
        #expect(condition(age: 4, at: 4) == .current)
        #expect(condition(age: 5, at: 5) == .stale)
        round([], silent: ["w0", "w1"], at: 1)
        #expect(condition(age: 1, at: 1) == .stale)
        round(["w1"], at: 2)
        #expect(condition(age: 0, at: 2) == .impaired, "w0 was silent a second ago")
    }

    @Test mutating func aSourceOfWhichOneIsSilentOrLiesIsImpaired() {
        round(["w0"], silent: ["w1"], at: 0)
        #expect(condition(age: 0, at: 0) == .impaired)
        round(["w0", "w1"], at: 1)
        #expect(condition(age: 0, at: 1) == .current)
        #expect(condition(age: 0, at: 1, hasComplaints: true) == .impaired)
    }

    /// Of etcd's endpoints one is asked at a time.
    @Test mutating func aSilenceThatWasLongAgoCountsNoMore() {
        round([], silent: ["w0"], at: 0)
        round(["w1"], at: 1)
        #expect(condition(age: 0, at: 60) == .impaired)
        #expect(condition(age: 0, at: 61) == .current)
        #expect(ledger.witnesses.first?.isSilent == true, "which is still told")
    }

    @Test mutating func theLastErrorOfEachIsKeptAfterItAnswersAgain() throws {
        round([], silent: ["w0"], at: 1)
        round(["w0"], at: 2)
        let witness = try #require(ledger.witnesses.first)
        #expect(witness.error == "no answer" && witness.failed == Self.at(1))
        #expect(witness.answered == Self.at(2) && !witness.isSilent)
        #expect(witness.said == "leader n1, 1 member, timeline 4")
        #expect(ledger.witnesses.last?.answered == nil && ledger.witnesses.last?.error == nil)
    }

    @Test mutating func witnessesAreBounded() {
        for number in 0..<1_000 { round(["x\(number)"], at: 0) }
        #expect(ledger.witnesses.count == ClusterReport.mostMembers)
        #expect(SourceLedger((0..<1_000).map { "\($0)" }).witnesses.count == ClusterReport.mostMembers)
    }

    @Test mutating func onlyAnotherLeaderIsAChange() {
        ledger.followed(leader: nil, hasOtherPlaces: false)
        #expect(ledger.leaderChanges == 0 && ledger.memberChanges == 0)
        ledger.followed(leader: Self.place, hasOtherPlaces: true)
        // It is gone for a while, and comes back.
        ledger.followed(leader: nil, hasOtherPlaces: false)
        ledger.followed(leader: Self.place, hasOtherPlaces: false)
        #expect(ledger.leaderChanges == 1 && ledger.memberChanges == 1)
        ledger.followed(leader: .init(name: "n2", host: "h", port: 2), hasOtherPlaces: false)
        #expect(ledger.leaderChanges == 2)
    }

    @Test func aReportIsShownInAFewWords() {
        #expect(Self.report.words == "leader n1, 1 member, timeline 4")
        #expect(ClusterReport(members: [], leaders: []).words == "no leader, 0 members")
        let many = ClusterReport(members: [], leaders: (0..<9).map { "n\($0)" })
        #expect(many.words == "leaders n0 and n1 and n2 and n3, 0 members")
    }
}
