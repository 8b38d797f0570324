import ArgumentParser
import SluiceGateway

struct ConfigReferenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config-reference",
        abstract: "Print every key of the configuration, its values and its default, as Markdown.")

    func run() throws { print(try GatewayMain.configReference(), terminator: "") }
}
