import SluiceGateway
import Testing

/// What is wrong with a configuration is said with its line, its key and what to do, all of it at once.
@Suite struct ConfigErrorTests {
    /// A text with one thing wrong, and the whole of what should be said about it.
    struct Wrong: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var text: String
        var problems: [String]

        init(_ description: String, _ text: String, _ problems: String...) {
            testDescription = description
            self.text = text
            self.problems = problems
        }
    }

    /// A right configuration, its lines 1 to 11, for what is wrong to be appended to.
    static let right = """
        shards:
          - name: s0
            replicas:
              - dsn: host=127.0.0.1 dbname=sluice
          - name: s1
            replicas: [{dsn: host=127.0.0.1 port=5433}]
        collections:
          - name: programs
            table: programs
            metric: cosine
            dimensions: 3

        """

    static let collections = String(right[(right.firstRange(of: "collections")?.lowerBound ?? right.endIndex)...])

    static func problems(_ text: String, environment: [String: String] = [:]) -> [String] {
        do throws(ConfigErrors) {
            _ = try GatewayConfig.parse(text, file: "f", environment: environment)
            return []
        } catch {
            return error.lines
        }
    }

    static let keys: [Wrong] = [
        .init("unknown key", right + "lisen: {}", "f:12: lisen: unknown key; did you mean \"listen\"?"),
        .init("unknown key like none", right + "banana: {}", "f:12: banana: unknown key"),
        .init(
            "unknown key of a collection", right + "    metrc: l2",
            "f:12: collections[0].metrc: unknown key; did you mean \"metric\"?"),
        .init(
            "duplicate key", right + "    metric: l2",
            "f:12: collections[0].metric: this key is there twice; the first is on line 10"),
        .init(
            "duplicate section", right + "shards: []", "f:12: shards: this key is there twice; the first is on line 1"),
        .init(
            "duplicate in flow style", right + "pool: {max_size: 3, max_size: 4}",
            "f:12: pool.max_size: this key is there twice; the first is on line 12"),
        .init(
            "duplicate in quotes", right + "limits:\n  'max_k': 3\n  # max_k: 5\n  \"max_k\": 4",
            "f:15: limits.max_k: this key is there twice; the first is on line 13"),
        .init(
            "key three times", right + "pool:\n  max_size: 3\n  max_size: 4\n  max_size: 5",
            "f:14: pool.max_size: this key is there twice; the first is on line 13",
            "f:15: pool.max_size: this key is there twice; the first is on line 13"),
        .init("key that is no word", right + "? [a]\n: b", "f:12: a key must be a plain word"),
        .init("list for a table", right + "limits: [1]", "f:12: limits: must be a table of keys, not a list"),
        .init("value for a table", right + "limits: 1", "f:12: limits: must be a table of keys, not a single value"),
        .init("nothing for a table", right + "limits:", "f:12: limits: must be a table of keys, not nothing"),
        .init(
            "table for a value", right + "limits:\n  max_k: {}",
            "f:13: limits.max_k: must be a single value, not a table"),
        .init(
            "null for a value", right + "limits:\n  max_k: ~",
            "f:13: limits.max_k: must be a single value, not nothing"),
        .init(
            "table for a list", right + "    columns: {}",
            "f:12: collections[0].columns: must be a list, not a table"),
        .init(
            "item of another kind", right + "    columns: [[a]]",
            "f:12: collections[0].columns[0]: must be a single value, not a list"),
        .init("no root", "- a", "f:1: must be a table of keys, not a list"),
    ]

    static let values: [Wrong] = [
        .init(
            "k too large", right + "limits: {max_k: 10001}",
            "f:12: limits.max_k: is \"10001\"; it must be from 1 to 10000"),
        .init(
            "size of zero", right + "pool:\n  max_size: 0", "f:13: pool.max_size: is \"0\"; it must be from 1 to 1000"),
        .init(
            "negative", right + "pool: {max_waiting: -1}",
            "f:12: pool.max_waiting: is \"-1\"; it must be from 0 to 100000"),
        .init("reactors", right + "reactors: 65", "f:12: reactors: is \"65\"; it must be from 1 to 64"),
        .init("no number", right + "reactors: many", "f:12: reactors: must be a whole number, not \"many\""),
        .init("fraction", right + "reactors: 1.5", "f:12: reactors: must be a whole number, not \"1.5\""),
        .init(
            "number beyond Int", right + "reactors: 99999999999999999999",
            "f:12: reactors: must be a whole number, not \"99999999999999999999\""),
        .init(
            "dimensions", right.replacing("dimensions: 3", with: "dimensions: 16001"),
            "f:11: collections[0].dimensions: is \"16001\"; it must be from 1 to 16000"),
        .init(
            "time without a unit", right + "pool: {acquire_timeout: 2}",
            "f:12: pool.acquire_timeout: must be a time like 250us, 40ms, 2s, 5m or 1h, not \"2\""),
        .init(
            "time of another unit", right + "pool: {connect_timeout: 2d}",
            "f:12: pool.connect_timeout: must be a time like 250us, 40ms, 2s, 5m or 1h, not \"2d\""),
        .init(
            "negative time", right + "limits: {shutdown_grace: -2s}",
            "f:12: limits.shutdown_grace: must be a time like 250us, 40ms, 2s, 5m or 1h, not \"-2s\""),
        .init(
            "time too long", right + "limits: {handshake_timeout: 2h}",
            "f:12: limits.handshake_timeout: is \"2h\"; it must be from 1ms to 1h"),
        .init(
            "no size", right + "limits: {max_frame: 1GiB}",
            "f:12: limits.max_frame: must be a size like 65536, 64KiB or 1MiB, not \"1GiB\""),
        .init(
            "size too small", right + "limits: {max_frame: 4095}",
            "f:12: limits.max_frame: is \"4095\"; it must be from 4096 to 67108864 bytes"),
        .init(
            "deadlines crossed", right + "limits:\n  default_deadline: 30s\n  max_deadline: 20s",
            "f:14: limits.max_deadline: max_deadline is below default_deadline"),
        .init(
            "default above the standing maximum", right + "limits:\n  default_deadline: 61s",
            "f:13: limits.default_deadline: max_deadline is below default_deadline"),
        .init(
            "metric", right.replacing("metric: cosine", with: "metric: cosin"),
            "f:10: collections[0].metric: is \"cosin\", not one of l2, inner_product, cosine, l1, hamming, jaccard"
                + "; did you mean \"cosine\"?"),
        .init(
            "log level", right + "log:\n  level: warn",
            "f:13: log.level: is \"warn\", not one of trace, debug, info, notice, warning, error, critical"
                + "; did you mean \"warning\"?"),
        .init(
            "long value is cut, control characters are not printed",
            right + "reactors: \"\\e[31m" + String(repeating: "x", count: 60) + "\"",
            "f:12: reactors: must be a whole number, not \"?[31m" + String(repeating: "x", count: 35) + "…\""),
        .init(
            "value of several lines", right + "reactors: \"1\\r\\n2\\u2028\\u0085\"",
            "f:12: reactors: must be a whole number, not \"1??2??\""),
        .init("key of several lines", right + "\"a\\nb\": 1", "f:12: a?b: unknown key"),
        .init(
            "variable of several lines", right + "reactors: \"${A\\nB}\"",
            "f:12: reactors: \"${A?B}\" does not name an environment variable"),
    ]

    static let names: [Wrong] = [
        .init(
            "unknown shard", right + "    shards: [s0, s2]",
            "f:12: collections[0].shards[1]: there is no shard \"s2\"; did you mean \"s0\"?"),
        .init(
            "shard listed twice", right + "    shards: [s0, s0]",
            "f:12: collections[0].shards[1]: \"s0\" is listed twice"),
        .init(
            "column listed twice", right + "    columns: [a, b, a]",
            "f:12: collections[0].columns[2]: \"a\" is listed twice"),
        .init(
            "empty shards of a collection", right + "    shards: []",
            "f:12: collections[0].shards: must not be empty"),
        .init(
            "shard names", right.replacing("name: s1", with: "name: s0"),
            "f:5: shards[1].name: the name \"s0\" is taken already on line 2"),
        .init(
            "collection names", right + "  - {name: programs, table: t, metric: l2, dimensions: 1}",
            "f:12: collections[1].name: the name \"programs\" is taken already on line 8"),
        .init(
            "replica names", right.replacing("[{dsn", with: "[{name: a, dsn: ''}, {name: a, dsn"),
            "f:6: shards[1].replicas[1].name: the name \"a\" is taken already on line 6"),
        .init(
            "a replica's default name", right.replacing("[{dsn", with: "[{name: s1-1, dsn: ''}, {dsn"),
            "f:6: shards[1].replicas[1]: the name \"s1-1\" is taken already on line 6"),
        .init(
            "a name's characters", right.replacing("name: programs", with: "name: pro grams"),
            "f:8: collections[0].name: must be 1 to 63 of the characters A-Z a-z 0-9 _ . -"),
        .init(
            "a name's length", right.replacing("name: programs", with: "name: \(String(repeating: "x", count: 64))"),
            "f:8: collections[0].name: must be 1 to 63 of the characters A-Z a-z 0-9 _ . -"),
        .init(
            "a shard with a wrong name is still a shard",
            right.replacing("name: s1", with: "name: s 1") + "    shards: [s 1]",
            "f:5: shards[1].name: must be 1 to 63 of the characters A-Z a-z 0-9 _ . -"),
        .init(
            "table of three parts", right.replacing("table: programs", with: "table: a.b.c"),
            "f:9: collections[0].table: must be TABLE or SCHEMA.TABLE, each of 1 to 63 bytes"),
        .init(
            "column without a name", right + "    columns: ['']",
            "f:12: collections[0].columns[0]: must be a PostgreSQL identifier of 1 to 63 bytes"),
        .init(
            "shards missing", collections + "shard: []",
            "f:1: shards: is missing", "f:6: shard: unknown key; did you mean \"shards\"?"),
        .init("shards empty", collections + "shards: []", "f:6: shards: must not be empty"),
        .init(
            "collections missing", "shards: [{name: s0, replicas: [{dsn: ''}]}]", "f:1: collections: is missing"),
        .init(
            "columns without end",
            right + "    columns: [" + (0..<257).map { "c\($0)" }.joined(separator: ", ") + "]",
            "f:12: collections[0].columns: has 257 items; it may have 256"),
        .init(
            "a collection's keys missing", right + "  - name: bare",
            "f:12: collections[1].dimensions: is missing", "f:12: collections[1].metric: is missing",
            "f:12: collections[1].table: is missing"),
        .init(
            "replica without dsn", right.replacing("{dsn: host=127.0.0.1 port=5433}", with: "{name: x}"),
            "f:6: shards[1].replicas[0].dsn: is missing"),
        .init(
            "shard without replicas", right.replacing("    replicas: [{dsn: host=127.0.0.1 port=5433}]", with: ""),
            "f:5: shards[1].replicas: is missing"),
        .init(
            "replicas empty", right.replacing("[{dsn: host=127.0.0.1 port=5433}]", with: "[]"),
            "f:6: shards[1].replicas: must not be empty"),
        .init(
            "pool of one replica cannot have times",
            right.replacing("port=5433}", with: "port=5433, pool: {acquire_timeout: 1s}}"),
            "f:6: shards[1].replicas[0].pool.acquire_timeout: unknown key"),
        .init(
            "pooler", right.replacing("port=5433}", with: "port=5433, pooler: session}"),
            "f:6: shards[1].replicas[0].pooler: is \"session\", not one of none, transaction"),
    ]

    static let addresses: [Wrong] = [
        "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:x", ":7411", "::1:7411", "[::1]", "a b:1",
        "127.0.0.1:", "[]:7411", "127.0.0.1:+5",
    ].map {
        Wrong(
            "address \($0)", right + "listen:\n  tcp: '\($0)'",
            "f:13: listen.tcp: must be HOST:PORT or [IPv6]:PORT, with a port from 0 to 65535")
    }

    static let listening: [Wrong] = [
        .init(
            "no address", right + "listen: {}",
            "f:12: listen: names no address; give one of tcp, tls and unix, or several"),
        .init(
            "socket's path", right + "listen: {unix: /\(String(repeating: "x", count: 107))}",
            "f:12: listen.unix: the path of a socket has at most 107 bytes"),
    ]

    @Test(arguments: keys + values + names + addresses + listening)
    func isSaidWithItsPlace(wrong: Wrong) {
        #expect(Self.problems(wrong.text) == wrong.problems)
    }

    @Test func aNameFromAVariableIsShownAsTheFileHasIt() {
        let text = Self.right.replacing("name: s0", with: "name: ${A}").replacing("name: s1", with: "name: ${A}")
        #expect(
            Self.problems(text, environment: ["A": "s"]) == [
                "f:5: shards[1].name: the name \"${A}\" is taken already on line 2"
            ])
    }

    @Test func nothingIsWrongWithTheRightOne() {
        #expect(Self.problems(Self.right) == [])
    }

    @Test func everythingIsSaidAtOnceInTheOrderOfLines() {
        let text = """
            lisen: 5
            pool:
              max_size: 0
              max_size: 3
            shards:
              - name: s 0
                replicas:
                  - dsn: "host='"
                    pool: {siz: 1}
                  - {name: b, dsn: "host=${NOWHERE}", pooler: maybe}
              - replicas: []
            collections:
              - table: t
                metric: manhattan
                dimensions: none
                shards: [s1]
              - 5
            limits: {max_frame: huge, default_deadline: soon}
            """
        #expect(
            Self.problems(text).map { String($0.prefix { $0 != " " }) + " " + $0.split(separator: ": ")[1] } == [
                "f:1: lisen", "f:3: pool.max_size", "f:4: pool.max_size", "f:6: shards[0].name",
                "f:8: shards[0].replicas[0].dsn", "f:9: shards[0].replicas[0].pool.siz",
                "f:10: shards[0].replicas[1].dsn", "f:10: shards[0].replicas[1].pooler", "f:11: shards[1].name",
                "f:11: shards[1].replicas", "f:13: collections[0].name", "f:14: collections[0].metric",
                "f:15: collections[0].dimensions", "f:16: collections[0].shards[0]", "f:17: collections[1]",
                "f:18: limits.default_deadline", "f:18: limits.max_frame",
            ])
    }
}
