import SluiceEngine
import SluiceGateway
import Testing

/// What `doctor` says of a collection whose rows are being moved, or have been.
@Suite struct LayoutJudgeTests {
    private static func said(_ answer: LayoutAnswer, _ more: String) throws -> [String] {
        let collection = try LayoutConfigTests.config(more).collections[0]
        return LayoutJudge.findings(answer, of: collection, shard: "s0", replica: "a").map(\.description)
    }

    private static let place = "packages on s0/a: "

    @Test(arguments: ["", ", epoch: 1\(LayoutConfigTests.next)"])
    func withoutARowOrWithItsOwnEpochAllIsWell(more: String) throws {
        #expect(try Self.said(.epochs([:]), more) == [])
        #expect(try Self.said(.epochs(["packages": 1, "other": 9]), more) == [])
    }

    @Test func aTableThatCannotBeReadMattersToACollectionThatIsBeingMoved() throws {
        #expect(try Self.said(.failed("no"), "") == [])
        let said = try Self.said(.failed("no"), LayoutConfigTests.next)
        #expect(said.count == 1 && said[0].hasPrefix("error: \(Self.place)`next`: it cannot be read"))
        #expect(said[0].contains("GRANT SELECT ON public.sluice_layouts"))
    }

    @Test func rowsThatHaveBeenMovedWithoutTheConfiguration() throws {
        let said = try Self.said(.epochs(["packages": 2]), "")
        #expect(said.count == 1 && said[0].hasPrefix("error: \(Self.place)`epoch`: the database says 2"))
        #expect(said[0].contains("writes are refused here") && said[0].contains("`epoch: 2`"))
    }

    @Test func aConfigurationThatIsAheadOfTheDatabase() throws {
        let said = try Self.said(.epochs(["packages": 1]), ", epoch: 2")
        #expect(said.count == 1 && said[0].contains("its rows have not been moved"))
    }

    @Test func aMoveThatIsDoneIsToBeWrittenDown() throws {
        let said = try Self.said(.epochs(["packages": 2]), LayoutConfigTests.next)
        #expect(said.count == 1 && said[0].hasPrefix("warning: \(Self.place)`next`: its rows have been moved"))
    }

    @Test(arguments: [0, 3]) func anEpochThatIsNeither(epoch: Int) throws {
        let said = try Self.said(.epochs(["packages": epoch]), LayoutConfigTests.next)
        #expect(said.count == 1 && said[0].hasPrefix("error: ") && said[0].contains("gateways switch nothing"))
    }
}
