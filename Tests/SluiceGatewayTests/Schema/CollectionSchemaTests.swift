import SluiceCore
import SluiceGateway
import Testing

/// The statements that a collection's table is made by, for every form, metric and kind of column.
@Suite struct CollectionSchemaTests {
    static func collection(_ keys: String) throws -> GatewayConfig.Collection {
        let config = try GatewayConfig.parse(
            """
            shards: [{name: s0, replicas: [{dsn: host=h}]}, {name: s1, replicas: [{dsn: host=i}]}]
            collections: [{name: c, \(keys)}]
            """, file: "f", environment: [:])
        return try #require(config.collections.first)
    }

    static func statements(_ keys: String, vectorSchema: String = "public") throws -> [String] {
        CollectionSchema(try collection(keys), vectorSchema: vectorSchema).table.map(\.sql)
    }

    @Test func theLeast() throws {
        let schema = CollectionSchema(try Self.collection("table: t, metric: cosine, dimensions: 3"))
        #expect(schema.schema == nil)
        #expect(
            schema.table.map(\.sql) == [
                """
                CREATE TABLE "public"."t" (
                    "id" bigint PRIMARY KEY,
                    "embedding" "public".vector(3) NOT NULL
                )
                """,
                #"CREATE INDEX ON "public"."t" USING hnsw ("embedding" "public".vector_cosine_ops)"#,
            ])
        #expect(schema.statements.suffix(2).map(\.sql) == JournalTable.statements)
        #expect(schema.advice == [])
    }

    static let operatorClasses: [(form: String, metric: String, type: String, name: String)] = [
        ("vector", "l2", #""public".vector(8)"#, "vector_l2_ops"),
        ("vector", "inner_product", #""public".vector(8)"#, "vector_ip_ops"),
        ("vector", "cosine", #""public".vector(8)"#, "vector_cosine_ops"),
        ("vector", "l1", #""public".vector(8)"#, "vector_l1_ops"),
        ("halfvec", "l2", #""public".halfvec(8)"#, "halfvec_l2_ops"),
        ("halfvec", "inner_product", #""public".halfvec(8)"#, "halfvec_ip_ops"),
        ("halfvec", "cosine", #""public".halfvec(8)"#, "halfvec_cosine_ops"),
        ("halfvec", "l1", #""public".halfvec(8)"#, "halfvec_l1_ops"),
        ("sparsevec", "l2", #""public".sparsevec(8)"#, "sparsevec_l2_ops"),
        ("sparsevec", "inner_product", #""public".sparsevec(8)"#, "sparsevec_ip_ops"),
        ("sparsevec", "cosine", #""public".sparsevec(8)"#, "sparsevec_cosine_ops"),
        ("sparsevec", "l1", #""public".sparsevec(8)"#, "sparsevec_l1_ops"),
        ("bit", "hamming", "bit(8)", "bit_hamming_ops"), ("bit", "jaccard", "bit(8)", "bit_jaccard_ops"),
    ]

    @Test(arguments: operatorClasses.indices) func everyFormAndMetric(place: Int) throws {
        let wanted = Self.operatorClasses[place]
        let statements = try Self.statements(
            "table: t, type: \(wanted.form), metric: \(wanted.metric), dimensions: 8")
        #expect(statements[0].contains("    \"embedding\" \(wanted.type) NOT NULL\n"))
        #expect(
            statements.dropFirst() == [
                #"CREATE INDEX ON "public"."t" USING hnsw ("embedding" "public".\#(wanted.name))"#
            ])
    }

    @Test func namesOfTheExtensionHaveItsSchema() throws {
        let statements = try Self.statements(
            "table: t, metric: l2, dimensions: 3, coarse: [half, binary]", vectorSchema: "Ext x")
        #expect(statements[0].contains(#""Ext x".vector(3)"#))
        #expect(
            statements.dropFirst() == [
                #"CREATE INDEX ON "public"."t" USING hnsw ("embedding" "Ext x".vector_l2_ops)"#,
                #"CREATE INDEX ON "public"."t" USING hnsw (("embedding"::"Ext x".halfvec(3)) "Ext x".halfvec_l2_ops)"#,
                #"CREATE INDEX ON "public"."t" USING hnsw (("Ext x".binary_quantize("embedding")::bit(3)) "#
                    + #""Ext x".bit_hamming_ops)"#,
            ])
    }

    @Test func everyTypeOfColumnAndEachOnce() throws {
        let table = try Self.statements(
            "table: t, metric: l2, dimensions: 3, columns: [note, id, n], filterable: {n: int, b: bool, f: float, "
                + "s: text, at: timestamp, u: uuid, tags: \"text[]\", id: int}")[0]
        #expect(
            table == """
                CREATE TABLE "public"."t" (
                    "id" bigint PRIMARY KEY,
                    "embedding" "public".vector(3) NOT NULL,
                    "note" text,
                    "n" bigint,
                    "at" timestamptz,
                    "b" boolean,
                    "f" double precision,
                    "s" text,
                    "tags" text[],
                    "u" uuid
                )
                """)
    }

    @Test func wordsAreMadeOfTheTextsIfThereAreAny() throws {
        let made = try Self.statements(
            "table: t, metric: l2, dimensions: 3, columns: [title, words, n], filterable: {n: int, body: text}, "
                + "text: {column: words, language: \"o'x\\\\\"}")
        #expect(
            made[0].hasSuffix(
                """
                    "words" tsvector GENERATED ALWAYS AS (
                        pg_catalog.to_tsvector(E'o''x\\\\'::pg_catalog.regconfig, \
                coalesce("title", '') || ' ' || coalesce("body", ''))
                    ) STORED
                )
                """))
        #expect(made.last == #"CREATE INDEX ON "public"."t" USING gin ("words")"#)
        let schema = CollectionSchema(
            try Self.collection("table: t, metric: l2, dimensions: 3, text: {column: words}"))
        #expect(schema.table[0].sql.hasSuffix("    \"words\" tsvector\n)"))
        #expect(schema.table[0].comments.contains { $0.hasPrefix("Nothing fills \"words\"") })
    }

    @Test func oddNamesStayNames() throws {
        let keys = """
            table: "My \\"Sch\\"ema.Ta\\nble", id: "select", vector: "E;--", metric: l2, dimensions: 3, \
            columns: ["a\\nb", "c'd"], filterable: {"c'd": int}
            """
        let schema = CollectionSchema(try Self.collection(keys))
        #expect(schema.schema?.sql == #"CREATE SCHEMA IF NOT EXISTS "My ""Sch""ema""#)
        #expect(
            schema.table[0].sql == """
                CREATE TABLE "My ""Sch""ema"."Ta\nble" (
                    "select" bigint PRIMARY KEY,
                    "E;--" "public".vector(3) NOT NULL,
                    "a\nb" text,
                    "c'd" bigint
                )
                """)
        // A comment ends with its line: what comes after it would be a statement.
        #expect(schema.script.contains(#"--     CREATE INDEX ON "My ""Sch""ema"."Ta?ble" ("c'd");"#))
    }

    @Test func aVectorTooLargeForAnIndexHasNone() throws {
        let wide = CollectionSchema(
            try Self.collection("table: t, metric: l2, dimensions: 2001, coarse: [half]"))
        #expect(wide.table.count == 2 && wide.table[1].sql.contains("::\"public\".halfvec(2001)"))
        #expect(
            wide.advice
                == ["No HNSW index takes a vector of more than 2000 dimensions: searches read the whole table."])
        let wider = CollectionSchema(
            try Self.collection("table: t, metric: l2, dimensions: 4001, coarse: [half]"))
        #expect(wider.table.count == 1)
    }

    @Test func whatNoTableCanBeIsTold() throws {
        let schema = CollectionSchema(
            try Self.collection(
                "table: t, id: a, vector: a, metric: l2, dimensions: 3, filterable: {a: text, w: text}, "
                    + "text: {column: w}"))
        #expect(
            schema.conflicts == [
                "`id` and `vector` are one column, \"a\"",
                "`filterable`: column \"a\" is the vector, which is not text",
                "`filterable`: column \"w\" is a tsvector, which is not text",
            ])
        let fine = try Self.collection("table: t, metric: l2, dimensions: 3, filterable: {id: int}")
        #expect(CollectionSchema(fine).conflicts == [])
    }
}
