import ArgumentParser
import Foundation
import SluiceClient
import SluiceTools
import UnixSignals

/// The files that a load reads, and what of them is what.
struct LoadFiles: ParsableArguments {
    @Option(help: "The vectors, one a row: a .npy, .fvecs or .fbin file.")
    var vectors: String?

    @Option(help: "The other columns: a .csv file with a header, or a .jsonl file.")
    var rows: String?

    @Option(help: "Columns of the rows file to load, separated by commas, instead of all.")
    var columns: String?

    @Option(help: "The column of the rows file that has the ids.")
    var idColumn = "id"

    @Option(parsing: .unconditional, help: "Count the ids from here (without --rows: from 1) instead of reading them.")
    var idsFrom: Int64?

    @Option(help: "The column of the rows file that has the vectors, as [0.1, 0.2] or a JSON array.")
    var vectorColumn: String?

    func validate() throws {
        guard vectors != nil || rows != nil else { throw ValidationError("give --vectors, --rows or both") }
        guard (vectors != nil) != (vectorColumn != nil) else {
            throw ValidationError("give the vectors by --vectors, or by --vector-column of --rows")
        }
        guard rows != nil || (columns == nil && vectorColumn == nil) else {
            throw ValidationError("--columns and --vector-column are of the --rows file")
        }
        let names = SearchCommand.names(columns)
        guard !names.contains(idColumn), !names.contains(vectorColumn ?? "") else {
            throw ValidationError("--columns is without the ids and the vectors")
        }
    }

    /// - Throws: `FileProblem`.
    func plan() throws -> LoadPlan {
        let idColumn = rows != nil && idsFrom == nil ? idColumn : nil
        var plan = LoadPlan(
            vectors: vectors, rows: rows, idColumn: idColumn, firstID: idsFrom ?? 1, vectorColumn: vectorColumn,
            columns: SearchCommand.names(columns))
        guard let rows else { return plan }
        let names = try RowReader(path: rows).names
        let others = [idColumn, vectorColumn].compactMap { $0 }
        if let missing = others.first(where: { !names.contains($0) }) {
            throw FileProblem(rows, "there is no column \(missing); there are \(names.joined(separator: ", "))")
        }
        if columns == nil { plan.columns = names.filter { !others.contains($0) } }
        return plan
    }
}

struct LoadCommand: AsyncParsableCommand {
    enum Mode: String, ExpressibleByArgument, CaseIterable {
        case append
        case upsert
        case replace

        var mode: LoadOptions.Mode {
            switch self {
            case .append: .append
            case .upsert: .upsert
            case .replace: .replace
            }
        }
    }

    static let configuration = CommandConfiguration(
        commandName: "load", abstract: "Load rows from files into a collection, over all its shards.")

    @OptionGroup var gateway: GatewayOption

    @Option(help: "The collection.")
    var collection: String

    @OptionGroup var files: LoadFiles

    @Option(help: "What becomes of rows that are there: append, upsert or replace.")
    var mode = Mode.append

    @Flag(help: "Build the collection's index when the rows are there.")
    var buildIndex = false

    @Option(help: "How many bad rows may be left out.")
    var skipBad = 0

    @Option(help: "Where to write the rows that were left out, as JSON lines.")
    var badRows: String?

    @Option(help: "The load's id, a UUID: give a failed load's to complete it.")
    var loadID: String?

    @Flag(help: "Print JSON (docs/cli.md describes it).")
    var json = false

    func validate() throws {
        guard (0...Int(UInt32.max)).contains(skipBad) else { throw ValidationError("--skip-bad must be at least 0") }
        guard badRows == nil || skipBad > 0 else { throw ValidationError("--bad-rows goes with --skip-bad") }
        if let loadID, WriteKey(loadID) == nil { throw ValidationError("--load-id is a UUID, not \"\(loadID)\"") }
    }

    func run() async throws {
        let plan: LoadPlan
        let total: Int?
        do {
            plan = try files.plan()
            total = try LoadSource(plan).total
        } catch {
            Output.complain("sluice: \(error)")
            throw Exit.data
        }
        var options = LoadOptions()
        (options.mode, options.skipBad, options.buildIndex) = (mode.mode, skipBad, buildIndex)
        if let loadID, let id = WriteKey(loadID) { options.id = id }
        try await withClient(gateway) { [options] client in
            let meter = ProgressMeter(total: total)
            let load = Task {
                try await client.load(
                    collection, columns: plan.columns, blocks: FileBlocks(plan: plan), options: options
                ) { meter.note($0) }
            }
            let interrupt = Task {
                for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) { load.cancel() }
            }
            let result = await load.result
            interrupt.cancel()
            meter.end()
            switch result {
            case .success(let report): try show(LoadSummary(report, nil, plan))
            case .failure(let error as SluiceError): try fail(error, options.id, plan, isInterrupted: load.isCancelled)
            case .failure(let error): throw error
            }
        }
    }

    private func show(_ summary: LoadSummary) throws {
        if let badRows {
            do { try summary.badRowLines().write(toFile: badRows, atomically: false, encoding: .utf8) } catch {
                Output.complain("sluice: \(badRows): the bad rows cannot be written: \(error)")
                throw Exit.data
            }
        }
        if json { try Output.json(summary.withoutTexts) } else { summary.show() }
        if summary.index == LoadReport.Index.failed.rawValue { throw Exit.software }
    }

    private func fail(_ error: SluiceError, _ id: WriteKey, _ plan: LoadPlan, isInterrupted: Bool) throws {
        if isInterrupted, error.code == .cancelled {
            Output.complain("sluice: \(error.message)")
            throw Exit.interrupted
        }
        if let problem = error.underlying {
            Output.complain("sluice: \(problem)")
            throw Exit.data
        }
        guard error.load != nil || [.connectionLost, .noAnswer, .outcomeUnknown].contains(error.code) else {
            throw error
        }
        Output.complain("sluice: \(error)")
        if let report = error.load {
            let summary = LoadSummary(report, error, plan)
            if json { try Output.json(summary.withoutTexts) } else { summary.showFailure() }
        }
        if error.code == .badRow { throw Exit.data }
        Output.complain("sluice: run it again with --load-id \(id): shards that have the rows are left as they are")
        throw Exit.software
    }
}

/// The JSON of a load.
struct LoadSummary: Encodable {
    struct Shard: Encodable {
        var shard: String
        var replica: String?
        var outcome: String
        var rows: Int
        var lsn: String?
        var sqlstate: String?
        var message: String?

        init(_ report: ShardReport) {
            shard = report.shard
            replica = report.replica
            outcome = report.outcome.rawValue
            rows = report.rows
            lsn = report.lsn.map(ConsistencyToken.text)
            sqlstate = report.sqlState
            message = report.message
        }
    }

    struct Bad: Encodable {
        var row: Int
        var file: String?
        var line: Int?
        var message: String
        var text: String?
    }

    struct Failure: Encodable {
        var code: String
        var message: String
    }

    var loadId: String
    var rows: Int
    var shards: [Shard]
    var badRowCount: Int
    var badRows: [Bad]
    var index: String
    var indexMessage: String?
    var elapsedUs: Int64
    var error: Failure?

    init(_ report: LoadReport, _ error: SluiceError?, _ plan: LoadPlan) {
        loadId = report.id.description
        rows = report.rows
        shards = report.shards.map(Shard.init)
        badRowCount = report.badRowCount
        index = report.index.rawValue
        indexMessage = report.indexMessage
        elapsedUs = Output.microseconds(report.elapsed)
        self.error = error.map { Failure(code: $0.code.description, message: $0.message) }
        let places = report.badRows.isEmpty ? [:] : LoadSource.places(of: report.badRows, in: plan)
        badRows = report.badRows.map { bad in
            let place = places[bad.row]
            return Bad(
                row: bad.row, file: plan.rows ?? plan.vectors, line: place?.line, message: bad.message,
                text: place?.text)
        }
    }

    /// What is printed goes into logs, where nobody's rows belong. They are for the file that was asked for.
    var withoutTexts: LoadSummary {
        var summary = self
        for place in summary.badRows.indices { summary.badRows[place].text = nil }
        return summary
    }

    /// A JSON object on each line, with the row as the file has it.
    func badRowLines() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try badRows.map { String(decoding: try encoder.encode($0), as: UTF8.self) + "\n" }.joined()
    }

    func show() {
        let seconds = Double(elapsedUs) / 1e6
        let rate = seconds > 0 ? String(format: ", %.0f rows/s", Double(rows) / seconds) : ""
        print("\(rows) rows loaded in \(String(format: "%.1f", seconds)) s\(rate)")
        for line in shardLines { print(line) }
        if index != LoadReport.Index.notAsked.rawValue {
            print("index: \(index.replacing("_", with: " "))\(indexMessage.map { ": \($0)" } ?? "")")
        }
        if badRowCount > 0 { print("\(badRowCount) bad rows were left out") }
        for line in badLines { Output.complain(line) }
    }

    func showFailure() {
        for line in shardLines + badLines { Output.complain(line) }
    }

    private var shardLines: [String] {
        shards.map { shard in
            "  \(shard.shard)\(shard.replica.map { "/\($0)" } ?? ""): "
                + "\(shard.outcome.replacing("_", with: " ")), \(shard.rows) rows"
                + (shard.lsn.map { ", at \($0)" } ?? "") + (shard.message.map { ": \($0)" } ?? "")
        }
    }

    private var badLines: [String] {
        let shown = badRows.prefix(20).map { bad in
            "\(bad.file ?? "")\(bad.line.map { ":\($0)" } ?? ""): row \(bad.row): \(bad.message)"
        }
        let rest = badRowCount - shown.count
        return shown + (rest > 0 ? ["and \(rest) more bad rows"] : [])
    }
}
