import Foundation
import Logging
import SluiceClient
import SluiceGateway
import Testing

import enum SluiceEngine.IndexKind

extension PostgreSQL {
    /// What the databases have to say of a configuration: `sluice check --connect`, and the gateway's start.
    @Suite(.serialized) struct Checks {
        /// On the primary of the first shard, each with one thing wrong or none.
        private static let tables = """
            set client_min_messages = error;
            create schema if not exists checks;
            set search_path = checks, public;
            drop table if exists fine, other_metric, bare, other_size, words, coarse, parts, derived, mixed;
            drop domain if exists positive;
            create table fine (id bigint primary key, embedding vector(3));
            create index on fine using ivfflat (embedding vector_l2_ops) with (lists = 1);
            create table other_metric (id bigint primary key, embedding vector(3));
            create index other_metric_ann on other_metric using hnsw (embedding vector_ip_ops);
            create table bare (id bigint, embedding vector(3));
            create table other_size (id bigint primary key, embedding vector(4));
            create index on other_size using hnsw (embedding vector_l2_ops);
            create table words (id bigint primary key, embedding vector(3), words text, terms tsvector);
            create index on words using hnsw (embedding vector_l2_ops);
            create table coarse (id bigint primary key, "Emb x" vector(3));
            create index on coarse using hnsw ("Emb x" vector_l2_ops);
            create index on coarse using hnsw ((binary_quantize("Emb x")::bit(3)) bit_hamming_ops);
            create index on coarse using hnsw (("Emb x"::halfvec(3)) halfvec_l2_ops);
            create table parts (id bigint primary key, embedding vector(3)) partition by hash (id);
            create table if not exists parts_0 partition of parts for values with (modulus 2, remainder 0);
            create table if not exists parts_1 partition of parts for values with (modulus 2, remainder 1);
            create index on parts using hnsw (embedding vector_l2_ops);
            create domain positive as bigint check (value > 0);
            create table derived (id positive primary key, embedding vector(3));
            create index on derived using hnsw (embedding vector_l2_ops);
            create table mixed (
                id bigint primary key, embedding vector(3), flag bool, born date, tags varchar[], n int);
            create index on mixed using hnsw (embedding vector_l2_ops);
            """

        private static func collection(_ name: String, _ more: String = "") -> String {
            "  - {name: \(name), table: checks.\(name), metric: l2, dimensions: 3, shards: [s0]"
                + "\(more.isEmpty ? "" : ", " + more)}\n"
        }

        private static let faulty =
            [
                collection("fine"), collection("other_metric"), collection("bare", "require_index: true"),
                collection("other_size"), collection("nowhere", "require_index: true"),
                collection("words", "text: {column: words, language: klingon}"),
                collection("coarse", "vector: \"Emb x\", coarse: [binary, half]"), collection("parts"),
                collection("derived"),
                collection(
                    "mixed",
                    "columns: [flag, colour], filterable: {flag: bool, born: timestamp, tags: \"text[]\", n: float}"),
            ].joined()

        private static let findings = [
            "warning: other_metric on s0/s0-a: no index on column embedding serves l2 "
                + "(other_metric_ann serves inner_product): searches read the whole table; run CREATE INDEX "
                + "CONCURRENTLY ON checks.other_metric USING hnsw (embedding vector_l2_ops)",
            "warning: bare on s0/s0-a: `id`: nothing keeps two rows from having the same id; run ALTER TABLE "
                + "checks.bare ADD PRIMARY KEY (id)",
            "error: bare on s0/s0-a: no index on column embedding serves l2: searches read the whole table; run "
                + "CREATE INDEX CONCURRENTLY ON checks.bare USING hnsw (embedding vector_l2_ops)",
            "error: other_size on s0/s0-a: `dimensions`: column embedding has 4, the configuration says 3; correct "
                + "`vector` or `dimensions`",
            "error: nowhere on s0/s0-a: there is no table checks.nowhere; create it, or correct `table`",
            "error: words on s0/s0-a: `text.language`: there is no text search configuration \"klingon\"; \\dF in "
                + "psql lists them",
            "error: words on s0/s0-a: `text.column`: column words is text; it must be tsvector",
            "error: mixed on s0/s0-a: `columns`: checks.mixed has no column \"colour\"",
            "warning: mixed on s0/s0-a: `filterable`: column born is date: which instant its values are depends on "
                + "the server's TimeZone; make it timestamp with time zone",
            "error: mixed on s0/s0-a: `filterable`: column n is integer, which cannot be compared with float; correct "
                + "its type",
            "warning: mixed on s0/s0-a: `filterable`: column tags is character varying[]: filters can ask whether it "
                + "overlaps, but = and != fail; make it text[]",
        ]

        /// Runs the CLI on a configuration in a file of its own.
        private func run(_ command: String..., config: String) throws -> (file: String, outcome: Binary.Outcome) {
            let file = FileManager.default.temporaryDirectory.appending(path: "sluice-check-\(UUID().uuidString)")
            try Data(config.utf8).write(to: file)
            defer { try? FileManager.default.removeItem(at: file) }
            return (file.path, try Binary.run(command + ["--config", file.path]))
        }

        @Test func theSamplesAreFine() throws {
            let replicas = try Replicas()
            let (file, said) = try run("check", "--connect", config: replicas.text())
            #expect(said.code == 0 && said.errors.isEmpty, "\(said.errors)")
            #expect(
                said.output
                    == "\(file): fine: 2 shards, 4 of 4 replicas reached, 2 collections, 0 errors, 0 warnings\n")
            let json = try run("check", "--connect", "--json", config: replicas.text()).outcome.json()
            #expect((json["findings"] as? [Any])?.isEmpty == true && (json["problems"] as? [Any])?.isEmpty == true)
            let servers = try #require(json["servers"] as? [[String: Any]])
            #expect(servers.map { $0["replica"] as? String } == ["s0-a", "s0-b", "s1-a", "s1-b"])
            #expect(servers.map { $0["role"] as? String } == ["primary", "standby", "primary", "standby"])
            #expect(servers.allSatisfy { $0["reachable"] as? Bool == true && $0["vector"] is String })
            let indexes = try #require(json["indexes"] as? [[String: String]])
            #expect(indexes.count == 4 && indexes.allSatisfy { $0["index"] == "hnsw" })
        }

        @Test(arguments: [false, true]) func everyFindingIsTold(throughPoolers: Bool) async throws {
            let replicas = try Replicas()
            try replicas.query("s0-a", Self.tables)
            let config = try replicas.config(extraCollections: Self.faulty, throughPoolers: throughPoolers)
            let examination = try await Examination.run(config, .allReplicas)
            #expect(examination.findings.map(\.description) == Self.findings)
            #expect(examination.servers.allSatisfy { $0.isReachable })
            let kinds = examination.indexes.filter { $0.shard == 0 }.map { "\($0.collection) \($0.kind)" }
            #expect(
                kinds == [
                    "programs hnsw", "libraries hnsw", "fine ivfflat", "other_metric none", "bare none",
                    "other_size hnsw", "nowhere unknown", "words hnsw", "coarse hnsw", "parts hnsw", "derived hnsw",
                    "mixed hnsw",
                ])
        }

        @Test func errorsAreSeventyEight() throws {
            let replicas = try Replicas()
            try replicas.query("s0-a", Self.tables)
            let (file, said) = try run("check", "--connect", config: replicas.text(extra: Self.faulty))
            #expect(said.code == 78 && said.output.isEmpty)
            let summary = "not fine: 2 shards, 4 of 4 replicas reached, 12 collections, 7 errors, 4 warnings"
            #expect(said.errors == (Self.findings + [summary]).map { "\(file): \($0)\n" }.joined())
            let json = try run("check", "--connect", "--json", config: replicas.text(extra: Self.faulty)).outcome
            #expect(json.code == 78 && json.errors.isEmpty)
            let findings = try #require(try json.json()["findings"] as? [[String: String]])
            #expect(findings.count == Self.findings.count)
            #expect(
                findings[0].filter { $0.key != "message" && $0.key != "text" }
                    == ["severity": "warning", "collection": "other_metric", "shard": "s0", "replica": "s0-a"])
        }

        @Test func warningsAloneAreZero() throws {
            let replicas = try Replicas()
            try replicas.query("s0-a", Self.tables)
            let (_, said) = try run(
                "check", "--connect", config: replicas.text(extra: Self.collection("other_metric")))
            #expect(said.code == 0 && said.errors.contains("serves inner_product"))
            #expect(said.output.contains("fine: 2 shards") && said.output.contains("0 errors, 1 warnings"))
        }

        @Test func whatTheRoleMayNotReadIsTold() async throws {
            let replicas = try Replicas()
            try replicas.superuser(
                "s0-a",
                """
                set client_min_messages = error;
                drop table if exists public.closed;
                create table public.closed (id bigint primary key, embedding public.vector(3), secret text);
                create index on public.closed using hnsw (embedding public.vector_l2_ops);
                grant select (id, embedding) on public.closed to sluice;
                drop schema if exists shut cascade;
                create schema shut;
                create table shut.t (id bigint primary key, embedding public.vector(3));
                create index on shut.t using hnsw (embedding public.vector_l2_ops);
                """)
            defer {
                _ = try? replicas.superuser(
                    "s0-a",
                    "set client_min_messages = error; drop table public.closed; drop schema shut cascade")
            }
            let config = try replicas.config(
                extraCollections: """
                      - {name: closed, table: closed, metric: l2, dimensions: 3, columns: [secret], shards: [s0]}
                      - {name: shut, table: shut.t, metric: l2, dimensions: 3, shards: [s0]}
                    """)
            let examination = try await Examination.run(config, .allReplicas)
            #expect(
                examination.findings.map(\.description) == [
                    "error: closed on s0/s0-a: role sluice may not read secret of public.closed; run GRANT SELECT ON "
                        + "public.closed TO sluice",
                    "error: shut on s0/s0-a: role sluice may not use schema shut; run GRANT USAGE ON SCHEMA shut TO "
                        + "sluice",
                ])
        }

        @Test func aDatabaseWithoutTheExtension() throws {
            let replicas = try Replicas()
            try replicas.superuser("s0-a", "create database bare")
            defer { _ = try? replicas.superuser("s0-a", "drop database bare with (force)") }
            let port = try #require(replicas.topology.shards.first?.replicas.first?.port)
            let config = """
                shards:
                  - name: s0
                    replicas: [{dsn: "host=127.0.0.1 port=\(port) dbname=bare user=sluice", \
                password_file: \(replicas.topology.passwordFile)}]
                collections: [{name: c, table: t, metric: l2, dimensions: 3}]
                """
            let (file, said) = try run("check", "--connect", config: config)
            #expect(said.code == 78)
            #expect(
                said.errors.hasPrefix(
                    "\(file): error: s0/s0-0: the extension vector is not in this database; run CREATE EXTENSION"))
        }

        // MARK: Servers that do not answer

        @Test func aDeadReplicaIsToldAndTheOtherIsExamined() throws {
            let config = try Replicas().text(dsn: { "host=127.0.0.1 port=\($0.name == "s1-a" ? 1 : $0.port)" })
            let (file, said) = try run("check", "--connect", config: config)
            #expect(said.code == 0, "\(said.errors)")
            #expect(said.errors.hasPrefix("\(file): warning: s1/s1-a: it cannot be reached: "))
            #expect(said.output.contains("3 of 4 replicas reached") && said.output.contains("0 errors, 1 warnings"))
            let json = try run("check", "--connect", "--json", config: config).outcome.json()
            let servers = try #require(json["servers"] as? [[String: Any]])
            #expect(servers.map { $0["reachable"] as? Bool } == [true, true, false, true])
            #expect((json["indexes"] as? [Any])?.count == 4)
        }

        @Test func aShardWithoutReplicasIsSixtyNineUnlessThereIsWorse() throws {
            let dead = try Replicas().text(dsn: { "host=127.0.0.1 port=\($0.name.hasPrefix("s1") ? 1 : $0.port)" })
            let (file, said) = try run("check", "--connect", config: dead)
            #expect(said.code == 69 && said.output.isEmpty)
            #expect(said.errors.contains("\(file): error: s1: no replica can be reached"))
            let worse = try run("check", "--connect", config: dead + Self.collection("nowhere")).outcome
            #expect(worse.code == 78)
        }

        @Test func aFrozenReplicaHoldsNobodyUpForLong() async throws {
            let replicas = try Replicas()
            try replicas.script("stop", "s0-b")
            defer { _ = try? replicas.script("cont", "s0-b") }
            let (_, said) = try run(
                "check", "--connect", config: replicas.text() + "\npool: {connect_timeout: 500ms}")
            #expect(said.code == 0 && said.errors.contains("warning: s0/s0-b: it cannot be reached"))
            let config = try replicas.config(pool: "{max_size: 4, connect_timeout: 500ms}")
            try await withGateway(config) { client, gateway in
                #expect(gateway.indexKind(of: "programs", shard: 0) == .hnsw)
                let reply = try await client.search(Self.search)
                #expect(reply.hits.count == 3)
            }
        }

        private static let search = SearchQuery(
            collections: ["programs"], vector: Array(repeating: 0.05, count: 384), k: 3)

        // MARK: The start

        @Test func theEngineKnowsTheIndexesAfterTheStart() async throws {
            let replicas = try Replicas()
            try replicas.query("s0-a", Self.tables)
            let extra = ["fine", "other_metric", "nowhere"].map { Self.collection($0) }.joined()
            let config = try replicas.config(extraCollections: extra, replicas: { $0.name.hasSuffix("-a") })
            try await withGateway(config) { client, gateway in
                #expect((0..<2).allSatisfy { gateway.indexKind(of: "programs", shard: $0) == .hnsw })
                #expect(gateway.indexKind(of: "fine", shard: 0) == .ivfflat)
                #expect(gateway.indexKind(of: "other_metric", shard: 0) == .none)
                #expect(gateway.indexKind(of: "nowhere", shard: 0) == .unknown)
                let reply = try await client.search(Self.search)
                #expect(reply.coverage == 1)
            }
        }

        @Test func aRequiredIndexThatIsMissingRefusesTheStart() throws {
            let replicas = try Replicas()
            try replicas.query("s0-a", Self.tables)
            let primaries = try Replicas().text(
                extra: Self.collection("other_metric", "require_index: true") + Self.collection("nowhere"),
                dsn: { $0.name.hasSuffix("-a") ? "host=127.0.0.1 port=\($0.port)" : nil })
            let (file, said) = try run("serve", config: primaries + "listen: {tcp: \"127.0.0.1:0\"}")
            #expect(said.code == 78 && said.output.isEmpty)
            #expect(!said.errors.contains("serving"))
            #expect(
                said.errors.hasSuffix(
                    """
                    sluice: the gateway does not start without the indexes that `require_index` asks for
                    \(file): error: other_metric on s0/s0-a: no index on column embedding serves l2 \
                    (other_metric_ann serves inner_product): searches read the whole table; run CREATE INDEX \
                    CONCURRENTLY ON checks.other_metric USING hnsw (embedding vector_l2_ops)

                    """), "\(said.errors)")
            #expect(said.errors.contains("there is no table checks.nowhere"))
        }

        @Test func findingsAreLoggedAndDoNotRefuse() async throws {
            let replicas = try Replicas()
            try replicas.query("s0-a", Self.tables)
            let extra = ["fine", "nowhere"].map { Self.collection($0, "require_index: true") }.joined()
            let text = replicas.text(
                extra: extra, dsn: { $0.name == "s0-b" ? nil : "host=127.0.0.1 port=\($0.port)" })
            try await withRealGateway(text) { gateway in
                #expect(gateway.log.contains("there is no table checks.nowhere") && gateway.log.contains("error"))
            }
        }

        @Test func aShardThatCannotBeExaminedIsToldAndDoesNotRefuse() async throws {
            let text = try Replicas().text(dsn: { "host=127.0.0.1 port=\($0.name.hasPrefix("s1") ? 1 : $0.port)" })
                .replacing("dimensions: 384", with: "dimensions: 384, require_index: true")
            try await withRealGateway(text) { gateway in
                #expect(gateway.log.contains("no replica can be reached, and what lies there was not examined"))
            }
        }
    }
}
