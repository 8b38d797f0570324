import NIOCore
import SluiceWire
import Testing

@Suite struct FreshnessFieldsTests {
    private let terms = FreshnessTerms(
        positions: [.init(shard: "s0", position: 0x16_B374_D848), .init(shard: "s1", position: .max)],
        maxStaleness: .milliseconds(1_500), allowStale: true)

    private func search(_ terms: FreshnessTerms) -> SearchRequest {
        var request = SearchRequest(
            collections: ["a"], vector: VectorBytes(unchecked: ByteBuffer(bytes: [0, 1])), k: 3)
        request.freshness = terms
        return request
    }

    @Test func searchesAndGetsCarryThem() throws {
        var buffer = ByteBuffer()
        search(terms).encode(into: &buffer)
        #expect(try SearchRequest(decoding: buffer).freshness == terms)
        var get = GetRequest(collection: "a", ids: [1])
        get.freshness = terms
        buffer.clear()
        get.encode(into: &buffer)
        #expect(try GetRequest(decoding: buffer) == get)
        try get.validate()
    }

    @Test func aLegSaysHowOldItsRowsMayBe() throws {
        var leg = LegReport(
            collection: "a", shard: "s0", replica: "s0-b", status: .ok, rows: 1, wait: .zero, execute: .zero)
        for (staleness, isStale) in [(nil, false), (.zero, false), (.milliseconds(20), true)] as [(Duration?, Bool)] {
            leg.staleness = staleness
            leg.isStale = isStale
            var buffer = ByteBuffer()
            leg.encode(into: &buffer)
            #expect(try LegReport(decoding: buffer) == leg)
        }
    }

    @Test func twoPositionsOfOneShardAndTooManyAreRefused() throws {
        var get = GetRequest(collection: "a", ids: [1])
        get.freshness.positions = [.init(shard: "s0", position: 1), .init(shard: "s0", position: 2)]
        #expect(throws: WireError.self) { try get.validate() }
        get.freshness.positions = (0...FreshnessTerms.maximumPositions).map { .init(shard: "s\($0)", position: 1) }
        #expect(throws: WireError.self) { try get.validate() }
        var buffer = ByteBuffer()
        get.encode(into: &buffer)
        #expect(throws: WireError.self) { try GetRequest(decoding: buffer) }
    }
}
