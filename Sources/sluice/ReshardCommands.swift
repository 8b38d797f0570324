import ArgumentParser
import Foundation
import SluiceGateway
import SluiceTools
import UnixSignals

struct ReshardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reshard", abstract: "Move a collection to a new table on other shards, while it is served.",
        subcommands: [ReshardPlanCommand.self, ReshardRunCommand.self, ReshardVerifyCommand.self])
}

struct ReshardOptions: ParsableArguments {
    @Option(help: "The configuration file.")
    var config: String

    @Option(help: "The collection's name.")
    var collection: String

    @Flag(help: "Print what came of it as JSON.")
    var json = false

    var request: ReshardRequest {
        ReshardRequest(
            configPath: config, environment: ProcessInfo.processInfo.environment, collection: collection)
    }

    /// - Parameter body: what is to be done; it is cancelled by SIGINT and SIGTERM.
    func report(
        _ body: @escaping @Sendable (@escaping @Sendable (ReshardProgress) -> Void) async throws -> ReshardSummary
    ) async throws {
        let meter = ProgressMeter(total: nil)
        let work = Task { try await body { progress in meter.show { "\(progress.phase): \(progress.text)" } } }
        let interrupt = Task {
            for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) { work.cancel() }
        }
        let result = await work.result
        interrupt.cancel()
        meter.end()
        let summary: ReshardSummary
        do { summary = try result.get() } catch {
            Output.complain("sluice: the databases cannot be reached: \(error)")
            throw Exit.software
        }
        if json {
            try Output.json(summary)
        } else {
            for message in summary.messages {
                summary.verdict == .fine ? print(message) : Output.complain("sluice: \(message)")
            }
            if let pause = summary.pauseMs { print("writes waited for \(Int(pause.rounded())) ms") }
        }
        if work.isCancelled, summary.verdict != .fine { throw Exit.interrupted }
        try Self.end(summary.verdict)
    }

    static func end(_ verdict: ReshardVerdict) throws {
        switch verdict {
        case .fine: break
        case .differs: throw ExitCode.failure
        case .unreachable: throw Exit.unreachable
        case .failed: throw Exit.software
        case .wrong: throw Exit.config
        }
    }
}

struct ReshardTarget: ParsableArguments {
    @Option(help: "The new shards in the order of the hash's remainders, as s0,s1,s2; else the configuration's `next`.")
    var to: String?

    @Option(help: "The new table, as TABLE or SCHEMA.TABLE; else the configuration's `next`.")
    var table: String?

    func validate() throws {
        guard let to else { return }
        if to.split(separator: ",", omittingEmptySubsequences: false).contains(where: \.isEmpty) {
            throw ValidationError("--to is a list of shards like s0,s1,s2, not \"\(to)\"")
        }
    }

    func add(to request: inout ReshardRequest) {
        request.shards = to.map { $0.split(separator: ",").map(String.init) }
        request.table = table
    }
}

struct ReshardPlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Say what moving would take, and what is in the way. Changes nothing.")

    @OptionGroup var options: ReshardOptions
    @OptionGroup var target: ReshardTarget

    func run() async throws {
        var request = options.request
        target.add(to: &request)
        let plan: ReshardPlan
        do { plan = try await GatewayMain.reshardPlan(request) } catch {
            Output.complain("sluice: the databases cannot be reached: \(error)")
            throw Exit.software
        }
        if options.json {
            try Output.json(plan)
        } else {
            for line in plan.text { plan.verdict == .fine ? print(line) : Output.complain(line) }
        }
        try ReshardOptions.end(plan.verdict)
    }
}

struct ReshardRunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Move the rows and switch; ended at any point, it goes on when it is run again.")

    @OptionGroup var options: ReshardOptions
    @OptionGroup var target: ReshardTarget

    @Option(help: "The most that writes may be refused for, more than 4s.")
    var maxPause = "10s"

    @Option(help: "The most rows to take at a time.")
    var batch = 1_000

    @Flag(help: "Undo a move that has not come to its switch: writes go on, what it has made is dropped.")
    var abort = false

    @Flag(help: "Drop the old tables of a move that is done.")
    var dropOld = false

    private var pause: Duration? { DurationText.parse(maxPause) }

    func validate() throws {
        guard let pause, pause > .seconds(4), pause <= .seconds(3_600) else {
            throw ValidationError("--max-pause is a time of more than 4s, at most 1h, not \"\(maxPause)\"")
        }
        guard (1...100_000).contains(batch) else {
            throw ValidationError("--batch must be from 1 to 100000, not \(batch)")
        }
        if abort, dropOld { throw ValidationError("--abort and --drop-old do not go together") }
        if abort || dropOld, target.to != nil || target.table != nil {
            throw ValidationError("--to and --table do not go with --abort and --drop-old, which find the move that is")
        }
    }

    func run() async throws {
        var request = options.request
        target.add(to: &request)
        request.batch = batch
        if let pause { request.maxPause = pause }
        let (abort, dropOld) = (abort, dropOld)
        try await options.report { [request] progress in
            if abort { return try await GatewayMain.reshardAbort(request, progress: progress) }
            if dropOld { return try await GatewayMain.reshardDropOld(request, progress: progress) }
            return try await GatewayMain.reshardRun(request, progress: progress)
        }
    }
}

struct ReshardVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare the new tables with the old ones, by counts and checksums of ranges of the ids' hashes.")

    @OptionGroup var options: ReshardOptions

    func run() async throws {
        let request = options.request
        try await options.report { try await GatewayMain.reshardVerify(request, progress: $0) }
    }
}
