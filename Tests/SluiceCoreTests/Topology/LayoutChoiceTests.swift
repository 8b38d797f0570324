import SluiceCore
import Testing

/// Which layout of a collection is served, by what the databases say.
@Suite struct LayoutChoiceTests {
    private typealias Answer = LayoutChoice.Answer

    /// What is served after each round of answers.
    private static func served(
        from serving: LayoutChoice.Serving = .unknown, epoch: Int = 4, _ rounds: [Answer]...
    ) -> [LayoutChoice.Serving] {
        var choice = LayoutChoice(epoch: epoch, serving: serving)
        return rounds.map { answers in
            choice = choice.answered(answers)
            return choice.serving
        }
    }

    @Test func nothingIsServedBeforeSomebodyAnswers() {
        #expect(LayoutChoice(epoch: 4).served == nil)
        #expect(Self.served([], [.failed, .failed], [.failed, .noRow]) == [.unknown, .unknown, .current])
    }

    @Test func withoutARowTheConfigurationsOwnEpochHolds() {
        #expect(Self.served([.noRow]) == [.current])
        #expect(LayoutChoice(epoch: 4).answered([.noRow]).served == 4)
    }

    @Test func theHighestEpochCounts() {
        #expect(Self.served([.noRow, .epoch(5), .failed, .epoch(4)]) == [.next])
        #expect(Self.served(from: .current, [.epoch(4)], [.epoch(5), .epoch(4)]) == [.current, .next])
        #expect(LayoutChoice(epoch: 4).answered([.epoch(5)]).served == 5)
    }

    /// The shard that had heard of it is away, and the others' rows are behind.
    @Test func thereIsNoWayBack() {
        #expect(Self.served([.epoch(5)], [.epoch(4), .noRow], [.failed], []) == [.next, .next, .next, .next])
        #expect(LayoutChoice(epoch: 4).answered([.epoch(5)]).answered([.noRow]).disagreement == nil)
    }

    @Test func anOutageChangesNothing() {
        #expect(Self.served(from: .current, [.failed], []) == [.current, .current])
        let choice = LayoutChoice(epoch: 4).answered([.epoch(5)])
        #expect(choice.answered([.failed]) == choice)
    }

    @Test(arguments: [3, 6, -1, Int.max, Int.min])
    func anEpochThatIsNeitherIsADisagreementAndSwitchesNothing(epoch: Int) {
        for serving in [LayoutChoice.Serving.unknown, .current, .next] {
            let choice = LayoutChoice(epoch: 4, serving: serving).answered([.epoch(epoch), .failed])
            #expect(choice.serving == serving && choice.disagreement == epoch)
            #expect(choice.answered([.epoch(5)]).disagreement == nil, "it was corrected")
        }
    }

    @Test func anEpochBeyondTheNextOneHidesTheNextOne() {
        #expect(Self.served(from: .current, [.epoch(5), .epoch(6)], [.epoch(5)]) == [.current, .next])
    }

    // MARK: The table's rows

    @Test func rowsThatCannotBeReadAreLeftOut() {
        let rows: [[String?]] = [
            ["a", "2"], ["b", nil], [nil, "3"], ["c"], [], ["d", "x"], ["e", "1"], ["e", "7"],
            ["f", "99999999999999999999"],
        ]
        #expect(LayoutTable.epochs(rows) == ["a": 2, "e": 7])
    }
}
