/// One small thing that is measured: an operation that can be done any number of times.
struct Benchmark: Sendable {
    /// Does it so many times. What it returns depends on every result, so that the compiler cannot leave any out.
    typealias Operation = (_ count: Int) async throws -> Int

    let name: String
    let about: String
    /// Its instructions are the same in every run, so that a limit can be set for them.
    let isGuarded: Bool
    /// Makes what the operation needs.
    let prepare: @Sendable () async throws -> Operation

    init(
        _ name: String, _ about: String, isGuarded: Bool = true,
        prepare: @escaping @Sendable () async throws -> Operation
    ) {
        self.name = name
        self.about = about
        self.isGuarded = isGuarded
        self.prepare = prepare
    }

    static let all =
        messageBenchmarks + vectorBenchmarks + mergeBenchmarks + machineBenchmarks + meterBenchmarks + laneBenchmarks

    /// Those with the name, or whose names begin with it and a hyphen.
    static func named(_ name: String) -> [Benchmark] {
        all.filter { $0.name == name || $0.name.hasPrefix(name + "-") }
    }
}

/// What an operation cannot go on with; it never happens in a benchmark that is right.
struct Unexpected: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
