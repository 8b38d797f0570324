import Foundation
import Testing

/// The manual's pages and the completions, as `scripts/package` has the program make them.
@Suite struct ManualTests {
    private static let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "scripts/lib/manual.py")

    private static func run(_ program: String, _ arguments: [String]) throws -> (code: Int32, words: String) {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [program] + arguments
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let words = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, words)
    }

    private static func withPages(_ body: (URL) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-manual-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let made = try run("python3", [script.path, CommandLineTests.binary.path, folder.path])
        try #require(made.code == 0, "\(made.words)")
        try body(folder)
    }

    /// What the help lists of a command: its commands, or its options.
    private static func listed(_ arguments: [String], after heading: String) throws -> [String] {
        let help = try CommandLineTests.run(arguments + ["--help"]).output
        let part = help.components(separatedBy: heading + ":\n").dropFirst().first?.components(separatedBy: "\n\n")
            .first
        return try #require(part).matches(of: /(?m)^  (\S+)/).map { String($0.1) }
    }

    @Test func everyCommandAndEveryOptionHasItsPlace() throws {
        let commands = try Self.listed([], after: "SUBCOMMANDS")
        #expect(commands.count > 10)
        try Self.withPages { folder in
            let pages = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(Set(pages) == Set(["sluice.1"] + commands.map { "sluice-\($0).1" }))
            for command in commands where command != "token" {
                let page = try String(contentsOf: folder.appending(path: "sluice-\(command).1"), encoding: .utf8)
                for option in try Self.listed([command], after: "OPTIONS") where !["--version", "-h,"].contains(option)
                {
                    let name = option.prefix { $0 != "," && $0 != "/" }.replacing("-", with: "\\-")
                    #expect(page.contains("\\fB\(name)\\fR"), "\(command): \(option)")
                }
            }
        }
    }

    @Test func troffHasNothingToSayAboutThem() throws {
        guard try Self.run("groff", ["--version"]).code == 0 else { return }
        try Self.withPages { folder in
            for page in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
                let path = folder.appending(path: page).path
                let formatted = try Self.run("groff", ["-man", "-ww", "-z", "-Tascii", path])
                #expect(formatted.code == 0 && formatted.words.isEmpty, "\(page): \(formatted.words)")
            }
        }
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func shellsCompleteTheCommands(shell: String) throws {
        let script = try CommandLineTests.run(["--generate-completion-script", shell])
        #expect(script.code == 0)
        for command in try Self.listed([], after: "SUBCOMMANDS") {
            #expect(script.output.contains(command), "\(command)")
        }
    }
}
