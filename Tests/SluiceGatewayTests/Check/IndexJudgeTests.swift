import SluiceCore
import SluiceEngine
import SluiceGateway
import SluicePostgres
import Testing

/// What is said of indexes, and of servers and shards.
@Suite struct IndexJudgeTests {
    private typealias Judge = CollectionJudgeTests

    private static let advice =
        "searches read the whole table; "
        + "run CREATE INDEX CONCURRENTLY ON public.t USING hnsw (embedding vector_cosine_ops)"

    @Test func noIndexIsAWarningUnlessOneIsRequired() throws {
        let facts = Judge.table(indexes: [Judge.key])
        let words = "no index on column embedding serves cosine: \(Self.advice)"
        let verdict = try Judge.judge(facts)
        #expect(verdict.findings == ["warning: " + words] && verdict.index == .none)
        let required = try Judge.judge(facts, "require_index: true")
        #expect(required.findings == ["error: " + words] && required.index == .none)
    }

    @Test func indexesThatDoNotServe() throws {
        var partial = Judge.index()
        partial.isPartial = true
        var invalid = Judge.index()
        invalid.isValid = false
        let cases: [(TableFacts.Index, String)] = [
            (Judge.index("ann", "hnsw", "embedding", "vector_l2_ops"), " (ann serves l2)"),
            (Judge.index("ann", "ivfflat", "embedding", "vector_ip_ops"), " (ann serves inner_product)"),
            (Judge.index("ann", "hnsw", "embedding", "vector_l1_ops"), " (ann serves l1)"),
            (Judge.index("ann", "hnsw", "embedding", "mine"), " (ann serves mine)"),
            (partial, " (ann has a WHERE)"),
            (invalid, " (ann is not valid: it is being built, or that failed and it must be dropped)"),
            (Judge.index("ann", "btree", "embedding", "vector_ops"), ""),
            (Judge.index("ann", "hnsw", "other"), ""),
        ]
        for (index, found) in cases {
            let verdict = try Judge.judge(Judge.table(indexes: [Judge.key, index]))
            #expect(
                verdict.findings == ["warning: no index on column embedding serves cosine\(found): \(Self.advice)"])
            #expect(verdict.index == .none)
        }
    }

    @Test func oneThatServesAmongOthersIsEnough() throws {
        let others = [
            Judge.index("a", "hnsw", "embedding", "vector_l2_ops"), Judge.index("b", "ivfflat"), Judge.index("c"),
        ]
        let verdict = try Judge.judge(Judge.table(indexes: [Judge.key] + others))
        #expect(verdict.findings == [] && verdict.index == .hnsw)
    }

    @Test(
        arguments: [
            ("vector", "l2", "vector_l2_ops"), ("vector", "inner_product", "vector_ip_ops"),
            ("vector", "l1", "vector_l1_ops"), ("halfvec", "cosine", "halfvec_cosine_ops"),
            ("sparsevec", "inner_product", "sparsevec_ip_ops"), ("bit", "hamming", "bit_hamming_ops"),
            ("bit", "jaccard", "bit_jaccard_ops"),
        ])
    func operatorClasses(type: String, metric: String, operatorClass: String) throws {
        let vector = TableFacts.Column(
            name: "embedding", typeText: type, typeSchema: type == "bit" ? "pg_catalog" : "ext", typeName: type,
            modifier: 3)
        let facts = { (index: [TableFacts.Index]) in
            Judge.table([Judge.column("id", "int8"), vector], indexes: [Judge.key] + index)
        }
        let keys = "type: \(type), metric: \(metric)"
        let served = try Judge.judge(
            facts([Judge.index("ann", "hnsw", "embedding", operatorClass)]), keys, vectorSchema: "ext")
        #expect(served.findings == [] && served.index == .hnsw)
        let bare = try Judge.judge(facts([]), keys, vectorSchema: "ext")
        #expect(bare.findings.count == 1 && bare.findings[0].hasSuffix("USING hnsw (embedding ext.\(operatorClass))"))
    }

    @Test func aPartitionedTableIsIndexedWithoutConcurrently() throws {
        let verdict = try Judge.judge(Judge.table(indexes: [Judge.key], kind: .partitionedTable))
        #expect(verdict.findings.first?.contains("run CREATE INDEX ON public.t USING hnsw") == true)
    }

    @Test func theIndexesOfAViewCannotBeSeen() throws {
        for (kind, name) in [(TableFacts.Kind.view, "view"), (.foreignTable, "foreign table")] {
            let facts = Judge.table(indexes: [], kind: kind)
            let words =
                "public.t is a \(name): whether an index serves it cannot be seen; name the table itself in `table`"
            let verdict = try Judge.judge(facts)
            #expect(verdict.findings == ["warning: " + words] && verdict.index == .unknown)
            #expect(try Judge.judge(facts, "require_index: true").findings == ["error: " + words])
        }
    }

    @Test func moreDimensionsThanAnIndexHas() throws {
        var vector = Judge.vector
        vector.modifier = 3_000
        let facts = Judge.table([Judge.column("id", "int8"), vector], indexes: [Judge.key])
        let said = try Judge.judge(facts, "dimensions: 3000").findings
        #expect(said.count == 1 && said[0].contains("of more than 2000 dimensions; index a smaller form"))
        let coarse = try Judge.judge(facts, "dimensions: 3000, coarse: [half]").findings
        #expect(
            coarse.last?.hasSuffix("ON public.t USING hnsw ((embedding::halfvec(3000)) halfvec_cosine_ops)") == true)
    }

    // MARK: Coarse forms

    private static func over(_ expression: String, _ operatorClass: String) -> TableFacts.Index {
        Judge.index("coarse", "hnsw", nil, expression: expression, operatorClass)
    }

    @Test func coarseIndexesAreKnownByTheServersOwnText() throws {
        let indexes = [
            Judge.key, Judge.index(),
            Self.over("((public.binary_quantize(embedding))::bit(3))", "bit_hamming_ops"),
            Self.over("((embedding)::public.halfvec(3))", "halfvec_cosine_ops"),
        ]
        let verdict = try Judge.judge(Judge.table(indexes: indexes), "coarse: [binary, half]")
        #expect(verdict.findings == [] && verdict.index == .hnsw)
    }

    @Test(
        arguments: [
            [], [over("((public.binary_quantize(other))::bit(3))", "bit_hamming_ops")],
            [over("((public.binary_quantize(embedding))::bit(4))", "bit_hamming_ops")],
            [over("((mine.binary_quantize(embedding))::bit(3))", "bit_hamming_ops")],
            [Judge.index("b", "btree", nil, expression: "((public.binary_quantize(embedding))::bit(3))", "bit_ops")],
        ])
    func binaryIndexesThatAreMissing(others: [TableFacts.Index]) throws {
        let facts = Judge.table(indexes: [Judge.key, Judge.index()] + others)
        #expect(
            try Judge.judge(facts, "coarse: [binary]").findings == [
                "warning: `coarse`: no index over binary_quantize(embedding) serves hamming: searches read the whole "
                    + "table; run CREATE INDEX CONCURRENTLY ON public.t USING hnsw "
                    + "((binary_quantize(embedding)::bit(3)) bit_hamming_ops)"
            ])
    }

    @Test func aHalfIndexOfAnotherMetric() throws {
        let facts = Judge.table(
            indexes: [
                Judge.key, Judge.index(), Self.over("((embedding)::public.halfvec(3))", "halfvec_l2_ops"),
            ])
        let verdict = try Judge.judge(facts, "coarse: [half], require_index: true")
        #expect(
            verdict.findings == [
                "error: `coarse`: no index over embedding::halfvec(3) serves cosine (coarse serves l2): searches read "
                    + "the whole table; run CREATE INDEX CONCURRENTLY ON public.t USING hnsw "
                    + "((embedding::halfvec(3)) halfvec_cosine_ops)"
            ])
        #expect(verdict.index == .hnsw)
    }

    @Test func aColumnWhoseNameNeedsQuotes() throws {
        let vector = TableFacts.Column(
            name: "Emb x", quoted: "\"Emb x\"", typeText: "public.vector(3)", typeSchema: "public", typeName: "vector",
            modifier: 3)
        let facts = Judge.table(
            [Judge.column("id", "int8"), vector],
            indexes: [
                Judge.key, Self.over("((public.binary_quantize(\"Emb x\"))::bit(3))", "bit_hamming_ops"),
            ])
        let verdict = try Judge.judge(facts, "vector: \"Emb x\", coarse: [binary]")
        #expect(verdict.findings.count == 1)
        #expect(verdict.findings.first?.hasSuffix("USING hnsw (\"Emb x\" vector_cosine_ops)") == true)
    }

    // MARK: Servers

    @Test(arguments: [("0.7.4", true), ("0.8.0", false), ("0.8", false), ("0.10.1", false), ("1.0", false)])
    func oldExtensions(version: String, isOld: Bool) {
        let facts = ServerFacts(vectorSchema: "public", vectorType: 1, vectorVersion: version)
        let finding = ShardJudge.version(facts, shard: "s0", replica: "s0-a")
        #expect((finding != nil) == isOld)
        #expect(finding.map { $0.description.hasPrefix("warning: s0/s0-a: pgvector is \(version); ") } ?? true)
    }

    private static func replica(_ name: String, standby: Bool?, target: String? = nil) -> ShardJudge.Replica {
        .init(
            name: name, target: target ?? name,
            facts: standby.map { ServerFacts(vectorSchema: "public", vectorType: 1, isStandby: $0) })
    }

    @Test func rolesThatDoNotFit() {
        let (a, b, down) = (
            Self.replica("a", standby: false), Self.replica("b", standby: true), Self.replica("c", standby: nil)
        )
        #expect(ShardJudge.roles("s0", prefer: .primary, [a, b, down]) == [])
        #expect(ShardJudge.roles("s0", prefer: .standby, [a, b, down]) == [])
        #expect(ShardJudge.roles("s0", prefer: .primary, [down]) == [])
        #expect(ShardJudge.roles("s0", prefer: .primary, [b, down]).first?.message.contains("its primary") == true)
        #expect(ShardJudge.roles("s0", prefer: .standby, [a, down]).first?.message.contains("its standbys") == true)
        let second = Self.replica("d", standby: false)
        let both = ShardJudge.roles("s0", prefer: .any, [a, second])
        #expect(both.count == 1 && both.first?.message.hasPrefix("a and d are primaries both") == true)
        let twice = [Self.replica("a", standby: false, target: "x"), Self.replica("d", standby: false, target: "x")]
        #expect(ShardJudge.roles("s0", prefer: .any, twice) == [])
    }

    @Test func aFindingIsOneLine() {
        let finding = Finding(.warning, collection: "c", shard: "s0", replica: "s0-a", "column \"a\nb\u{7F}\" is odd")
        #expect(finding.description == "warning: c on s0/s0-a: column \"a?b?\" is odd")
        #expect(Finding(.error, .reach, shard: "s0", "down").description == "error: s0: down")
    }

    // MARK: What the engine hears of it

    @Test func theCatalogueKeepsAnIndexOfEachCollectionAndShard() {
        let shard = Catalogue.Shard(name: "s", replicas: [])
        let catalogue = Catalogue(
            shards: [shard, shard],
            collections: [
                .init(
                    name: "c", schema: "public", table: "t", idColumn: "id", vectorColumn: "v", metric: .l2,
                    dimensions: 3, columns: [], shards: [0, 1])
            ])
        #expect(catalogue.index(of: "c", shard: 0).kind == .unknown)
        catalogue.index(of: "c", shard: 1).update(.ivfflat)
        #expect(catalogue.index(of: "c", shard: 1).kind == .ivfflat)
        #expect(catalogue.index(of: "c", shard: 0).kind == .unknown)
        catalogue.index(of: "nobody", shard: 7).update(.hnsw)
        #expect(catalogue.index(of: "nobody", shard: 7).kind == .unknown)
    }
}
