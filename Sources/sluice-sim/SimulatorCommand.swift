public import ArgumentParser
import Foundation
public import SluiceSimulator

@main
struct SimulatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice-sim",
        abstract: "Run the gateway's decisions against a virtual clock and a faulty world, and check them.",
        discussion: "A seed that breaks a rule is printed, and replays exactly with --seed S --trace.")

    @Option(help: "How many seeds to run.")
    var seeds: UInt64 = 2_000

    @Option(help: "The first of them.")
    var from: UInt64 = 1

    @Option(help: "Run this one seed only.")
    var seed: UInt64?

    @Flag(help: "Print every event of --seed.")
    var trace = false

    @Option(
        help: "Plant a bug, to see that it is found: \(PlantedBug.allCases.map(\.rawValue).joined(separator: ", ")).")
    var bug: PlantedBug?

    func validate() throws {
        if trace, seed == nil { throw ValidationError("--trace needs --seed S") }
    }

    func run() async throws {
        if let seed {
            var simulation = Simulation(seed: seed, bug: bug, trace: trace ? { print($0) } : nil)
            do {
                try simulation.run()
            } catch {
                print("seed \(seed): \(error)")
                throw ExitCode.failure
            }
            return print("seed \(seed): every rule held")
        }
        let began = ContinuousClock.now
        let broken = await SeedRun(from: from, count: seeds, bug: bug).run()
        for (seed, violation) in broken.prefix(20) { print("seed \(seed): \(violation)") }
        let time = ContinuousClock.now - began
        print(
            "\(seeds) seeds in \(time.formatted(.units(allowed: [.seconds], fractionalPart: .show(length: 1)))), "
                + "\(broken.count) broke a rule")
        if !broken.isEmpty { throw ExitCode.failure }
    }
}

extension PlantedBug: ExpressibleByArgument {}
