import Foundation
import SluiceClient
import SluiceGateway
import Testing

import enum SluiceCore.Metric

extension PostgreSQL {
    /// `sluice create-collection` and `sluice adopt`.
    @Suite(.serialized) struct Schemata {
        private static let queries = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "bench/data/packages/queries.npy").path

        private static let odd = #""schemata.\"Odd t\"""#

        /// Every form, and names that only quotes make names: the first table has quotes in its own.
        private static let collections = """
              - {name: odd, table: \(odd), id: "Id", vector: "Emb x", metric: cosine, dimensions: 3, \
            columns: [title, "sec\\"tion", n], filterable: {title: text, n: int, tags: "text[]", key: uuid, \
            at: timestamp, share: float, flag: bool}, text: {column: words, language: english}, \
            coarse: [binary, half], require_index: true}
              - {name: halves, table: schemata.halves, type: halfvec, metric: inner_product, dimensions: 4}
              - {name: bits, table: schemata.bits, type: bit, metric: jaccard, dimensions: 16}
              - {name: sparse, table: schemata.sparse, type: sparsevec, metric: l1, dimensions: 100000}

            """
        private static let names = ["odd", "halves", "bits", "sparse"]

        private let replicas: Replicas

        init() throws {
            replicas = try Replicas()
            try clear()
        }

        private func clear() throws {
            try onPrimaries("set client_min_messages = error; drop schema if exists schemata cascade")
        }

        private func onPrimaries(_ sql: String) throws {
            for name in ["s0-a", "s1-a"] { try replicas.query(name, sql) }
        }

        private func run(
            _ arguments: String..., config: String
        ) throws -> (file: String, outcome: Binary.Outcome) {
            try run(arguments, config)
        }

        private func run(_ arguments: [String], _ config: String) throws -> (file: String, outcome: Binary.Outcome) {
            let file = FileManager.default.temporaryDirectory.appending(path: "sluice-schema-\(UUID().uuidString)")
            try Data(config.utf8).write(to: file)
            defer { try? FileManager.default.removeItem(at: file) }
            return (file.path, try Binary.run(arguments + ["--config", file.path]))
        }

        private func create(
            _ name: String, _ more: String..., config: String
        ) throws -> Binary.Outcome {
            try run(["create-collection", "--collection", name] + more, config).outcome
        }

        /// The primary is the first of each shard's list, so that nobody waits for standbys.
        private func config(_ extra: String = collections) -> String { replicas.text(extra: extra) }

        private func tables(_ replica: String) throws -> String {
            try replicas.query(
                replica, "select string_agg(tablename, ',') from pg_tables where schemaname = 'schemata'")
        }

        // MARK: create-collection

        @Test func whatIsCreatedIsAsCheckWantsIt() async throws {
            for name in Self.names {
                let made = try create(name, "--apply", config: config())
                #expect(made.code == 0 && made.output == "s0/s0-a: created\ns1/s1-a: created\n", "\(made.errors)")
            }
            let (file, said) = try run("check", "--connect", config: config())
            #expect(said.code == 0 && said.errors.isEmpty, "\(said.errors)")
            #expect(said.output.hasPrefix("\(file): fine:"))
            #expect(try replicas.query("s1-a", "select count(*) from sluice_gateway.journal where false") == "0")
            // Each shard gets the rows that PostgreSQL's own hash puts there.
            let insert = """
                insert into schemata.\"\"\"Odd t\"\"\" ("Id", "Emb x", title, n)
                select n, array[n, 1, 0]::vector, 'words ' || n, n
                from generate_series(1, 40) n
                where satisfies_hash_partition('public.placement'::regclass, 2, %, n::bigint)
                """
            try onPrimaries(
                "set client_min_messages = error; drop table if exists public.placement; "
                    + "create table public.placement (id bigint) partition by hash (id)")
            for (shard, name) in ["s0-a", "s1-a"].enumerated() {
                try replicas.query(name, insert.replacing("%", with: String(shard)))
            }
            try onPrimaries("drop table public.placement")
            let primaries = try replicas.config(
                extraCollections: Self.collections, replicas: { $0.name.hasSuffix("-a") })
            try await withGateway(primaries) { client, _ in
                var query = SearchQuery(collections: ["odd"], vector: [1, 1, 0], k: 3)
                query.columns = ["title", "n"]
                let reply = try await client.search(query)
                #expect(reply.hits.map(\.id) == [1, 2, 3] && reply.coverage == 1)
                #expect(reply.hits.first?.columns["title"] == .string("words 1"))
            }
            try clear()
        }

        @Test func asPrintedItIsAScriptForPsql() throws {
            for name in Self.names {
                let script = try create(name, config: config())
                #expect(script.code == 0 && script.errors.isEmpty)
                try onPrimaries("set client_min_messages = error;\n" + script.output)
            }
            let said = try run("check", "--connect", config: config()).outcome
            #expect(said.code == 0 && said.errors.isEmpty, "\(said.errors)")
            try clear()
        }

        @Test func aTableThatIsThereIsKeptOnlyIfItFits() throws {
            #expect(try create("halves", "--apply", config: config()).code == 0)
            let again = try create("halves", "--apply", config: config())
            #expect(again.code == 78 && again.output.isEmpty)
            #expect(again.errors.contains("schemata.halves is there already; --if-not-exists keeps it if it fits"))
            let json = try create("halves", "--apply", "--if-not-exists", "--json", config: config())
            #expect(json.code == 0)
            let shards = try #require(json.json()["shards"] as? [[String: Any]])
            #expect(shards.map { $0["outcome"] as? String } == ["existed", "existed"])
            #expect(shards.map { $0["replica"] as? String } == ["s0-a", "s1-a"])

            try replicas.query(
                "s1-a", "alter table schemata.halves alter embedding type halfvec(5) using null")
            let other = try create("halves", "--apply", "--if-not-exists", config: config())
            #expect(other.code == 78)
            #expect(other.errors.contains("s0/s0-a: not applied"))
            #expect(
                other.errors.contains("s1/s1-a: error: `dimensions`: column embedding has 5, the configuration says 4"))
            try clear()
        }

        @Test func nothingIsDoneAnywhereIfOneShardIsInTheWay() throws {
            try replicas.query("s1-a", "create schema schemata; create table schemata.bits (id text)")
            let refused = try create("bits", "--apply", config: config())
            #expect(refused.code == 78 && refused.errors.contains("s0/s0-a: not applied"), "\(refused.errors)")
            #expect(try tables("s0-a") == "")
            try clear()
        }

        @Test func aStatementThatFailsLeavesNothing() throws {
            let klingon = config(
                "  - {name: c, table: schemata.c, metric: l2, dimensions: 3, columns: [a], "
                    + "text: {column: w, language: klingon}}\n")
            let failed = try create("c", "--apply", config: klingon)
            #expect(failed.code == 70)
            #expect(
                failed.errors.contains(
                    "s0/s0-a: text search configuration \"klingon\" does not exist (SQLSTATE 42704) at CREATE TABLE"),
                "\(failed.errors)")
            #expect(failed.errors.contains("s1/s1-a: not applied"))
            #expect(try replicas.query("s0-a", "select count(*) from pg_namespace where nspname = 'schemata'") == "0")
        }

        @Test func itTakesOnePrimaryOfEachShard() throws {
            let standbys = replicas.text(
                extra: Self.collections, dsn: { $0.name.hasSuffix("-b") ? "host=127.0.0.1 port=\($0.port)" : nil })
            let none = try create("bits", "--apply", config: standbys)
            #expect(none.code == 69 && none.errors.contains("s0: no replica that was reached is a primary"))
            let port = try #require(replicas.topology.shards.last?.replicas.first?.port)
            let both = replicas.text(
                extra: Self.collections,
                dsn: { "host=127.0.0.1 port=\($0.name == "s0-b" ? port : $0.port)" })
            let two = try create("bits", "--apply", config: both)
            #expect(two.code == 69, "\(two.errors)")
            #expect(two.errors.contains("s0: s0-a and s0-b are primaries both"))
            #expect(two.errors.contains("s1/s1-a: not applied"))
            #expect(try tables("s1-a") == "")
        }

        @Test func whatTheConfigurationDoesNotHaveIsSeventyEight() throws {
            let unknown = try create("halve", config: config())
            #expect(unknown.code == 78 && unknown.errors.contains("did you mean \"halves\"?"))
            #expect(try create("c", config: "shards: []").code == 78)
        }

        // MARK: adopt

        private func dsns(_ names: [String]) -> [String] {
            topology(names).flatMap { ["--dsn", "host=127.0.0.1 port=\($0) dbname=sluice user=sluice"] }
                + ["--password-file", replicas.topology.passwordFile]
        }

        private func topology(_ names: [String]) -> [Int] {
            names.compactMap { name in
                replicas.topology.shards.flatMap(\.replicas).first { $0.name == name }?.port
            }
        }

        /// Checks what was written as its user would.
        private func check(_ text: String) throws -> Binary.Outcome {
            try run("check", "--connect", config: text).outcome
        }

        @Test func theSamplesAreAdoptedAndServed() async throws {
            let names = ["--table", "programs", "--table", "libraries"]
            let adopted = try Binary.run(["adopt"] + dsns(["s0-a", "s1-b"]) + names)
            #expect(adopted.code == 0 && adopted.errors.isEmpty, "\(adopted.errors)")
            #expect(adopted.output.contains("text: {column: words, language: simple}\n    coarse: [binary, half]"))
            #expect(adopted.output.contains("sampled ids are all where their hash puts them"))
            let said = try check(adopted.output)
            #expect(said.code == 0 && said.errors.isEmpty, "\(said.errors)")
            try await withRealGateway(adopted.output) { gateway in
                let found = try gateway.run(
                    "search", "--collection", "programs", "--vector-file", Self.queries, "-k", "5", "--json",
                    "--filter", "installed_kib > 0")
                #expect(found.code == 0 && found.errors.isEmpty)
                #expect(try found.json()["coverage"] as? Double == 1)
                #expect((try found.json()["hits"] as? [Any])?.count == 5)
            }
            // In the other order the shards are written in the order of the hash's remainders.
            let turned = try Binary.run(["adopt"] + dsns(["s1-a", "s0-a"]) + names)
            #expect(turned.code == 0 && turned.output.contains("    shards: [s1, s0]\n"))
        }

        @Test func whatIsCreatedIsAdoptedAsItWas() throws {
            for name in Self.names { #expect(try create(name, "--apply", config: config()).code == 0) }
            let (file, adopted) = try run("adopt", "--schema", "schemata", config: config())
            #expect(adopted.code == 0 && adopted.errors.isEmpty, "\(adopted.errors)")
            let was = try GatewayConfig.parse(config(), file: file, environment: [:])
            let now = try GatewayConfig.parse(adopted.output, file: file, environment: [:])
            #expect(now.shards.map(\.name) == was.shards.map(\.name))
            #expect(now.shards.map(\.replicas.count) == [2, 2])
            for collection in was.collections where collection.schema == "schemata" {
                let same = try #require(now.collections.first { $0.table == collection.table })
                #expect(same.form == collection.form && same.metric == collection.metric)
                #expect(same.dimensions == collection.dimensions)
                #expect(same.filterable.count >= collection.filterable.count)
                #expect(same.text == collection.text && same.coarse == collection.coarse)
                #expect(same.idColumn == collection.idColumn && same.vectorColumn == collection.vectorColumn)
            }
            let said = try check(adopted.output)
            #expect(said.code == 0 && said.errors.isEmpty, "\(said.errors)")
            try clear()
        }

        /// On the first shard's primary.
        private static let handMade = #"""
            set client_min_messages = error;
            create schema schemata;
            set search_path = schemata, public;
            create domain positive as int check (value > 0);
            create table untyped (id int primary key, embedding vector);
            insert into untyped values (1, null), (2, '[1,2,3]');
            create table empty (id int primary key, embedding vector);
            create table keyless (id bigint, embedding vector(3));
            create table named (name text primary key, n positive unique, embedding vector(3), a json, b varchar(5));
            create index on named using ivfflat (embedding vector_ip_ops) with (lists = 1);
            create table parts (id bigint primary key, "E" halfvec(3)) partition by hash (id);
            create table part_0 partition of parts for values with (modulus 1, remainder 0);
            create index on parts using hnsw ("E" halfvec_l1_ops);
            create view seen as select id, embedding from keyless;
            create table "x# : ${HOME}" (id bigint primary key, "${a}" vector(3), "né	: b" text, "}" int);
            create table "a.b" (id bigint primary key, embedding vector(3));
            create table flags (id bigint primary key, mask bit(8));
            create table plain (id bigint primary key);
            """#

        @Test func tablesMadeByHand() throws {
            try replicas.query("s0-a", Self.handMade)
            let adopted = try Binary.run(["adopt", "--schema", "schemata"] + dsns(["s0-a"]))
            #expect(adopted.code == 0, "\(adopted.errors)")
            let config = try GatewayConfig.parse(adopted.output, file: "f", environment: [:])
            #expect(
                config.collections.map { "\($0.name) \($0.idColumn) \($0.metric.rawValue) \($0.dimensions)" } == [
                    "named n inner_product 3", "parts id l1 3", "seen id cosine 3", "untyped id cosine 3",
                    "x______HOME_ id cosine 3",
                ])
            #expect(config.collections.first?.columns == ["name", "b"])
            #expect(config.collections.last?.columns == ["né\t: b", "}"])
            for reason in [
                "schemata.a.b: its name has a dot", "schemata.empty: column \"embedding\" does not say",
                "schemata.keyless: no bigint, integer or smallint column is unique",
            ] {
                #expect(adopted.errors.contains("sluice: \(reason)") && adopted.output.contains("#   \(reason)"))
            }
            #expect(!adopted.output.contains("plain") && !adopted.output.contains("flags"))
            let said = try check(adopted.output)
            #expect(said.code == 0, "\(said.errors)")
            let asked = try Binary.run(["adopt", "--schema", "schemata", "--table", "gone"] + dsns(["s0-a"]))
            #expect(asked.code == 78 && asked.errors.contains("schemata.gone: there is no such table"))
            try clear()
        }

        @Test func aFileIsReplacedOnlyIfThatIsSaid() throws {
            let file = FileManager.default.temporaryDirectory.appending(path: "sluice-adopt-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: file) }
            let words = ["adopt", "--table", "programs", "--output", file.path] + dsns(["s0-a"])
            #expect(try Binary.run(words).output == "\(file.path): 1 collections\n")
            let again = try Binary.run(words)
            #expect(again.code == 65 && again.errors.contains("is there already; --force replaces it"))
            #expect(try Binary.run(words + ["--force"]).code == 0)
        }

        @Test func passwordsAreNotWritten() throws {
            let secret = "hunter2-\(UUID().uuidString)"
            let shown = try Binary.run(["adopt", "--dsn", "host=127.0.0.1 password=\(secret)"])
            #expect(shown.code == 78 && shown.output.isEmpty && !shown.errors.contains(secret))
            let unreached = try Binary.run(["adopt", "--dsn", "host=127.0.0.1 port=1"])
            #expect(unreached.code == 69 && unreached.errors.hasPrefix("sluice: s0/s0-0: "))
        }
    }
}
