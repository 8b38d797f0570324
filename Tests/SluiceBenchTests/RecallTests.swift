import SluiceBench
import SluiceClient
import Testing

@Suite struct RecallTests {
    private func rows(_ ids: [Int64], _ distances: [Double]? = nil, in collection: String = "c") -> [Neighbour] {
        ids.enumerated().map { place, id in
            Neighbour(collection: collection, id: id, distance: distances?[place] ?? Double(place + 1))
        }
    }

    @Test func recallIsTheShareOfTheExactAnswerThatWasFound() {
        let exact = rows([1, 2, 3, 4])
        #expect(Recall.share(of: exact, in: exact) == 1)
        #expect(Recall.share(of: rows([1, 2, 8, 9], [1, 2, 5, 6]), in: exact) == 0.5)
        #expect(Recall.share(of: [], in: exact) == 0)
        #expect(Recall.share(of: [], in: []) == 1)
    }

    @Test func anotherRowThatIsAsNearAsTheLastIsAsGood() {
        let exact = rows([1, 2, 3], [1, 2, 2])
        #expect(Recall.share(of: rows([1, 2, 7], [1, 2, 2]), in: exact) == 1)
        #expect(Recall.share(of: rows([1, 2, 7], [1, 2, 2.1]), in: exact) == 2.0 / 3)
    }

    /// A millionth of 1 would be a large part of distances like these.
    @Test func smallDistancesAreHeldApart() {
        let exact = rows([1, 2], [1e-7, 2e-7])
        #expect(Recall.share(of: rows([1, 7], [1e-7, 3e-7]), in: exact) == 0.5)
        #expect(Recall.share(of: rows([1, 7], [1e-7, 2e-7]), in: exact) == 1)
    }

    @Test func aRowThatComesTwiceCountsOnce() {
        #expect(Recall.share(of: rows([1, 1], [1, 1]), in: rows([1, 2], [1, 2])) == 0.5)
    }

    @Test func sameIdsOfOtherCollectionsAreOtherRows() {
        let found = rows([1], [9], in: "other")
        #expect(Recall.share(of: found, in: rows([1], [1])) == 0)
    }

    @Test func negativeDistancesOfInnerProductsAreOrdered() {
        let exact = rows([1, 2], [-5, -4])
        #expect(Recall.share(of: rows([1, 3], [-5, -3]), in: exact) == 0.5)
        #expect(Recall.share(of: rows([1, 3], [-5, -4]), in: exact) == 1)
    }

    @Test func theSummaryHasTheMeanAndTheLeast() {
        let summary = Recall.summary([1, 0.5, 0.9])
        #expect(abs(summary.mean - 0.8) < 1e-9 && summary.least == 0.5)
        #expect(Recall.summary([]) == (0, 0))
    }

    // MARK: Faults

    @Test func aFaultIsDoneOnceAndUndoneByItsOpposite() {
        let kill = FaultPlan(kind: .kill, from: .seconds(2), lasts: .seconds(3))
        #expect(kill.steps == [FaultPlan.Step(at: .seconds(2), command: "kill")] && kill.undoing == "start")
        let stop = FaultPlan(kind: .stop, from: .zero, lasts: .seconds(3))
        #expect(stop.steps == [FaultPlan.Step(at: .zero, command: "stop")] && stop.undoing == "cont")
    }

    @Test func aSlowReplicaStandsStillAndWorksByTurns() {
        let slow = FaultPlan(kind: .slow, from: .seconds(1), lasts: .seconds(1))
        #expect(slow.steps.map(\.command) == ["stop", "cont", "stop", "cont"])
        #expect(slow.steps.map(\.at) == [1_000, 1_300, 1_600, 1_900].map { .milliseconds($0) })
        #expect(slow.undoing == "cont")
    }

    // MARK: Filters that are drawn

    @Test func filtersAreMadeOfWhatRowsHaveAndQuoteIt() throws {
        let rows: [DrawnRow] = [.string("it's"), .string("it's"), .null, .string("net")].map {
            DrawnRow(id: 1, vector: nil, columns: ["na\"me": $0])
        }
        let filters = Drawing.filters(on: "na\"me", rows)
        #expect(
            filters == [try Filter(parsing: "\"na\"\"me\" = 'it''s'"), try Filter(parsing: "\"na\"\"me\" = 'net'")])
        let numbers = [DrawnRow(id: 1, vector: nil, columns: ["n": .int(-4)])]
        #expect(Drawing.filters(on: "n", numbers) == [try Filter(parsing: "\"n\" >= -4")])
        #expect(Drawing.filters(on: "other", numbers).isEmpty)
    }
}
