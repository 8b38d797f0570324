import Foundation
import Testing

extension PostgreSQL {
    /// `sluice doctor` on servers and tables that have something wrong with them.
    @Suite(.serialized) struct DoctorVisits {
        /// On both primaries. The ids from 1 to 200 are on both, so that half of them are on the wrong one.
        private static let tables = """
            set client_min_messages = error;
            create schema if not exists doctors;
            set search_path = doctors, public;
            drop table if exists bare, other_metric, broken, sized, twice, misplaced, mixed, unplanned, wordy;
            create table bare (id bigint primary key, embedding vector(3));
            create table other_metric (id bigint primary key, embedding vector(3));
            create index on other_metric using hnsw (embedding vector_ip_ops);
            create table broken (id bigint primary key, embedding vector);
            create table sized (id bigint primary key, embedding vector(4));
            create index on sized using hnsw (embedding vector_l2_ops);
            create table twice (id bigint, embedding vector(3));
            create index on twice using hnsw (embedding vector_l2_ops);
            insert into twice values (1, '[1,2,3]'), (2, '[1,2,4]'), (1, '[1,2,5]');
            create table misplaced (id bigint primary key, embedding vector(3));
            create index on misplaced using hnsw (embedding vector_l2_ops);
            insert into misplaced select id, '[1,2,3]' from generate_series(1, 200) id;
            create table mixed (id bigint primary key, embedding vector);
            insert into mixed values (1, '[1,2,3]'), (2, '[1,2,3,4]');
            create table unplanned (id bigint primary key, embedding vector(3));
            create index on unplanned using hnsw (embedding vector_l2_ops);
            insert into unplanned select id, array[id, 1, 2]::vector from generate_series(1, 12000) id;
            analyze unplanned;
            create table wordy (id bigint primary key, embedding vector(3), words tsvector);
            create index on wordy using hnsw (embedding vector_l2_ops);
            """

        private static let invalidIndex =
            "create index concurrently broken_ann on doctors.broken using hnsw (embedding vector_l2_ops)"

        private static func collection(_ name: String, _ more: String = "") -> String {
            "  - {name: \(name), table: doctors.\(name), metric: l2, dimensions: 3, shards: [s0, s1]\(more)}\n"
        }

        private static let names = [
            "bare", "other_metric", "broken", "sized", "twice", "misplaced", "mixed", "unplanned",
        ]

        /// What has been planted, with what must be said of it.
        private static let faults = [
            "warning: s0/s0-a: this gateway's pools to it have up to 1800 connections, and max_connections",
            "warning: s0/s0-b: its replay is paused",
            "warning: s1/down: it cannot be reached",
            "warning: s1/locked: it cannot be reached",
            "warning: s1: s1-a and stranger are primaries both",
            "warning: bare on s0/s0-a: no index on column embedding serves l2",
            "warning: other_metric on s0/s0-a: no index on column embedding serves l2 (",
            "warning: broken on s0/s0-a: no index on column embedding serves l2 (broken_ann is not valid",
            "error: sized on s0/s0-a: `dimensions`: column embedding has 4",
            "error: twice on s0/s0-a: `id`: several rows have the same id",
            "error: misplaced on s0/s0-a: `placement`: ",
            "error: mixed on s0/s0-a: `dimensions`: some row's vector has not 3",
            "warning: unplanned on s0/s0-a: the planner reads the whole table",
            "warning: wordy on s0/s0-a: `text.column`: no GIN index on column words",
        ]

        private func run(_ config: String, _ more: String...) throws -> (file: String, outcome: Binary.Outcome) {
            let file = FileManager.default.temporaryDirectory.appending(path: "sluice-doctor-\(UUID().uuidString)")
            try Data(config.utf8).write(to: file)
            defer { try? FileManager.default.removeItem(at: file) }
            return (file.path, try Binary.run(["doctor", "--config", file.path] + more))
        }

        /// Without what depends on the server's pgvector.
        private func findings(_ said: (file: String, outcome: Binary.Outcome)) -> [String] {
            said.outcome.errors.split(separator: "\n").map { String($0).replacing("\(said.file): ", with: "") }
                .filter { !$0.contains("pgvector is 0.8.") }
        }

        @Test func theSamplesAreSound() throws {
            let replicas = try Replicas()
            let said = try run(replicas.text())
            #expect(said.outcome.code == 0)
            #expect(findings(said) == [])
            for replica in ["s0/s0-a", "s0/s0-b", "s1/s1-a", "s1/s1-b"] {
                let line = said.outcome.output.split(separator: "\n").first { $0.hasPrefix("\(replica): PostgreSQL") }
                #expect(line?.contains(" connections are others'") == true, "\(said.outcome.output)")
            }
            let servers = try #require(try run(replicas.text(), "--json").outcome.json()["servers"] as? [[String: Any]])
            let most = try Int(replicas.query("s0-a", "show max_connections"))
            #expect(servers.first?["max_connections"] as? Int == most)
            #expect(servers.first?["reserved_connections"] as? Int == 3)
        }

        @Test func eachPlantedFaultIsFound() throws {
            let replicas = try Replicas()
            for primary in ["s0-a", "s1-a"] {
                try replicas.query(primary, Self.tables)
                // Fails, as the column does not say its dimensions, and leaves an index that is not valid.
                #expect(throws: (any Error).self) { try replicas.query(primary, Self.invalidIndex) }
            }
            defer {
                for primary in ["s0-a", "s1-a"] {
                    _ = try? replicas.query(primary, "drop schema doctors cascade")
                }
            }
            try replicas.superuser("s0-b", "select pg_wal_replay_pause()")
            defer { _ = try? replicas.superuser("s0-b", "select pg_wal_replay_resume()") }
            let ports = Dictionary(
                uniqueKeysWithValues: replicas.topology.shards.flatMap(\.replicas).map { ($0.name, $0.port) })
            func replica(_ name: String, _ port: Int, _ password: String? = nil, _ more: String = "") -> String {
                let secret = password.map { " password=\($0)" } ?? ""
                let file = password == nil ? ", password_file: \(replicas.topology.passwordFile)" : ""
                return "      - {name: \(name), dsn: \"host=127.0.0.1 port=\(port) dbname=sluice user=sluice\(secret)"
                    + "\(more.hasPrefix(" ") ? more : "")\"\(file)\(more.hasPrefix(",") ? more : "")}\n"
            }
            let planner = " options='-c search_path=pg_catalog -c enable_indexscan=off'"
            let config =
                "pool: {max_size: 900}\nshards:\n  - name: s0\n    replicas:\n"
                + replica("s0-a", ports["s0-a"] ?? 0, nil, planner) + replica("s0-b", ports["s0-b"] ?? 0)
                + "  - name: s1\n    replicas:\n" + replica("s1-a", ports["s1-a"] ?? 0) + replica("down", 1)
                + replica("locked", ports["s1-b"] ?? 0, "wrong") + replica("stranger", ports["s0-a"] ?? 0)
                + "collections:\n" + Self.names.map { Self.collection($0) }.joined()
                + Self.collection("wordy", ", text: {column: words, language: simple}")
            let said = try run(config)
            #expect(said.outcome.code == 78)
            let findings = findings(said)
            for fault in Self.faults {
                #expect(findings.contains { $0.hasPrefix(fault) }, "\(fault)\nis not among\n\(said.outcome.errors)")
            }
            #expect(
                findings.contains { $0.wholeMatch(of: /error: misplaced on s0.*: \d+ of 200 sampled ids .*/) != nil })
            // Nothing is made up: what is sound about these tables is not complained about.
            let table = /(?:warning|error): (?:sized|unplanned|wordy|misplaced) on s1\/s1-a: (.*)/
            let others = findings.compactMap { $0.wholeMatch(of: table)?.1 }.filter {
                !$0.hasPrefix("`dimensions`: column embedding has 4") && !$0.hasPrefix("`placement`: ")
                    && !$0.hasPrefix("`text.column`: no GIN index")
            }
            #expect(others == [])
        }
    }
}
