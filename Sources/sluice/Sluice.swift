import ArgumentParser
import SluiceGateway

@main
struct Sluice: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice",
        abstract: "A gateway between applications and the PostgreSQL/pgvector databases that hold their vectors.",
        discussion: """
            Exit codes: 0 fine, 64 usage, 65 unusable input file or bad rows, 69 gateway or shard not reachable, \
            70 error from the gateway or a database, 78 configuration, or databases that are not as it says.
            """,
        version: Version.withCommit,
        subcommands: [
            Serve.self, Check.self, Doctor.self, TokenCommand.self, CreateCollection.self, Adopt.self,
            SearchCommand.self, GetCommand.self, CountCommand.self, LoadCommand.self, DeleteCommand.self, Ping.self,
            Collections.self, Bench.self, Top.self, PoolPlanCommand.self, ReshardCommand.self,
            ConfigReferenceCommand.self,
        ])
}

/// The exit codes that scripts may rely on (sysexits.h).
enum Exit {
    static let usage = ExitCode(64)
    static let data = ExitCode(65)
    static let unreachable = ExitCode(69)
    static let software = ExitCode(70)
    static let config = ExitCode(78)
    /// As a shell has it of a command that SIGINT has ended.
    static let interrupted = ExitCode(130)
}
