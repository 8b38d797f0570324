import ArgumentParser

struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Load a gateway, or the replicas behind it, and say what came of it; or compare two such measurements.",
        subcommands: [BenchRun.self, BenchCompare.self], defaultSubcommand: BenchRun.self)
}
