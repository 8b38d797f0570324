internal import ArgumentParser

@main
struct Microbench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice-microbench", abstract: "Measure the small parts that every request passes.",
        discussion: "bench/microbench runs it, and counts its instructions.")

    @Flag(help: "Say which benchmarks there are.")
    var list = false

    @Option(help: "Only this benchmark, or those whose names begin with it and a hyphen; may come several times.")
    var only: [String] = []

    @Option(help: "Operations a batch (as many as take about 20 ms).")
    var iterations: Int?

    @Option(help: "Batches, of which the median is given.")
    var batches = 15

    @Option(help: "Do exactly so many operations and measure nothing: for perf and the like.")
    var count: Int?

    @Flag(
        name: .customLong("guard"),
        help: "Do some operations of each guarded benchmark: for bench/microbench.")
    var guardRun = false

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        for name in only where Benchmark.named(name).isEmpty {
            throw ValidationError("there is no benchmark \(name); --list says which there are")
        }
        guard iterations ?? 1 > 0, count ?? 1 > 0, batches > 0 else {
            throw ValidationError("--iterations, --batches and --count must be at least 1")
        }
    }

    func run() throws {
        let chosen = only.isEmpty ? Benchmark.all : only.flatMap(Benchmark.named)
        if list { return show(chosen) }
        if let count {
            for benchmark in chosen { _ = try countedRun(benchmark.prepare(), count) }
            return
        }
        if guardRun { return try guardRuns(chosen.filter(\.isGuarded)) }
        for benchmark in chosen {
            let measured = try Measurement.of(benchmark, iterations: iterations, batches: batches)
            print(json ? measured.json : measured.line)
        }
    }

    private func guardRuns(_ benchmarks: [Benchmark]) throws {
        for benchmark in benchmarks {
            let (operation, count) = (try benchmark.prepare(), benchmark.countedOperations)
            for times in [1, 1, 2] { _ = try countedRun(operation, times * count) }
        }
        // After all of them, so that none has a part in what is counted.
        for benchmark in benchmarks {
            print(#"{"name": "\#(benchmark.name)", "count": \#(benchmark.countedOperations)}"#)
        }
    }

    private func show(_ benchmarks: [Benchmark]) {
        for benchmark in benchmarks {
            if json {
                print(
                    #"{"name": "\#(benchmark.name)", "about": "\#(benchmark.about)", "#
                        + #""guarded": \#(benchmark.isGuarded)}"#)
            } else {
                print(padded(benchmark.name, to: 24) + benchmark.about)
            }
        }
    }
}

/// Its name is what bench/microbench tells callgrind to count in.
@inline(never)
private func countedRun(_ operation: Benchmark.Operation, _ count: Int) throws -> Int { try operation(count) }

/// What one operation took, in nanoseconds, over some batches.
struct Measurement {
    var name: String
    var iterations: Int
    /// Sorted.
    var batches: [Double]

    var median: Double { batches[batches.count / 2] }

    static func of(_ benchmark: Benchmark, iterations: Int?, batches: Int) throws -> Measurement {
        let operation = try benchmark.prepare()
        let count: Int
        if let iterations { count = iterations } else { count = try calibrated(operation) }
        _ = try operation(count)
        var times: [Double] = []
        for _ in 0..<batches { times.append(try time(of: operation, count) / Double(count)) }
        return Measurement(name: benchmark.name, iterations: count, batches: times.sorted())
    }

    /// How many operations take about 20 ms.
    private static func calibrated(_ operation: Benchmark.Operation) throws -> Int {
        let aim = 20e6
        var count = 1
        while count < 1 << 30 {
            let took = try time(of: operation, count)
            if took >= aim / 4 { return max(1, Int(Double(count) * aim / took)) }
            count *= 2
        }
        return count
    }

    private static func time(of operation: Benchmark.Operation, _ count: Int) throws -> Double {
        let start = ContinuousClock.now
        let sum = try operation(count)
        let took = start.duration(to: .now)
        // The result must be of use, or the work could be left out.
        guard sum != .min else { throw Unexpected("an operation came to nothing") }
        return Double(took.components.seconds) * 1e9 + Double(took.components.attoseconds) / 1e9
    }

    var json: String {
        #"{"name": "\#(name)", "iterations": \#(iterations), "batches": \#(batches.count), "ns": \#(median), "#
            + #""least_ns": \#(batches[0]), "most_ns": \#(batches[batches.count - 1])}"#
    }

    var line: String {
        "\(padded(name, to: 24))\(rounded(median)) ns, \(rounded(batches[0])) to \(rounded(batches[batches.count - 1]))"
    }

    private func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
}

func padded(_ text: String, to width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
}
