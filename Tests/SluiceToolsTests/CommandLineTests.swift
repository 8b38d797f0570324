import Foundation
import Testing

/// The `sluice` binary as scripts see it: exit codes, and what goes to which stream. What needs no gateway.
@Suite struct CommandLineTests {
    struct Outcome {
        var code: Int32
        var output: String
        var errors: String
    }

    /// Beside the tests' own binary, where the build puts both; or where SLUICE_BINARY says.
    static let binary =
        ProcessInfo.processInfo.environment["SLUICE_BINARY"].map { URL(filePath: $0) }
        ?? URL(filePath: ProcessInfo.processInfo.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
        .appending(path: "sluice")

    static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Outcome {
        let process = Process()
        let (output, errors) = (Pipe(), Pipe())
        process.executableURL = binary
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        // Both are far below a pipe's capacity.
        process.waitUntilExit()
        func text(_ pipe: Pipe) -> String {
            String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        }
        return Outcome(code: process.terminationStatus, output: text(output), errors: text(errors))
    }

    static func file(_ text: String) throws -> String {
        let url = FileManager.default.temporaryDirectory.appending(path: "sluice-cli-\(UUID().uuidString)")
        try Data(text.utf8).write(to: url)
        return url.path
    }

    @Test(
        arguments: [
            ([], 0), (["--help"], 0), (["--version"], 0), (["search", "--help"], 0),
            (["nonsense"], 64), (["serve"], 64), (["check"], 64), (["search", "--vector", "[1]"], 64),
            (["search", "--collection", "c"], 64),
            (["search", "--collection", "c", "--vector", "[1]", "--vector-file", "f"], 64),
            (["search", "--collection", "c", "--vector", "1,2"], 64),
            (["search", "--collection", "c", "--vector", "[1]", "--deadline", "40"], 64),
            (["search", "--collection", "c", "--vector", "[1]", "-k", "ten"], 64),
            (["search", "--collection", "c", "--vector", "[1]", "-k", "0"], 64),
            (["search", "--collection", "c", "--vector", "[1]", "-k=-1"], 64),
            (["search", "--collection", "c", "--vector", "[1]", "-k", "9999999999"], 64),
            (["search", "--collection", "c", "--vector", "[1]", "--ef-search", "0"], 64),
            (["search", "--collection", "c", "--vector-file", "/dev/null", "--row=-1"], 64),
            (["search", "--collection", "c", "--vector", "[1]", "--id", "3"], 64),
            (["search", "--collection", "c", "--id", "three"], 64), (["get", "--collection", "c"], 64),
            (["get", "--id", "1"], 64), (["count"], 64), (["count", "--collection", "c", "--filter", "a ="], 64),
            (["bench"], 64), (["bench", "--collection", "c", "--seconds", "0"], 64), (["ping", "--count", "0"], 64),
            (["bench", "--collection", "c", "-k", "0"], 64), (["ping", "--timeout", "0s"], 64),
            (["bench", "run"], 64), (["bench", "--help"], 0), (["bench", "--collection", "c", "--mix", "serch"], 64),
            (["bench", "--ping", "--mix", "search"], 64), (["bench", "--collection", "c", "--sweep", "9:1"], 64),
            (["bench", "--collection", "c", "--rate", "5", "--sweep", "1:9"], 64),
            (["bench", "--collection", "c", "--knee-p99", "5ms"], 64),
            (["bench", "--collection", "c", "--ef-search", "10,20"], 64),
            (["bench", "--collection", "c", "--recall", "--mix", "get"], 64),
            (["bench", "--collection", "c", "--mix", "load"], 64),
            (["bench", "--collection", "c", "--load-collection", "c"], 64),
            (["bench", "--collection", "c", "--filter", "a ="], 64),
            (["bench", "--collection", "c", "--mix", "search", "--filter", "a = 1"], 64),
            (["bench", "--collection", "c", "--direct"], 64), (["bench", "--collection", "c", "--config", "f"], 64),
            (["bench", "--ping", "--direct", "--config", "f"], 64),
            (["bench", "--collection", "c", "--direct", "--config", "/nowhere/c.yaml"], 78),
            (["bench", "--collection", "c", "--fault", "burn"], 64),
            (["bench", "--collection", "c", "--repeats", "0"], 64),
            (["bench", "--ping", "--gateway", "sluice://127.0.0.1:1"], 69),
            (["ping", "--timeout", "soon"], 64), (["collections", "--timeout", "5"], 64),
            (["ping", "--gateway", "http://127.0.0.1"], 64),
            (["search", "--collection", "c", "--vector-file", "/nowhere/f.npy"], 65),
            (["search", "--collection", "c", "--vector-file", "/dev/null"], 65),
            (["ping", "--gateway", "sluice://127.0.0.1:1"], 69),
            (["collections", "--gateway", "sluice+unix:///nowhere/s.sock"], 69),
            (["search", "--collection", "c", "--vector", "[1]", "--gateway", "sluice://127.0.0.1:1"], 69),
            (["load"], 64), (["load", "--collection", "c"], 64),
            (["load", "--collection", "c", "--rows", "a.csv"], 64),
            (["load", "--collection", "c", "--vectors", "a.npy", "--rows", "b.csv", "--vector-column", "v"], 64),
            (["load", "--collection", "c", "--vectors", "a.npy", "--columns", "a"], 64),
            (["load", "--collection", "c", "--vectors", "a.npy", "--rows", "b.csv", "--columns", "id,a"], 64),
            (["load", "--collection", "c", "--vectors", "a.npy", "--mode", "swap"], 64),
            (["load", "--collection", "c", "--vectors", "a.npy", "--load-id", "1"], 64),
            (["load", "--collection", "c", "--vectors", "a.npy", "--bad-rows", "f"], 64),
            (["load", "--collection", "c", "--vectors", "a.npy", "--skip-bad=-1"], 64),
            (["load", "--collection", "c", "--vectors", "/nowhere/a.npy"], 65),
            (["load", "--collection", "c", "--vectors", "/dev/null"], 65),
            (["load", "--collection", "c", "--vectors", "a.parquet"], 65),
            (["delete", "--collection", "c"], 64), (["delete", "--collection", "c", "--id", "x"], 64),
            (["delete", "--collection", "c", "--id", "1", "--key", "x"], 64),
            (["delete", "--collection", "c", "--ids-file", "/nowhere/ids"], 65),
            (["delete", "--collection", "c", "--id", "1", "--gateway", "sluice://127.0.0.1:1"], 69),
            (["serve", "--config", "/nowhere/c.yaml"], 78), (["check", "--config", "/nowhere/c.yaml"], 78),
            (["check", "--connect", "--config", "/nowhere/c.yaml"], 78),
        ] as [([String], Int32)])
    func exitCodes(arguments: [String], code: Int32) throws {
        let outcome = try Self.run(arguments)
        #expect(outcome.code == code, "\(outcome.errors)")
        #expect(outcome.output.isEmpty == (code != 0) && outcome.errors.isEmpty == (code == 0))
    }

    /// The scripts that build say which commit they build from.
    @Test func theVersionNamesTheCommit() throws {
        let version = try Self.run(["--version"]).output
        let form = /[0-9]+\.[0-9]+\.[0-9]+(?: \([0-9a-f]{7,40}(?:-dirty)?\))?\n/
        #expect(version.wholeMatch(of: form) != nil, "\(version)")
        guard let commit = ProcessInfo.processInfo.environment["SLUICE_COMMIT"], !commit.isEmpty else { return }
        #expect(version.hasSuffix(" (\(commit))\n"), "\(version)")
    }

    /// Each on top of a search that would be fine.
    @Test(
        arguments: [
            (["--filter", "a = "], "expected"), (["--max-distance", "inf"], "must be finite"),
            (["--group-size", "2"], "goes with --group-by"), (["--group-by", "c", "--group-size", "0"], "1 to 10000"),
            (["--fusion", "rrf"], "goes with --text"), (["--text", "x", "--fusion", "max"], "--fusion"),
            (["--text", ""], "1 to 4096 bytes"), (["--two-phase", "quarter"], "--two-phase"),
            (["--candidates", "5"], "--two-phase"), (["--two-phase", "half", "--candidates", "0"], "1 to 1000000"),
            (["--probes", "0"], "1 to 32768"), (["--iterative-scan", "on"], "--iterative-scan"),
            (["--work-mem", "64 apples"], "64MB"), (["--work-mem", "1kB"], "64 to"),
            (["--page-size", "0"], "at least 1"), (["--page-size", "2", "--separate"], "does not go with"),
            (["--vector-type", "quartervec"], "--vector-type"),
            (["--vector-type", "bit"], "like 0110"), (["--vector-type", "sparsevec"], "like {1:0.5"),
        ] as [([String], String)])
    func optionsOutOfTheirRange(options: [String], words: String) throws {
        let outcome = try Self.run(["search", "--collection", "c", "--vector", "[1]"] + options)
        #expect(outcome.code == 64 && outcome.output.isEmpty && outcome.errors.contains(words), "\(outcome.errors)")
    }

    /// Each on top of a measurement that would be fine.
    @Test(
        arguments: [
            (["--id-range", "1:9"], "goes with get"), (["--mix", "get", "--id-range", "9:1"], "the lesser first"),
            (["--mix", "get", "--id-range", "1"], "the lesser first"),
            (["--mix", "get", "--id-range", "a:b"], "the lesser first"),
            (["--mix", "load", "--load-collection", "c", "--load-first-id", "9223372036854775000"], "at most"),
            (["--mix", "search", "--batch", "8"], "goes with the kind batch"), (["--get-ids", "2"], "goes with get"),
            (["--arrivals", "even"], "go with --rate"), (["--max-in-flight", "9"], "go with --rate"),
            (["--load-rows", "5"], "go with load"), (["--keep"], "go with load"),
            (["--load-first-id", "5"], "go with load"), (["--recall-queries", "5"], "goes with --recall"),
            (["--recall", "--mix", "search=1,get=1"], "alone"), (["--fault-at", "1"], "go with --fault"),
            (["--fault-replica", "any"], "go with --fault"),
            (["--fault", "kill", "--fault-at", "10"], "below --seconds"),
            (["--concurrency", "4096", "--connections", "17"], "at most 65536"),
            (["--direct", "--config", "f", "--gateway", "sluice://h:1"], "not both"),
        ] as [([String], String)])
    func benchOptionsThatSayNothing(options: [String], words: String) throws {
        let outcome = try Self.run(["bench", "--collection", "c"] + options)
        #expect(outcome.code == 64 && outcome.output.isEmpty && outcome.errors.contains(words), "\(outcome.errors)")
    }

    /// Who the replicas are, only a gateway finds out.
    @Test func shardsWithASourceAreNotMeasuredDirectly() throws {
        let path = try Self.file(
            """
            shards:
              - name: s7
                source: {type: patroni, endpoints: ["http://127.0.0.1:1"], replica: {dsn: dbname=d user=u}}
            collections: [{name: c, table: t, metric: l1, dimensions: 3}]
            """)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let outcome = try Self.run(["bench", "--direct", "--config", path, "--collection", "c"])
        #expect(outcome.code == 78 && outcome.errors.contains("no replicas of shard s7"), "\(outcome.errors)")
    }

    @Test(arguments: ["search", "count"])
    func aFiltersMistakeIsPointedAt(command: String) throws {
        let search = command == "search" ? ["--vector", "[1]"] : []
        let outcome = try Self.run(
            [command, "--collection", "c", "--filter", "section = 'net' and and size < 3"] + search)
        #expect(outcome.code == 64)
        let lines = outcome.errors.split(separator: "\n")
        #expect(lines.first?.hasPrefix("Error: --filter: filter, character 21: expected") == true)
        #expect(lines.dropFirst().prefix(2) == ["  section = 'net' and and size < 3", "                      ^"])
    }

    /// One line says what is wrong, whether or not a gateway is there.
    @Test func aKOfNothingIsTheCallersMistake() throws {
        let outcome = try Self.run(["search", "--collection", "c", "--vector", "[1]", "-k", "0"])
        #expect(outcome.code == 64 && outcome.errors.hasPrefix("Error: -k must be at least 1, not 0\n"))
    }

    @Test func checkSaysEverythingWithoutTheSecrets() throws {
        let path = try Self.file(
            """
            shards:
              - name: s0
                replicas: [{dsn: "host=h password=${PW}", poler: none}]
            collections:
              - {name: c, table: t, metric: cosin, dimensions: 3}
            """)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let expected = [
            "\(path):3: shards[0].replicas[0].poler: unknown key; did you mean \"pooler\"?",
            "\(path):5: collections[0].metric: is \"cosin\", not one of l2, inner_product, cosine, l1, hamming, jaccard"
                + "; did you mean \"cosine\"?",
        ]
        for command in ["check", "serve"] {
            let outcome = try Self.run([command, "--config", path], environment: ["PW": "hunter2"])
            #expect(outcome.code == 78 && outcome.output.isEmpty)
            #expect(outcome.errors == expected.joined(separator: "\n") + "\n")
        }
        let json = try Self.run(["check", "--config", path, "--json"], environment: ["PW": "hunter2"])
        #expect(json.code == 78 && !json.output.contains("hunter2"))
        #expect(json.output.contains("\"key\":\"collections[0].metric\",\"line\":5"))
    }

    @Test func checkSumsUpWhatIsRight() throws {
        let path = try Self.file(
            """
            shards: [{name: s0, replicas: [{dsn: host=h}]}]
            collections: [{name: c, table: t, metric: l1, dimensions: 3}]
            """)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let said = try Self.run(["check", "--config", path])
        #expect(said.output == "\(path): fine: 1 shards, 1 replicas, 1 collections\n")
        #expect(
            try Self.run(["check", "--config", path, "--json"]).output
                == "{\"collections\":1,\"moves\":[],\"problems\":[],\"replicas\":1,\"shards\":1}\n")
    }
}
