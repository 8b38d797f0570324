import SluiceCore
import SluiceGateway
import Testing

/// What a move makes, and what it finds in its way.
@Suite struct ReshardPlanTests {
    private static func layout(_ old: String = "docs", _ new: String = "docs_e2") -> ReshardLayout {
        ReshardLayout(
            collection: "papers", idColumn: "id", old: .init(schema: "public", table: old, shards: ["s0", "s1"]),
            new: .init(schema: "public", table: new, shards: ["s0", "s1", "s2"]), epoch: 2)
    }

    private static let shape = ReshardShape(
        columns: [
            .init(
                name: "id", quoted: "id", definition: "id bigint NOT NULL", typeText: "bigint",
                sender: "pg_catalog.int8send"),
            .init(
                name: "Emb\"x", quoted: "\"Emb\"\"x\"", definition: "\"Emb\"\"x\" public.vector(3)",
                typeText: "public.vector(3)", sender: "public.vector_send", storage: "PLAIN"),
            .init(
                name: "words", quoted: "words", definition: "words tsvector GENERATED ALWAYS AS (NULL) STORED",
                typeText: "tsvector", sender: "pg_catalog.tsvectorsend", isGenerated: true),
        ],
        constraints: ["PRIMARY KEY (id)"],
        indexes: [
            .init(name: "docs_near", isUnique: false, rest: "USING hnsw (\"Emb\"\"x\" public.vector_l2_ops)"),
            .init(name: "other", isUnique: true, rest: "USING btree (id)"),
        ])

    private static func survey(_ change: (inout ReshardSurvey) -> Void = { _ in }) -> ReshardSurvey {
        let layout = layout()
        var survey = ReshardSurvey(
            old: layout.old.shards.map { shard in
                var old = ReshardSurvey.Old(shard)
                (old.shape, old.rows, old.tableBytes, old.indexBytes) = (shape, 1_000, 8_000_000, 1_000)
                return old
            }, new: layout.new.shards.map { ReshardSurvey.New($0) })
        change(&survey)
        return survey
    }

    @Test func theNewTableIsMadeAsTheOldOne() {
        let script = Self.shape.makeNew(Self.layout())
        #expect(
            script[0] == """
                CREATE TABLE "public"."docs_e2" (
                    id bigint NOT NULL,
                    "Emb""x" public.vector(3),
                    words tsvector GENERATED ALWAYS AS (NULL) STORED
                )
                """)
        #expect(script[1] == "ALTER TABLE \"public\".\"docs_e2\" ALTER COLUMN \"Emb\"\"x\" SET STORAGE PLAIN")
        #expect(script[2] == "ALTER TABLE \"public\".\"docs_e2\" ADD PRIMARY KEY (id)")
        #expect(script[3].hasSuffix("IS E'sluice reshard: collection papers, epoch 2'"))
        #expect(script.last == "ALTER TABLE \"public\".\"docs_e2\" ENABLE ALWAYS TRIGGER sluice_reshard_fence")
        var shape = Self.shape
        shape.owner = "the owner"
        #expect(
            shape.makeNew(Self.layout()) == script + ["ALTER TABLE \"public\".\"docs_e2\" OWNER TO \"the owner\""])
    }

    @Test func indexesAreNamedByTheNewTable() {
        let made = Self.shape.makeIndexes(Self.layout())
        #expect(made.map(\.name) == ["docs_e2_near", "docs_e2_other"])
        #expect(
            made[1].sql == "CREATE UNIQUE INDEX \"docs_e2_other\" ON \"public\".\"docs_e2\" USING btree (id)")
        let long = String(repeating: "é", count: 31)
        let (one, other) = (
            ReshardShape.name(of: "x_\(long)", Self.layout()), ReshardShape.name(of: "y_\(long)", Self.layout())
        )
        #expect(one.utf8.count <= 63 && other.utf8.count <= 63 && one != other)
        #expect(one == ReshardShape.name(of: "x_\(long)", Self.layout()))
    }

    @Test func onlyTheServersOwnTextOfAnIndexIsTaken() {
        let text = "CREATE INDEX a ON public.docs USING btree (id)"
        #expect(
            ReshardShape.rest(of: text, name: "a", table: "public.docs", isUnique: false) == "USING btree (id)")
        #expect(ReshardShape.rest(of: text, name: "a", table: "public.docs", isUnique: true) == nil)
        #expect(ReshardShape.rest(of: text, name: "b", table: "public.docs", isUnique: false) == nil)
        #expect(ReshardShape.rest(of: text, name: "a", table: "public.other", isUnique: false) == nil)
    }

    @Test func generatedColumnsAreNeitherCopiedNorCompared() throws {
        let statements = ReshardStatements(Self.layout())
        #expect(
            statements.copy(Self.shape)
                == "COPY \"public\".\"docs_e2\" (id, \"Emb\"\"x\") FROM STDIN (FORMAT binary)")
        let placement = try #require(HashPlacement(shardCount: 3))
        for sql in [
            statements.oldSums(Self.shape, by: placement, .allBut), statements.newSums(Self.shape, shard: 2, .these),
            statements.nextRows(Self.shape, after: 3, limit: 10).sql,
        ] {
            #expect(sql.contains("t.\"Emb\"\"x\"") && !sql.contains("words"))
        }
    }

    @Test func triggersThatAreThereAreKept() {
        let statements = ReshardStatements(Self.layout())
        let all: Set = [
            ReshardStatements.fenceTrigger, ReshardStatements.logTrigger, ReshardStatements.truncateTrigger,
        ]
        #expect(statements.prepareOld(there: all).allSatisfy { !$0.contains("TRIGGER sluice") })
        let made = statements.prepareOld(there: [])
        #expect(all.allSatisfy { trigger in made.contains { $0.hasPrefix("CREATE TRIGGER \(trigger) ") } })
        // The fence is down before anybody can see it.
        #expect(made.contains { $0.hasSuffix("DISABLE TRIGGER sluice_reshard_fence") })
    }

    @Test func nothingIsInTheWayOfAPlainTable() {
        #expect(Self.survey().obstacles(Self.layout()).isEmpty)
        #expect(Self.survey().notes(Self.layout()).isEmpty)
    }

    @Test func whatIsInTheWayIsSaid() {
        func expect(_ words: String, _ change: (inout ReshardSurvey) -> Void) {
            let found = Self.survey(change).obstacles(Self.layout())
            #expect(found.contains { $0.contains(words) }, "\(found)")
        }
        expect("s1: there is no table public.docs") { $0.old[1] = nil }
        expect("s0: public.docs is no plain table") { $0.old[0]?.isTable = false }
        expect("has partitions") { $0.old[0]?.hasChildren = true }
        expect("s1: the role does not own public.docs") { $0.old[1]?.isOwner = false }
        expect("s0: public.docs is filled by a subscription") { $0.old[0]?.isSubscribed = true }
        expect("row-level security") { $0.old[0]?.hasRowSecurity = true }
        expect("column id is of type uuid, and no integer") { $0.old[0]?.idType = "uuid" }
        expect("no primary key that is id alone") { $0.old[0]?.hasKey = false }
        expect("which has no binary form") { $0.old[0]?.shape.columns[1].sender = "" }
        expect("differs between servers") { $0.old[0]?.shape.columns[1].hasLocalForm = true }
        expect("s1: the table's columns are not those of s0") { $0.old[1]?.shape.columns.removeLast() }
        expect("s2: 3 connections are free, 4 are needed") { $0.new[2].server.freeConnections = 3 }
        expect("public.sluice_layouts") { $0.new[0].server.canKeepLayouts = false }
        expect("the schema sluice_gateway") { $0.old[0]?.server.canKeepState = false }
        expect("may not create tables in the schema public") { $0.new[1].canCreate = false }
        expect("s2: there is a table public.docs_e2 already") { $0.new[2].table = .another }
        expect("the same schema everywhere: extensions, public") { $0.new[2].server.vectorSchema = "extensions" }
        expect("s2: there is no role \"reader\"") { $0.new[2].missingRoles = ["reader"] }
        var ours = Self.survey()
        ours.new[0].table = .ours
        #expect(ours.obstacles(Self.layout()).isEmpty)
    }

    @Test func whatDoesNotMoveIsSaid() {
        let survey = Self.survey {
            $0.old[0]?.triggers = ["mine"]
            $0.old[1]?.foreignKeys = ["key"]
            $0.old[1]?.shape.indexes = []
            $0.old[0]?.shape.columns[0].hasSequence = true
        }
        let notes = survey.notes(Self.layout())
        #expect(notes.count == 4)
        #expect(notes.contains("s0: triggers do not move: create them on public.docs_e2: mine"))
        #expect(notes.contains("s1: foreign keys do not move: key"))
    }

    /// Rows of 8 kB: some MiB at a time.
    @Test func batchesHaveSomeMebibytes() {
        #expect(Self.survey().batch(most: 1_000) == 262)
        #expect(Self.survey().batch(most: 10) == 10)
        #expect(Self.survey { $0.old = [nil, nil] }.batch(most: 1_000) == 1_000)
        let huge = Self.survey { $0.old[0]?.tableBytes = .max / 4 }
        #expect(huge.batch(most: 1_000) == 1)
    }

    @Test func theConfigurationsLinesAreYAML() {
        var layout = Self.layout("docs", "Docs e2")
        layout.new.shards = ["s0", "true"]
        #expect(layout.nextLine == "next: {table: \"public.Docs e2\", shards: [s0, \"true\"]}")
        #expect(layout.configLines == ["table: \"public.Docs e2\"", "shards: [s0, \"true\"]", "epoch: 2"])
        #expect(layout.shards == ["s0", "s1", "true"])
    }

    @Test func everyCollectionHasNamesOfItsOwn() {
        var other = Self.layout()
        other.collection = "papers2"
        #expect(other.suffix != Self.layout().suffix && other.suffix.count == 16)
        #expect(ReshardStatements(other).log != ReshardStatements(Self.layout()).log)
    }
}
