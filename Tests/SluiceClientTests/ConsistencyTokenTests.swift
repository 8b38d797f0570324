import SluiceClient
import Testing

@Suite struct ConsistencyTokenTests {
    @Test(
        arguments: [
            [:], ["s0": 0x16_B374_D848], ["s0": 0, "s1": .max], ["a.b-c": 1 << 32, "s0": 0x300_0060],
        ] as [[String: UInt64]])
    func itsTextIsReadAsItWasWritten(positions: [String: UInt64]) {
        let token = ConsistencyToken(positions: positions)
        #expect(ConsistencyToken(token.description) == token)
    }

    @Test func itsTextHasPositionsAsPostgreSQLWritesThem() {
        let token = ConsistencyToken(positions: ["s1": 0x300_0060, "s0": 0x16_B374_D848])
        #expect(token.description == "s0:16/B374D848,s1:0/3000060")
        #expect(ConsistencyToken("s0:16/b374d848")?.positions == ["s0": 0x16_B374_D848])
    }

    @Test(arguments: [
        "s0", "s0:", ":1/2", "s0:1", "s0:1/2/3", "s0:/2", "s0:1/", "s0:123456789/0", "s0:+1/2", "s0:1/2,", ",s0:1/2",
        "s0:1/2,s0:1/3", "s0:1/2 ", "s0:g/0",
    ])
    func anythingElseIsRefused(text: String) { #expect(ConsistencyToken(text) == nil) }

    @Test func mergingShowsBoth() {
        let one = ConsistencyToken(positions: ["s0": 5, "s1": 9])
        let other = ConsistencyToken(positions: ["s1": 7, "s2": 1])
        #expect(one.merging(other).positions == ["s0": 5, "s1": 9, "s2": 1])
        #expect(one.merging(other) == other.merging(one) && ConsistencyToken().isEmpty)
    }
}
