import ArgumentParser
import Foundation
import SluiceGateway
import SluiceTools

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make, revoke and list the tokens that applications show the gateway.",
        discussion: """
            The configuration's `access.tokens` names the file that they are kept in, as salted hashes. A running \
            gateway sees a change within a second.
            """,
        subcommands: [New.self, Revoke.self, List.self])

    struct ConfigOption: ParsableArguments {
        @Option(help: "The gateway's configuration file.")
        var config: String
    }

    struct New: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token for an identity, and print it: it is kept nowhere else.")

        @OptionGroup var options: ConfigOption

        @Option(help: "The identity of the configuration that it stands for.")
        var identity: String

        @Option(help: "How long it is valid, like 30d, 12h or 15m; for ever without it.")
        var expires: String?

        func validate() throws {
            guard expires == nil || lifetime != nil else {
                throw ValidationError("--expires is a time like 30d, 12h or 15m, not \"\(expires ?? "")\"")
            }
        }

        /// At least a second, at most 100 years.
        private var lifetime: Duration? {
            guard let expires else { return nil }
            let unit = expires.last.flatMap { ["d": 86_400, "h": 3_600, "m": 60, "s": 1][$0] }
            guard let unit, let number = Int(expires.dropLast()), number >= 1, number <= 3_153_600_000 / unit else {
                return nil
            }
            return .seconds(number * unit)
        }

        func run() async throws {
            try administered {
                let made = try TokenAdministration.new(
                    configPath: options.config, environment: ProcessInfo.processInfo.environment, identity: identity,
                    lifetime: lifetime)
                print(made.token)
                Output.complain("token \(made.id) of \"\(identity)\": keep it safe, it is not shown again")
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a token away; its sessions end within a second.")

        @OptionGroup var options: ConfigOption

        @Argument(help: "The token's id, as `list` shows it; or a file with the token, after @.")
        var token: String

        func run() async throws {
            try administered {
                try TokenAdministration.revoke(
                    configPath: options.config, environment: ProcessInfo.processInfo.environment, text())
                print("revoked")
            }
        }

        private func text() throws -> String {
            guard token.hasPrefix("@") else { return token }
            let file = try String(contentsOfFile: String(token.dropFirst()), encoding: .utf8)
            return String(file.prefix { !$0.isNewline })
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the tokens, oldest first, without their secrets.")

        @OptionGroup var options: ConfigOption

        @Flag(help: "Print JSON.")
        var json = false

        func run() async throws {
            try administered {
                let tokens = try TokenAdministration.list(
                    configPath: options.config, environment: ProcessInfo.processInfo.environment)
                if json { return try Output.json(["tokens": tokens]) }
                Output.table(
                    [["ID", "IDENTITY", "CREATED", "EXPIRES"]]
                        + tokens.map { token in
                            let end = token.expires.map { token.isExpired ? "\($0) (expired)" : $0 } ?? "never"
                            return [token.id, token.identity, token.created, end]
                        })
            }
        }
    }
}

/// Turns what is wrong with the configuration or the file of tokens into messages and exit codes.
private func administered(_ body: () throws -> Void) throws {
    do {
        try body()
    } catch let errors as ConfigErrors {
        Output.complain(errors.description)
        throw Exit.config
    } catch {
        Output.complain("sluice: \(error)")
        throw Exit.software
    }
}
