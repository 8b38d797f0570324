import NIOCore
import SluiceWire
import Testing

/// Each limit, type and range of a search's options. The gateway has no replica that it could reach: whatever it
/// answers but `unavailable` it has answered without PostgreSQL.
@Suite struct BadSearchTests {
    private static let groups: [(name: String, cases: [BadSearch])] = [
        ("numbers", BadSearch.numbers), ("fractions", BadSearch.fractions), ("caps", BadSearch.caps),
        ("counts", BadSearch.counts), ("combinations", BadSearch.combinations), ("overrides", BadSearch.overrides),
        ("lengths", BadSearch.lengths), ("choices", BadSearch.choices), ("texts", BadSearch.texts),
        ("missing", BadSearch.missing), ("twice", BadSearch.twice), ("vectors", BadSearch.vectors),
        ("forms", BadSearch.forms), ("filter bytes", BadSearch.filterBytes), ("filters", BadSearch.filters),
    ]

    @Test(arguments: groups.indices) func isRefusedByNameAndAsksNobody(group: Int) async throws {
        let (name, cases) = Self.groups[group]
        try await withDeafGateway(collections: BadSearch.collections) { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            for (number, bad) in cases.enumerated() {
                try await client.send(.search, UInt32(number + 1), bad.write)
                let (requestID, reply) = try await client.nextError()
                let what = "\(name), \(bad.name): \(reply.code) \(reply.message)"
                #expect(requestID == UInt32(number + 1), "\(what)")
                #expect(reply.code == bad.code && reply.code != .unavailable && !reply.isRetryable, "\(what)")
                for word in bad.words { #expect(reply.message.contains(word), "\(what)") }
                #expect(!reply.message.contains(BadSearch.secret), "\(what)")
                #expect(reply.legs.isEmpty, "\(what)")
            }
            // The session goes on.
            try await client.send(.collections, 9_999)
            _ = try await client.next(.collectionList)
        }
    }

    private static let edges: [(name: String, change: @Sendable (inout SearchRequest) -> Void)] = [
        ("k of 1", { $0.k = 1 }), ("k of 1000", { $0.k = 1_000 }), ("ef_search of 1", { $0.efSearch = 1 }),
        ("ef_search of 1000", { $0.efSearch = 1_000 }), ("probes of 1", { $0.settings.probes = 1 }),
        ("probes of 32768", { $0.settings.probes = 32_768 }), ("a scan tuple", { $0.settings.maxScanTuples = 1 }),
        ("all scan tuples", { $0.settings.maxScanTuples = 2_147_483_647 }),
        ("a multiplier of 1", { $0.settings.scanMemoryMultiplier = 1 }),
        ("a multiplier of 1000", { $0.settings.scanMemoryMultiplier = 1_000 }),
        ("64 KiB", { $0.settings.workMemKiB = 64 }), ("2 TiB", { $0.settings.workMemKiB = 2_147_483_647 }),
        ("no distance", { $0.maxDistance = -.greatestFiniteMagnitude }),
        ("any distance", { $0.maxDistance = .greatestFiniteMagnitude }), ("no coverage", { $0.minCoverage = 0 }),
        ("all coverage", { $0.minCoverage = 1 }), ("hardly probable", { $0.probability = .leastNonzeroMagnitude }),
        ("certain", { $0.probability = 1 }), ("pages of 1", { $0.pageSize = 1 }),
        ("groups of 1", { $0.group = .init(column: "name", size: 1) }),
        ("groups of 10000", { $0.group = .init(column: "name", size: 10_000) }),
        ("a long text", { $0.text = .init(String(repeating: "x", count: 4_096)) }),
        ("no weight of the text", { $0.text = .init("x", textWeight: 0, rankConstant: 0, candidates: 1) }),
        ("no weight of the vector", { $0.text = .init("x", textWeight: 1e6, vectorWeight: 0, rankConstant: 1e6) }),
        ("10000 candidates", { $0.text = .init("x", candidates: 10_000) }),
        ("a coarse candidate", { $0.twoPhase = .init(.binary, candidates: 1) }),
        ("10000 coarse candidates", { $0.twoPhase = .init(.half, candidates: 10_000) }),
        ("64 vectors", { $0.vectors = Array(repeating: VectorBytes([1, 2, 3]), count: 64) }),
        ("an override with k of 1", { $0.overrides = [CollectionOverride(collection: "programs", k: 1)] }),
        ("an override with k of 1000", { $0.overrides = [CollectionOverride(collection: "programs", k: 1_000)] }),
        ("a zero vector", { $0.vector = VectorBytes([0, 0, 0]) }), ("any model", { $0.model = "maxi" }),
        (
            "all that is capped",
            {
                $0.collections = ["capped"]
                $0.model = "mini"
                $0.efSearch = 100
                $0.settings = .init(probes: 10, maxScanTuples: 5_000, scanMemoryMultiplier: 2, workMemKiB: 1_024)
            }
        ),
        (
            "16 levels",
            {
                $0.collections = ["capped"]
                $0.filter = (1..<16).reduce(.isNull(column: "size")) { filter, _ in .not(filter) }
            }
        ),
        (
            "10000 values",
            {
                $0.collections = ["capped"]
                $0.filter = .oneOf(column: "flag", Array(repeating: .bool(true), count: 10_000))
            }
        ),
    ]

    /// What is just within goes on to the replicas, of which there is none; or the collection cannot do it.
    @Test func theEdgesOfTheRangesAreNotRefused() async throws {
        try await withDeafGateway(collections: BadSearch.collections) { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            for (number, (name, change)) in Self.edges.enumerated() {
                var request = BadSearch.good()
                change(&request)
                try await client.send(.search, UInt32(number + 1)) { request.encode(into: &$0) }
                let reply = try await client.nextError().reply
                #expect([.unavailable, .notSupported].contains(reply.code), "\(name): \(reply.code) \(reply.message)")
            }
        }
    }
}
