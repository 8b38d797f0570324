import Foundation
import Logging
import SluiceCore
import SluiceGateway
import Testing

/// Files, secrets, environment variables, YAML itself, and what a configuration says that says nothing.
@Suite struct ConfigFileTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// A folder of the test's own, gone with it.
    final class Folder {
        let url = FileManager.default.temporaryDirectory.appending(path: "sluice-config-\(UUID().uuidString)")

        init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }

        deinit { try? FileManager.default.removeItem(at: url) }

        func path(_ name: String) -> String { url.appending(path: name).path }

        func write(_ name: String, _ bytes: some Sequence<UInt8>) throws -> String {
            try Data(bytes).write(to: url.appending(path: name))
            return path(name)
        }
    }

    static func text(replica: String) -> String {
        """
        shards:
          - name: s0
            replicas:
              - \(replica)
        collections:
          - {name: c, table: t, metric: l2, dimensions: 3}
        """
    }

    static func parse(
        _ text: String, file: String = "f", environment: [String: String] = [:]
    ) throws(ConfigErrors) -> GatewayConfig {
        try GatewayConfig.parse(text, file: file, environment: environment)
    }

    static func problems(
        _ text: String, file: String = "f", environment: [String: String] = [:]
    ) -> [String] {
        do throws(ConfigErrors) {
            _ = try parse(text, file: file, environment: environment)
            return []
        } catch {
            return error.lines
        }
    }

    // MARK: What it says

    @Test func defaults() throws {
        let config = try Self.parse(Self.text(replica: "dsn: host=h dbname=d"))
        #expect(config.listen.tcp?.host == "127.0.0.1" && config.listen.tcp?.port == 7_411)
        #expect(config.listen.unixPath == nil)
        #expect(config.reactors == max(1, ProcessInfo.processInfo.activeProcessorCount / 2))
        #expect(config.pool.maxSize == 8 && config.pool.maxWaiting == 256)
        #expect(config.pool.acquireTimeout == .seconds(2) && config.pool.connectTimeout == .seconds(3))
        let limits = config.limits
        #expect(limits.maxK == 1_000 && limits.maxFrame == 1_048_576)
        #expect(limits.maxInFlight == 256 && limits.maxSessions == 10_000)
        #expect(limits.defaultDeadline == .seconds(10) && limits.maxDeadline == .seconds(60))
        #expect(limits.handshakeTimeout == .seconds(5) && limits.shutdownGrace == .seconds(10))
        #expect(config.logLevel == .info && config.slowSearch == .milliseconds(500) && config.explainOneIn == 20)
        #expect(config.measures)
        let replica = try #require(config.shards.first?.replicas.first)
        #expect(replica.name == "s0-0" && replica.pooler == .none && replica.password == nil)
        #expect(replica.dsn.revealed == "host=h dbname=d" && replica.pool == config.pool)
        let collection = try #require(config.collections.first)
        #expect(collection.schema == "public" && collection.table == "t" && collection.columns == [])
        #expect(collection.idColumn == "id" && collection.vectorColumn == "embedding" && collection.shards == ["s0"])
    }

    @Test func everythingGiven() throws {
        let text = """
            listen: {tcp: "[::1]:0", unix: run/s.sock}
            reactors: 3
            pool: {max_size: 4, acquire_timeout: 1.5s, connect_timeout: 250ms, max_waiting: 0}
            shards:
              - name: left
                replicas:
                  - {name: a, dsn: "postgresql://u@h:5433/d", pooler: transaction, pool: {max_size: 2}}
              - {name: right, replicas: [{dsn: host=h options='-c a=b'}]}
            collections:
              - {name: c, table: other.t, id: key, vector: v, metric: inner_product, dimensions: 1_000,
                 columns: [a, "B c"], shards: [right]}
            limits: {max_k: 7, max_frame: 64KiB, max_in_flight: 5, max_sessions: 6, default_deadline: 1000us,
              max_deadline: 1m, handshake_timeout: 0.5s, shutdown_grace: 0s}
            metrics: {enabled: false}
            log: {level: debug, slow_search: 2s, explain_one_in: 1}
            """
        let config = try Self.parse(text, file: "dir/f.yaml")
        #expect(config.listen.tcp?.host == "::1" && config.listen.tcp?.port == 0)
        #expect(config.listen.unixPath == "dir/run/s.sock")
        #expect(config.reactors == 3 && config.logLevel == .debug && !config.measures)
        #expect(config.slowSearch == .seconds(2) && config.explainOneIn == 1)
        #expect(config.pool.maxSize == 4 && config.pool.maxWaiting == 0)
        #expect(config.pool.acquireTimeout == .milliseconds(1_500))
        #expect(config.pool.connectTimeout == .milliseconds(250))
        #expect(config.shards.map(\.name) == ["left", "right"])
        #expect(config.shards[0].replicas[0].pool.maxSize == 2 && config.shards[0].replicas[0].pooler == .transaction)
        #expect(config.shards[1].replicas[0].dsn.revealed == "host=h options='-c a=b'")
        let collection = config.collections[0]
        #expect(collection.schema == "other" && collection.table == "t" && collection.idColumn == "key")
        #expect(collection.vectorColumn == "v" && collection.metric == .innerProduct && collection.dimensions == 1_000)
        #expect(collection.columns == ["a", "B c"] && collection.shards == ["right"])
        let limits = config.limits
        #expect(limits.maxK == 7 && limits.maxFrame == 65_536 && limits.maxInFlight == 5 && limits.maxSessions == 6)
        #expect(limits.defaultDeadline == .milliseconds(1) && limits.maxDeadline == .seconds(60))
        #expect(limits.handshakeTimeout == .milliseconds(500) && limits.shutdownGrace == .zero)
    }

    // MARK: Secrets and the environment

    @Test func aPasswordFilesFirstLineIsThePassword() throws {
        let folder = try Folder()
        _ = try folder.write("pw", "s3cret with spaces \r\nsecond\n".utf8)
        let config = try Self.parse(
            Self.text(replica: "{dsn: host=h, password_file: pw}"), file: folder.path("c.yaml"))
        #expect(config.shards[0].replicas[0].password?.revealed == "s3cret with spaces ")
    }

    @Test func whatIsWrongWithAPasswordFile() throws {
        let folder = try Folder()
        _ = try folder.write("empty", "\nx".utf8)
        _ = try folder.write("latin1", [0x70, 0xE9, 0x0A])
        _ = try folder.write("large", repeatElement(0x70, count: 70_000))
        _ = try folder.write("pw", "pw".utf8)
        func complaint(_ file: String, dsn: String = "host=h") -> [String] {
            Self.problems(Self.text(replica: "{dsn: '\(dsn)', password_file: \(file)}"), file: folder.path("c"))
                .map { $0.replacing(folder.path("c"), with: "c") }
        }
        let start = "c:4: shards[0].replicas[0].password_file:"
        #expect(complaint("none") == ["\(start) the file cannot be read: No such file or directory"])
        #expect(complaint(".") == ["\(start) the file cannot be read: Is a directory"])
        #expect(complaint("empty") == ["\(start) the first line of the file is empty, or has a NUL in it"])
        #expect(complaint("latin1") == ["\(start) the file is not UTF-8"])
        #expect(complaint("large") == ["\(start) the file has more than 65536 bytes"])
        #expect(complaint("/dev/zero") == ["\(start) the file has more than 65536 bytes"])
        let twice = ["\(start) the dsn has a password already; give one of the two"]
        #expect(complaint("pw", dsn: "host=h password=x") == twice)
        #expect(complaint("pw", dsn: "postgresql://u:x@h/d") == twice)
        #expect(complaint("pw", dsn: "postgresql://u@h/d?password=x") == twice)
    }

    /// Values that would end, or add to, what they stand in.
    @Test(arguments: [
        "plain", "two words", "x host=evil", "o'clock", #"back\slash"#, "tab\there", "p@ss:w/o?rd%41", "é",
    ])
    func aVariableStaysOneValueOfTheConnectionString(password: String) throws {
        let environment = ["PW": password]
        func dsn(_ text: String) throws -> String {
            try Self.parse(Self.text(replica: "dsn: \"\(text)\""), environment: environment)
                .shards[0].replicas[0].dsn.revealed
        }
        let escaped = password.map { #" '\"#.contains($0) || $0 == "\t" ? #"\\#($0)"# : String($0) }.joined()
        #expect(try dsn("host=h password=${PW} port=1") == "host=h password=\(escaped) port=1")
        #expect(try dsn("host=h password='${PW}'") == "host=h password='\(escaped)'")
        let encoded = try dsn("postgresql://u:${PW}@h/d").dropFirst("postgresql://u:".count).dropLast("@h/d".count)
        #expect(encoded.removingPercentEncoding == password)
        #expect(encoded.utf8.allSatisfy { !" @:/?'\\".utf8.contains($0) })
    }

    @Test func aVariableCanBeTheWholeConnectionString() throws {
        let config = try Self.parse(
            Self.text(replica: "dsn: ${DSN}"), environment: ["DSN": "host=h user='a b'"])
        #expect(config.shards[0].replicas[0].dsn.revealed == "host=h user='a b'")
    }

    @Test func variablesStandInAnyValue() throws {
        let text =
            Self.text(replica: "{name: \"${A}-x\", dsn: 'host=h application_name=$${A}$A$'}") + "\nreactors: ${N}"
        let config = try Self.parse(text, environment: ["A": "a", "N": "5"])
        #expect(config.reactors == 5 && config.shards[0].replicas[0].name == "a-x")
        #expect(config.shards[0].replicas[0].dsn.revealed == "host=h application_name=${A}$A$")
    }

    @Test(arguments: [
        ("${NOPE}", "the environment variable NOPE is not set"),
        ("${EMPTY}", "the environment variable EMPTY is empty"),
        ("${NOPE", "\"${\" has no \"}\"; write $${ for a literal ${"),
        ("${}", "\"${}\" does not name an environment variable"),
        ("${A:-b}", "\"${A:-b}\" does not name an environment variable"),
        ("${1A}", "\"${1A}\" does not name an environment variable"),
    ])
    func wrongVariables(written: String, message: String) {
        #expect(
            Self.problems(Self.text(replica: "dsn: \"password=\(written)\""), environment: ["EMPTY": "", "A": "a"])
                == ["f:4: shards[0].replicas[0].dsn: \(message)"])
    }

    @Test func secretsAreNeverPrinted() throws {
        let folder = try Folder()
        _ = try folder.write("pw", "hunter2file".utf8)
        let config = try Self.parse(
            Self.text(replica: "{dsn: host=h user=hunter2user, password_file: pw}"), file: folder.path("c"))
        var dumped = ""
        dump(config, to: &dumped)
        for text in ["\(config)", String(reflecting: config), dumped, "\(config.shards[0].replicas[0].dsn)"] {
            #expect(!text.contains("hunter2"))
        }
        // Wrong ones, wherever they are.
        let wrong = """
            reactors: ${PW}
            password: hunter2key
            listen: {tcp: "${PW}", unix: "${PW}${PW}${PW}${PW}${PW}${PW}${PW}${PW}${PW}${PW}${PW}${PW}"}
            pool: {connect_timeout: "${PW}", max_size: "${PW}"}
            limits: {max_frame: "${PW}"}
            log: {level: "${PW}"}
            """
        let texts = [
            wrong + "\n" + Self.text(replica: "dsn: \"password=${PW} =\""),
            Self.text(replica: "{dsn: 'password=hunter2 host=''', password_file: '${PW}'}"),
            Self.text(replica: "{dsn: 'postgresql://u:hunter2@[h/d'}"),
            Self.text(replica: "{dsn: 'hunter2'}"),
            Self.text(replica: "{dsn: host=h password=hunter2, pooler: ${PW}}"),
            Self.text(replica: "{dsn: 'host=h hunter2=x'}"),
            Self.text(replica: "{dsn: 'host=h,i password=hunter2'}"),
            Self.text(replica: "{dsn: 'password=hunter2"),
            Self.text(replica: "{dsn: host=h, password: \"hunter2}"),
        ]
        for text in texts {
            let problems = Self.problems(text, environment: ["PW": "hunter2hunter2"])
            #expect(!problems.isEmpty)
            #expect(!problems.contains { $0.contains("hunter2") }, "\(problems)")
        }
    }

    // MARK: YAML and files

    @Test(arguments: [
        ("a: [1", "f:1: not YAML: did not find expected ',' or ']' while parsing a flow sequence"),
        (
            "limits:\n  a: 'x\n",
            "f:3: not YAML: found unexpected end of stream while scanning a quoted scalar, which begins on line 2"
        ),
        ("a: 1\n\tb: 2", "f:2: not YAML: found a tab character that violates indentation"),
        ("a: *b", "f:1: not YAML: found undefined alias"),
        ("a: 1\n---\nb: 1", "f:2: not YAML: but found another document"),
        ("a: 1\nb: \u{1}", "f:2: not YAML: control characters are not allowed"),
        ("", "f: the file is empty"),
        ("# nothing\n", "f: the file is empty"),
        ("---\n", "f:2: must be a table of keys, not nothing"),
        ("\u{E000}: {a: 1, a: 2}", "f:1: the key \"a\" is there twice"),
    ])
    func whatIsNoYAMLIsSaidWithItsLine(text: String, problem: String) {
        let problems = Self.problems(text)
        #expect(problems.count == 1)
        #expect(problems.first?.hasPrefix(problem) == true, "\(problems)")
    }

    @Test func anchorsAreRefusedOnceEach() {
        let text = Self.text(replica: "&a {dsn: host=h}") + "\npool: &p {max_size: 3}\nlimits: *p\n"
        #expect(
            Self.problems(text) == [
                "f:4: shards[0].replicas[0]: YAML anchors and aliases are not supported; write the value out",
                "f:7: limits.max_size: unknown key",
                "f:7: pool: YAML anchors and aliases are not supported; write the value out",
            ])
    }

    /// Alias bombs in values and in keys, deep nesting, and many duplicates end soon, and with a message.
    @Test func bombsAreDefused() {
        var bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<20 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            bomb += "a\(level): &a\(level) [\(aliases)]\n"
        }
        let refused = ["f: has many YAML aliases; anchors and aliases are not supported"]
        #expect(Self.problems(bomb) == refused)
        #expect(Self.problems(bomb + "? *a19\n: 1\n") == refused)
        #expect(Self.problems(String(repeating: "[", count: 500_000)).count == 1)
        #expect(Self.problems(String(repeating: "{a: ", count: 200_000)).count == 1)
        #expect(Self.problems(String(repeating: "- ", count: 500_000)).count == 1)
        #expect(Self.problems(String(repeating: "a: 1\n", count: 100_000)) == ["f:1: the key \"a\" is there twice"])
        #expect(Self.problems((0..<50_000).map { "k\($0): 1\n" }.joined()).count >= 50_000)
    }

    @Test func aByteOrderMarkAndWindowsLineEndsAreFine() throws {
        let text = "\u{FEFF}" + Self.text(replica: "dsn: host=h").replacing("\n", with: "\r\n") + "\r\n"
        #expect(try Self.parse(text).shards[0].replicas[0].dsn.revealed == "host=h")
        #expect(
            Self.problems(text + "pool: {}\r\npool: {}\r\n") == [
                "f:8: pool: this key is there twice; the first is on line 7"
            ])
    }

    @Test func filesThatCannotBeRead() throws {
        let folder = try Folder()
        func problems(_ path: String) -> [String] {
            do throws(ConfigErrors) {
                _ = try GatewayConfig.load(path: path, environment: [:])
                return []
            } catch {
                return error.lines.map { $0.replacing(folder.url.path, with: "DIR") }
            }
        }
        #expect(problems(folder.path("none")) == ["DIR/none: the file cannot be read: No such file or directory"])
        #expect(problems(folder.url.path) == ["DIR: the file cannot be read: Is a directory"])
        #expect(problems("a\0b") == ["a?b: the path has a NUL in it"])
        _ = try folder.write("large", repeatElement(0x20, count: 1_048_577))
        #expect(problems(folder.path("large")) == ["DIR/large: the file has more than 1048576 bytes"])
        _ = try folder.write("latin1", Array("a: 1\nb: caf".utf8) + [0xE9, 0x0A])
        #expect(problems(folder.path("latin1")) == ["DIR/latin1:2: the file is not UTF-8"])
        let right = try folder.write("right", Self.text(replica: "dsn: host=h").utf8)
        #expect(problems(right) == [])
    }
}
