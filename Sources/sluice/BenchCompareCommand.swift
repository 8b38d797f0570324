import ArgumentParser
import Foundation
import SluiceBench
import SluiceCore

struct BenchCompare: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Say what changed between two measurements beyond noise.",
        discussion: """
            Exit codes: 0 compared, 1 something got worse (with --fail-on-worse), 65 a file is not a measurement.
            """)

    @Argument(help: "The JSON of the first measurement (sluice bench --json).", completion: .file(extensions: ["json"]))
    var before: String

    @Argument(help: "The JSON of the second.", completion: .file(extensions: ["json"]))
    var after: String

    @Option(help: "The least change that matters, in percent of the median.")
    var leastChange = 2.0

    @Option(help: "How often noise alone may be taken for a change, in percent.")
    var level = 5.0

    @Flag(help: "Exit with 1 if anything got worse.")
    var failOnWorse = false

    @Flag(help: "Print JSON (docs/cli.md describes it).")
    var json = false

    func validate() throws {
        guard (0...1_000).contains(leastChange) else { throw ValidationError("--least-change must be 0 to 1000") }
        guard level >= 0.001, level <= 50 else { throw ValidationError("--level must be 0.001 to 50") }
    }

    func run() throws {
        let (before, after) = (try Self.measurement(self.before), try Self.measurement(self.after))
        let rule = ComparisonRule(leastChange: leastChange / 100, level: level / 100)
        let comparison = Comparison(of: before, and: after, by: rule)
        if json {
            try Output.json(comparison)
        } else {
            ComparisonText(comparison).show()
        }
        if failOnWorse, comparison.gotWorse { throw ExitCode.failure }
    }

    private static func measurement(_ path: String) throws -> SluiceBench.Measurement {
        let data: Data
        do {
            let handle = try FileHandle(forReadingFrom: URL(filePath: path))
            defer { try? handle.close() }
            // One byte more than may be, which is then refused: not all of a file of any size.
            data = try handle.read(upToCount: MeasurementFile.largestSize + 1) ?? Data()
        } catch {
            Output.complain("sluice: \(path.withoutControls) cannot be read")
            throw Exit.data
        }
        do throws(MeasurementFile.Problem) { return try MeasurementFile.decode(data) } catch {
            Output.complain(
                "sluice: \(path.withoutControls) is not a measurement: \(error.description.withoutControls)")
            throw Exit.data
        }
    }
}

/// A comparison for people.
private struct ComparisonText {
    let comparison: Comparison

    init(_ comparison: Comparison) { self.comparison = comparison }

    func show() {
        for warning in comparison.warnings { print("! " + warning.withoutControls) }
        if !comparison.warnings.isEmpty { print("") }
        if comparison.rows.isEmpty {
            print("Nothing can be compared: no load was measured in both.")
        } else {
            Output.table(table)
            print("")
            print(sum)
        }
        for line in comparison.rule.words { print(line) }
    }

    private var table: [[String]] {
        var lines = [["", "first", "second", "change", "noise", ""]]
        var part: String?
        for row in comparison.rows {
            if row.part != part { lines.append([row.part.withoutControls, "", "", "", "", ""]) }
            part = row.part
            lines.append([
                "  " + row.measure, text(row.before, row.unit), text(row.after, row.unit),
                row.change.map(Figures.change) ?? "–", row.probability.map(Figures.percent) ?? "–",
                row.verdict.words + (row.reason.map { ": " + $0 } ?? ""),
            ])
        }
        return lines
    }

    private func text(_ spread: Spread?, _ unit: Comparison.Unit) -> String {
        guard let spread else { return "–" }
        let median = unit.write(spread.median)
        guard spread.count > 1 else { return median }
        return "\(median) (\(unit.write(spread.least)) to \(unit.write(spread.greatest)))"
    }

    private var sum: String {
        let verdicts: [Comparison.Verdict] = [.worse, .better, .noChange, .cannotTell]
        let counts = verdicts.map { verdict in
            "\(comparison.rows.count { $0.verdict == verdict }) \(verdict.words)"
        }
        let tested = comparison.rows.count { $0.probability != nil }
        let chance = Double(tested) * comparison.rule.level
        let falsely =
            tested > 0
            ? " Of \(tested) tested, up to \(Figures.plain(chance)) would look changed by chance; a smaller --level or "
                + "a larger --least-change lets fewer through." : ""
        return counts.joined(separator: ", ") + "." + falsely
    }
}
