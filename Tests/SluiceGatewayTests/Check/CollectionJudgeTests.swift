import SluiceEngine
import SluiceGateway
import SluicePostgres
import Testing

/// Every finding, by facts made up for it.
@Suite struct CollectionJudgeTests {
    static let vector = TableFacts.Column(
        name: "embedding", typeText: "public.vector(3)", typeSchema: "public", typeName: "vector", modifier: 3)

    static func column(
        _ name: String, _ type: String, _ text: String? = nil, readable: Bool = true
    ) -> TableFacts.Column {
        .init(name: name, typeText: text ?? type, typeSchema: "pg_catalog", typeName: type, isReadable: readable)
    }

    static func index(
        _ name: String = "ann", _ method: String = "hnsw", _ column: String? = "embedding",
        expression: String = "", _ operatorClass: String = "vector_cosine_ops"
    ) -> TableFacts.Index {
        .init(
            name: name, method: method,
            keys: [.init(column: column, expression: column ?? expression, operatorClass: operatorClass)])
    }

    static var key: TableFacts.Index {
        var index = index("t_pkey", "btree", "id", "int8_ops")
        index.isUnique = true
        return index
    }

    /// A table that nothing is wrong with.
    static func table(
        _ columns: [TableFacts.Column] = [column("id", "int8", "bigint"), vector], more: [TableFacts.Column] = [],
        indexes: [TableFacts.Index] = [key, index()], kind: TableFacts.Kind = .table
    ) -> TableFacts {
        .init(kind: kind, quoted: "public.t", columns: columns + more, indexes: indexes, hasTextConfiguration: true)
    }

    static func judge(
        _ facts: TableFacts?, _ keys: String = "", vectorSchema: String = "public"
    ) throws -> (index: IndexKind, findings: [String]) {
        let config = try GatewayConfig.parse(
            """
            shards: [{name: s0, replicas: [{dsn: host=h}]}]
            collections:
              - {name: c, table: t\(keys.contains("metric:") ? "" : ", metric: cosine")\
            \(keys.contains("dimensions:") ? "" : ", dimensions: 3")\(keys.isEmpty ? "" : ", " + keys)}
            """, file: "f", environment: [:])
        let collection = try #require(config.collections.first)
        let judge = CollectionJudge(
            collection, facts,
            server: ServerFacts(vectorSchema: vectorSchema, vectorType: 1, vectorVersion: "0.8.1"), role: "sluice",
            shard: "s0", replica: "s0-a")
        #expect(judge.findings.allSatisfy { $0.collection == "c" && $0.shard == "s0" && $0.replica == "s0-a" })
        return (judge.index, judge.findings.map { "\($0.severity.rawValue): \($0.message)" })
    }

    @Test func nothingIsSaidOfWhatIsRight() throws {
        for method in ["hnsw", "ivfflat"] {
            let verdict = try Self.judge(Self.table(indexes: [Self.key, Self.index("ann", method)]))
            #expect(verdict.findings == [] && verdict.index == (method == "hnsw" ? .hnsw : .ivfflat))
        }
        for kind in [TableFacts.Kind.partitionedTable, .materializedView] {
            #expect(try Self.judge(Self.table(kind: kind)).findings == [])
        }
    }

    // MARK: Tables and columns

    @Test func aTableThatIsNotThere() throws {
        let verdict = try Self.judge(nil)
        #expect(verdict.findings == ["error: there is no table public.t; create it, or correct `table`"])
        #expect(verdict.index == .unknown)
        #expect(
            try Self.judge(Self.table(kind: .other)).findings
                == ["error: public.t is neither a table nor a view; correct `table`"])
    }

    @Test func idsThatCannotBeOne() throws {
        #expect(try Self.judge(Self.table([Self.vector])).findings == ["error: `id`: public.t has no column \"id\""])
        #expect(
            try Self.judge(Self.table([Self.column("id", "text"), Self.vector])).findings
                == ["error: `id`: column id is text; it must be bigint, integer or smallint"])
        for type in ["int2", "int4", "int8"] {
            #expect(try Self.judge(Self.table([Self.column("id", type), Self.vector])).findings == [])
        }
    }

    @Test func idsThatNothingKeepsUnique() throws {
        let warning = [
            "warning: `id`: nothing keeps two rows from having the same id; "
                + "run ALTER TABLE public.t ADD PRIMARY KEY (id)"
        ]
        var plain = Self.key
        plain.isUnique = false
        var partial = Self.key
        partial.isPartial = true
        var invalid = Self.key
        invalid.isValid = false
        var pair = Self.key
        pair.keys.append(.init(column: "part", expression: "part", operatorClass: "int4_ops"))
        for indexes in [[], [plain], [partial], [invalid], [pair]] {
            #expect(try Self.judge(Self.table(indexes: indexes + [Self.index()])).findings == warning)
        }
    }

    @Test func vectorsOfAnotherKind() throws {
        let id = Self.column("id", "int8")
        #expect(try Self.judge(Self.table([id])).findings == ["error: `vector`: public.t has no column \"embedding\""])
        var half = Self.vector
        half.typeName = "halfvec"
        half.typeText = "public.halfvec(3)"
        #expect(
            try Self.judge(Self.table([id, half])).findings
                == ["error: `type`: column embedding is public.halfvec(3), not vector; correct `vector` or `type`"])
        var elsewhere = Self.vector
        elsewhere.typeSchema = "mine"
        #expect(try Self.judge(Self.table([id, elsewhere])).findings.count == 1)
        let bits = Self.column("embedding", "bit", "bit(3)")
        var long = bits
        long.modifier = 3
        let hamming = Self.index("ann", "hnsw", "embedding", "bit_hamming_ops")
        #expect(
            try Self.judge(Self.table([id, long], indexes: [Self.key, hamming]), "type: bit, metric: hamming").findings
                == [])
    }

    @Test func dimensionsThatDiffer() throws {
        let id = Self.column("id", "int8")
        #expect(
            try Self.judge(Self.table(), "dimensions: 4").findings == [
                "error: `dimensions`: column embedding has 3, the configuration says 4; "
                    + "correct `vector` or `dimensions`"
            ])
        var free = Self.vector
        free.modifier = nil
        free.typeText = "public.vector"
        #expect(
            try Self.judge(Self.table([id, free])).findings == [
                "warning: `dimensions`: column embedding does not say how many it has, and one row of another number "
                    + "makes searches fail; run ALTER TABLE public.t ALTER COLUMN embedding TYPE public.vector(3)"
            ])
    }

    @Test func columnsThatAreNotThere() throws {
        #expect(
            try Self.judge(Self.table(more: [Self.column("name", "text")]), "columns: [name, colour]").findings
                == ["error: `columns`: public.t has no column \"colour\""])
        #expect(
            try Self.judge(Self.table(), "filterable: {colour: text}").findings
                == ["error: `filterable`: public.t has no column \"colour\""])
    }

    @Test(
        arguments: [
            ("bool", ["bool"], ["int4", "text"]), ("int", ["int2", "int4", "int8"], ["numeric", "float8", "text"]),
            ("float", ["float4", "float8", "numeric"], ["int8", "text"]),
            ("text", ["text", "varchar", "bpchar", "name"], ["uuid", "json", "_text"]),
            ("timestamp", ["timestamptz"], ["time", "text"]), ("uuid", ["uuid"], ["text"]),
            ("\"text[]\"", ["_text"], ["text", "_int4"]),
        ] as [(String, [String], [String])])
    func filterableTypes(declared: String, fitting: [String], others: [String]) throws {
        for type in fitting + others {
            let verdict = try Self.judge(Self.table(more: [Self.column("f", type)]), "filterable: {f: \(declared)}")
            let error =
                "error: `filterable`: column f is \(type), which cannot be compared with "
                + "\(declared.filter { $0 != "\"" }); correct its type"
            #expect(verdict.findings == (fitting.contains(type) ? [] : [error]))
        }
    }

    @Test func aTypeOfTheSameNameInAnotherSchemaDoesNotFit() throws {
        var column = Self.column("f", "uuid", "mine.uuid")
        column.typeSchema = "mine"
        #expect(try Self.judge(Self.table(more: [column]), "filterable: {f: uuid}").findings.count == 1)
    }

    @Test func filterableTypesThatFitHalf() throws {
        for (type, words) in [
            ("timestamp", "timestamp with time zone"), ("date", "timestamp with time zone"),
        ] {
            let said = try Self.judge(Self.table(more: [Self.column("f", type)]), "filterable: {f: timestamp}").findings
            #expect(said.count == 1 && said[0].hasPrefix("warning: ") && said[0].contains(words))
        }
        let said = try Self.judge(Self.table(more: [Self.column("f", "_varchar")]), "filterable: {f: \"text[]\"}")
        #expect(said.findings.count == 1 && said.findings[0].hasSuffix("make it text[]"))
    }

    @Test func whatTheRoleMayNotRead() throws {
        let hidden = Self.column("name", "text", readable: false)
        #expect(
            try Self.judge(Self.table(more: [hidden]), "columns: [name]").findings
                == ["error: role sluice may not read name of public.t; run GRANT SELECT ON public.t TO sluice"])
        #expect(try Self.judge(Self.table(more: [hidden])).findings == [])
        var closed = Self.table()
        closed.isSchemaUsable = false
        #expect(
            try Self.judge(closed).findings
                == ["error: role sluice may not use schema public; run GRANT USAGE ON SCHEMA public TO sluice"])
    }

    // MARK: Words

    @Test func textColumns() throws {
        let keys = "text: {column: words, language: english}"
        let words = Self.column("words", "tsvector")
        let gin = Self.index("words_gin", "gin", "words", "tsvector_ops")
        var facts = Self.table(more: [words], indexes: [Self.key, Self.index(), gin])
        #expect(try Self.judge(facts, keys).findings == [])
        facts.hasTextConfiguration = false
        #expect(
            try Self.judge(facts, keys).findings == [
                "error: `text.language`: there is no text search configuration \"english\"; \\dF in psql lists them"
            ])
        #expect(
            try Self.judge(Self.table(more: [words]), keys).findings == [
                "warning: `text.column`: no GIN index on column words: searches for words read the whole table; "
                    + "run CREATE INDEX CONCURRENTLY ON public.t USING gin (words)"
            ])
        #expect(
            try Self.judge(Self.table(more: [Self.column("words", "text")]), keys).findings
                == ["error: `text.column`: column words is text; it must be tsvector"])
        #expect(
            try Self.judge(Self.table(), keys).findings == ["error: `text.column`: public.t has no column \"words\""])
    }
}
