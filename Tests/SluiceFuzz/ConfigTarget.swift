import SluiceGateway

/// A configuration file's text, or a token file's.
enum ConfigTarget {
    /// Must not show in any message. No input is likely to have it, and one that has it proves nothing.
    private static let secret = "q7Zk-0f:v2@Lw"
    private static let environment = ["SECRET": secret, "HOST": "db.example.org", "EMPTY": ""]

    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        guard let text = String(validating: input, as: UTF8.self) else { return }
        if text.hasPrefix("# Tokens") { return try tokens(text) }
        do throws(ConfigErrors) {
            let config = try GatewayConfig.parse(text, file: "nowhere/fuzz.yaml", environment: environment)
            try check(config).get()
        } catch {
            try check(error, text)
        }
    }

    /// What is read is written, read again and the same, and no problem quotes the line.
    private static func tokens(_ text: String) throws(FuzzFinding) {
        let table: TokenTable
        do { table = try TokenTable(parsing: text) } catch {
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false).count
            try expect((1...lines).contains(error.line), "line \(error.line) of \(lines)")
            return try expect(error.description.utf8.count < 200, "a long problem")
        }
        guard let again = try? TokenTable(parsing: table.text) else { throw FuzzFinding("what was written is refused") }
        try expect(again == table && again.text == table.text, "other tokens came back")
    }

    /// A `Result`, as the caller throws only errors of the configuration.
    private static func check(_ config: GatewayConfig) -> Result<Void, ConfigErrors> {
        let shards = Set(config.shards.map(\.name))
        let isWhole =
            !config.shards.isEmpty && !config.collections.isEmpty
            && config.shards.allSatisfy { $0.replicas.isEmpty == ($0.source != nil) }
            && config.collections.allSatisfy { !$0.shards.isEmpty && shards.isSuperset(of: $0.shards) }
            && Set(config.collections.map(\.name)).count == config.collections.count
        if isWhole { return .success(()) }
        return .failure(ConfigErrors([]))
    }

    private static func check(_ errors: ConfigErrors, _ text: String) throws(FuzzFinding) {
        try expect(!errors.problems.isEmpty, "it was accepted and is not whole, or refused without a reason")
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).count
        for problem in errors.problems {
            try expect(
                problem.line.map { $0 >= 1 && $0 <= lines + 1 } != false, "line \(problem.line ?? 0) of \(lines)")
            try expect(!problem.description.contains("\n"), "a problem of several lines")
            try expect(text.contains(secret) || !problem.description.contains(secret), "a secret shows")
        }
    }

    static let dictionary = [
        "listen:", "tcp: ", "unix: ", "shards:", "replicas:", "name: ", "dsn: ", "password_file: ", "pooler: ",
        "collections:", "table: ", "metric: cosine", "dimensions: ", "columns: [", "filterable: {", "limits:",
        "max_frame: ", "max_k: ", "pool:", "min_size: ", "max_size: ", "${SECRET}", "${HOST}", "$${", "&a ", "*a",
        "<<: ", "!!str ", "? ", "- ", "|\\x0A", ">\\x0A", "\\\"\\\\u0041\\\"", "40ms", "1MiB", "true", "null", "~",
        "host=127.0.0.1 port=1 dbname=x user=x password=${SECRET}", "postgres://u:${SECRET}@h/d",
    ]

    static var seeds: [FuzzSeed] {
        let small = """
            listen: {tcp: "127.0.0.1:0"}
            shards: [{name: s0, replicas: [{name: s0-a, dsn: "host=127.0.0.1 port=1 dbname=x password=${SECRET}"}]}]
            collections:
              - {name: a, table: public.a, metric: cosine, dimensions: 3, columns: [name], filterable: {name: text}}
            """
        let whole = """
            listen: {tcp: "[::1]:7411", unix: x.sock}
            reactors: 2
            pool: {min_size: 1, max_size: 8, max_waiting: 10, acquire_timeout: 1s, connect_timeout: 2s}
            limits: {max_k: 100, max_frame: 1MiB, max_in_flight: 16, default_deadline: 250ms, max_sessions: 10}
            routing: {zone: a}
            breaker: {consecutive_failures: 5}
            retries: {budget: 0.2}
            hedging: {enabled: false}
            log: {level: debug}
            """
        let texts = [
            small, small + "\n" + whole, whole, "", "a", "- a\n- b", "a: &x [1]\nb: *x\n", "{a: 1, a: 2}",
            "a: 1\na: 2\n", "a: [1, 2", "\u{FEFF}shards: []", "shards: !!map {}\n", "? [a]\n: b\n",
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b]\n",
            "shards: [{name: s0, replicas: [{dsn: \"postgres://u:${SECRET}@h/d?sslmode=${SECRET}\"}]}]",
            "shards: [{name: s0, replicas: [{dsn: \"${SECRET}\"}]}]", "pool: {max_size: ${SECRET}}",
        ]
        let hex = String(repeating: "0f", count: 16)
        let tokens = "# Tokens\n\n0102030405060708 tenant \(hex) \(hex)\(hex) 1700000000 -\n"
        let more = "0102030405060709\ttenant \(hex) \(hex)\(hex) -5 1800000000\r\n0g tenant\n"
        return [FuzzSeed("tokens", tokens), FuzzSeed("tokens-more", tokens + more)]
            + texts.enumerated().map { FuzzSeed("config-\($0)", $1) }
            + GoldenFrames.files(below: "configs", ending: ".yaml")
    }
}
