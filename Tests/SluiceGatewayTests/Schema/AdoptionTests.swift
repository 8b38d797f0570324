import SluiceCore
import SluiceGateway
import SluicePostgres
import Testing

/// Collections made of made-up catalogues.
@Suite struct AdoptionTests {
    static func column(_ name: String, _ type: String, _ modifier: Int? = nil) -> TableFacts.Column {
        let isVector = ["vector", "halfvec", "sparsevec"].contains(type)
        return .init(
            name: name, typeText: type, typeSchema: isVector ? "ext" : "pg_catalog", typeName: type,
            modifier: modifier)
    }

    static func index(
        _ operatorClass: String, _ column: String? = "embedding", _ expression: String = "", method: String = "hnsw"
    ) -> TableFacts.Index {
        .init(
            name: "ann", method: method,
            keys: [.init(column: column, expression: column ?? expression, operatorClass: operatorClass)])
    }

    static let key = TableFacts.Index(
        name: "pk", method: "btree", isUnique: true,
        keys: [.init(column: "id", expression: "id", operatorClass: "int8_ops")])

    static func sighting(
        _ shard: Int = 0, _ columns: [TableFacts.Column] = [column("id", "int8"), column("embedding", "vector", 3)],
        _ indexes: [TableFacts.Index] = [key, index("vector_l2_ops")], kind: TableFacts.Kind = .table,
        primaryKey: String? = "id", generated: [String: String] = [:]
    ) -> TableSighting {
        TableSighting(
            shard: shard, shardName: "s\(shard)", server: ServerFacts(vectorSchema: "ext", vectorVersion: "0.8.1"),
            role: "r", facts: .init(kind: kind, quoted: "public.t", columns: columns, indexes: indexes),
            primaryKey: primaryKey, generated: generated)
    }

    /// Each as `name metric dimensions …`, or the reason why not.
    static func adopt(
        _ sightings: [TableSighting], _ sample: Adoption.Sample = .init(), table: String = "t"
    ) -> (collections: [GatewayConfig.Collection], comments: [String], reasons: [String]) {
        var adoption = Adoption()
        var result: (collections: [GatewayConfig.Collection], comments: [String], reasons: [String]) = ([], [], [])
        switch adoption.candidates(schema: "public", table: table, sightings) {
        case .failure(let unserved): result.reasons.append(unserved.reason)
        case .success(let candidates):
            for candidate in candidates {
                switch Adoption.finish(candidate, sample) {
                case .served(let collection, let comments):
                    result.collections.append(collection)
                    result.comments += comments
                case .not(let reason): result.reasons.append(reason)
                }
            }
        }
        return result
    }

    @Test func aPlainTable() throws {
        let columns = [
            Self.column("id", "int8"), Self.column("title", "text"), Self.column("embedding", "vector", 3),
            Self.column("n", "int2"), Self.column("raw", "bytea"), Self.column("words", "tsvector"),
            Self.column("tags", "_text"),
        ]
        let made = Self.adopt([
            Self.sighting(0, columns, generated: ["words": "to_tsvector('english'::regconfig, title)"])
        ])
        let collection = try #require(made.collections.first)
        #expect(collection.name == "t" && collection.idColumn == "id" && collection.vectorColumn == "embedding")
        #expect(collection.metric == .l2 && collection.dimensions == 3 && collection.form == .vector)
        #expect(collection.columns == ["title", "n", "tags"])
        #expect(collection.filterable == ["title": .text, "n": .int, "tags": .textArray])
        #expect(collection.text?.column == "words" && collection.text?.language == "english")
        #expect(collection.coarse == [] && collection.placement == .hash && made.comments == [])
    }

    @Test(arguments: [
        ("vector", "vector_ip_ops", Metric.innerProduct), ("halfvec", "halfvec_l1_ops", .l1),
        ("sparsevec", "sparsevec_cosine_ops", .cosine), ("bit", "bit_jaccard_ops", .jaccard),
    ]) func theMetricIsTheIndexs(form: String, operatorClass: String, metric: Metric) {
        let made = Self.adopt([
            Self.sighting(
                0, [Self.column("id", "int4"), Self.column("embedding", form, 8)],
                [Self.key, Self.index(operatorClass)])
        ])
        #expect(made.collections.map(\.metric) == [metric] && made.comments == [])
    }

    @Test func withoutAnIndexTheMetricIsAGuess() {
        let columns = [Self.column("id", "int8"), Self.column("v", "vector", 3)]
        let made = Self.adopt([Self.sighting(0, columns, [Self.key])])
        #expect(made.collections.map(\.metric) == [.cosine])
        #expect(made.comments == ["metric: no index says which; cosine is a guess"])
    }

    @Test func coarseFormsThatEveryShardHas() {
        let half = Self.index("halfvec_l1_ops", nil, "((embedding)::ext.halfvec(3))")
        let binary = Self.index("bit_hamming_ops", nil, "((ext.binary_quantize(embedding))::bit(3))")
        let columns = [Self.column("id", "int8"), Self.column("embedding", "vector", 3)]
        let made = Self.adopt([
            Self.sighting(0, columns, [Self.key, half, binary]), Self.sighting(1, columns, [Self.key, half]),
        ])
        #expect(made.collections.map(\.coarse) == [[.half]] && made.collections.map(\.metric) == [.l1])
    }

    @Test func bitStringsCountOnlyWithAnIndex() {
        let columns = [Self.column("id", "int8"), Self.column("embedding", "bit", 8)]
        let made = Self.adopt([Self.sighting(0, columns, [Self.key])])
        #expect(made.collections.isEmpty && made.reasons == [])
    }

    @Test func severalVectorsAreSeveralCollections() {
        let columns = [
            Self.column("id", "int8"), Self.column("a b", "vector", 3), Self.column("c", "halfvec", 4),
        ]
        let made = Self.adopt([Self.sighting(0, columns, [Self.key])])
        #expect(made.collections.map(\.name) == ["t_a_b", "t_c"] && made.collections.map(\.dimensions) == [3, 4])
    }

    @Test func tablesThatCannotBeServed() {
        let text = [Self.column("id", "text"), Self.column("embedding", "vector", 3)]
        #expect(
            Self.adopt([Self.sighting(0, text, [])]).reasons
                == ["no bigint, integer or smallint column is unique by itself"])
        #expect(Self.adopt([Self.sighting()], table: "a.b").reasons.first?.hasPrefix("its name has a dot") == true)
        let untyped = [Self.column("id", "int8"), Self.column("embedding", "vector")]
        #expect(
            Self.adopt([Self.sighting(0, untyped)]).reasons
                == ["column \"embedding\" does not say how many dimensions it has, and no row shows it"])
        #expect(Self.adopt([Self.sighting(0, untyped)], .init(dimensions: 7)).collections.map(\.dimensions) == [7])
        let other = [Self.column("id", "int8"), Self.column("embedding", "vector", 4)]
        #expect(
            Self.adopt([Self.sighting(0), Self.sighting(1, other)]).reasons.first?.hasPrefix("on s1: `dimensions`")
                == true)
    }

    @Test func columnsThatNotEveryShardHasAreLeftOut() {
        let base = [Self.column("id", "int8"), Self.column("embedding", "vector", 3), Self.column("a", "text")]
        let made = Self.adopt([
            Self.sighting(0, base + [Self.column("b", "text"), Self.column("c", "int4")]),
            Self.sighting(1, base + [Self.column("c", "text")]),
        ])
        #expect(made.collections.map(\.columns) == [["a"]])
    }

    @Test func aViewIsKnownByItsId() {
        let columns = [Self.column("id", "int8"), Self.column("embedding", "vector", 3)]
        let made = Self.adopt([Self.sighting(0, columns, [], kind: .view)])
        #expect(made.collections.map(\.idColumn) == ["id"] && made.collections.map(\.coarse) == [[]])
    }

    // MARK: Placement

    /// Ids by the remainder that their hash has.
    static func ids(_ shards: Int, _ count: Int64) throws -> [[Int64]] {
        let placement = try #require(HashPlacement(shardCount: shards))
        return (0..<shards).map { shard in (1...count).filter { placement.shard(of: $0) == shard } }
    }

    static func placed(_ ids: [[Int64]]) -> GatewayConfig.Collection? {
        adopt(ids.indices.map { sighting($0) }, .init(ids: ids)).collections.first
    }

    @Test func placementIsToldByTheIds() throws {
        let ids = try Self.ids(3, 60)
        let ordered = try #require(Self.placed(ids))
        #expect(ordered.placement == .hash && ordered.shards == ["s0", "s1", "s2"])
        let turned = try #require(Self.placed([ids[1], ids[2], ids[0]]))
        #expect(turned.placement == .hash && turned.shards == ["s2", "s0", "s1"])
        let empty = try #require(Self.placed([ids[0], [], ids[2]]))
        #expect(empty.placement == .hash && empty.shards == ["s0", "s1", "s2"])
        let mixed = try #require(Self.placed([ids[0] + [ids[1][0]], ids[1], ids[2]]))
        #expect(mixed.placement == .any && mixed.shards == ["s0", "s1", "s2"])
        // So few are in another order by chance.
        let few = try Self.ids(3, 8)
        #expect(Self.placed([few[1], few[2], few[0]])?.placement == .any)
        #expect(Self.placed(few)?.placement == .hash)
    }

    // MARK: As text

    @Test func whatIsWrittenIsReadTheSame() throws {
        let words = [Self.column("id", "int8"), Self.column("embedding", "vector", 3), Self.column("w", "tsvector")]
        let adopted = try #require(Self.adopt([Self.sighting(0, words)]).collections.first)
        let names = [
            "a b", "q\"uote", "back\\slash", "new\nline", "${HOME}", "yes", "1", "é", "#x", "\u{2028}", "null",
        ]
        for name in names {
            var collection = adopted
            collection.table = name
            collection.idColumn = name
            collection.vectorColumn = name
            collection.columns = [name, "tags"]
            collection.filterable = [name: .uuid, "tags": .textArray]
            collection.text?.column = name
            collection.text?.language = name
            collection.coarse = [.half]
            collection.placement = .any
            let text = """
                shards: [{name: s0, replicas: [{dsn: host=h}]}]
                collections:
                \(AdoptedText.collection(collection))
                """
            let read = try GatewayConfig.parse(text, file: "f", environment: [:]).collections[0]
            #expect(read.table == name && read.idColumn == name && read.vectorColumn == name, "\(text)")
            #expect(read.columns == collection.columns && read.filterable == collection.filterable)
            #expect(read.text == collection.text && read.coarse == [.half] && read.placement == .any)
        }
    }
}
