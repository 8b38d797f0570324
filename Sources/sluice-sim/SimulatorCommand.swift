public import ArgumentParser
import Foundation
public import SluiceSimulator

@main
struct SimulatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice-sim",
        abstract: "Run the gateway's decisions against a virtual clock and a faulty world, and check them.",
        discussion: """
            A seed that breaks a rule is printed, and replays exactly with --seed S --trace. With --fleet gateways run \
            in front of clusters whose leaders change, and a failing seed's line says what to run again.
            """)

    @Option(help: "How many seeds to run (default: 2000; of fleets 200).")
    var seeds: UInt64?

    @Option(help: "The first of them.")
    var from: UInt64 = 1

    @Option(help: "Run this one seed only.")
    var seed: UInt64?

    @Flag(help: "Print every event of --seed.")
    var trace = false

    @Option(help: "Plant a bug, to see that it is found: \(names(of: PlantedBug.self)).")
    var bug: PlantedBug?

    @Flag(help: "Run fleets: topology sources, fences, connection budgets, zones.")
    var fleet = false

    @OptionGroup var scale: FleetScaleOptions

    @Option(help: "Plant a bug in a fleet: \(names(of: FleetBug.self)).")
    var fleetBug: FleetBug?

    func validate() throws {
        if trace, seed == nil { throw ValidationError("--trace needs --seed S") }
        if fleet, bug != nil { throw ValidationError("a fleet's bugs are planted with --fleet-bug") }
        if !fleet, fleetBug != nil || scale.isGiven {
            throw ValidationError("--shards, --replicas, --gateways, --zones and --fleet-bug need --fleet")
        }
    }

    func run() async throws {
        if fleet { return try await runFleets() }
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
        let seeds = seeds ?? 2_000
        let broken = await SeedRun(from: from, count: seeds, bug: bug).run()
        for (seed, violation) in broken.prefix(20) { print("seed \(seed): \(violation)") }
        print("\(seeds) seeds in \(Self.time(since: began)), \(broken.count) broke a rule")
        if !broken.isEmpty { throw ExitCode.failure }
    }

    private func runFleets() async throws {
        let began = ContinuousClock.now
        if let seed {
            var simulation = FleetSimulation(
                seed: seed, scale: scale.scale, bug: fleetBug, trace: trace ? { print($0) } : nil)
            do {
                try simulation.run()
            } catch {
                print("seed \(seed): \(error)")
                throw ExitCode.failure
            }
            return print("seed \(seed), \(Self.time(since: began)): every rule held; \(simulation.tally)")
        }
        let seeds = seeds ?? 200
        let result = await FleetRun(from: from, count: seeds, scale: scale.scale, bug: fleetBug).run()
        let bug = fleetBug.map { " --fleet-bug \($0.rawValue)" } ?? ""
        for (seed, violation) in result.broken.prefix(20) {
            print("seed \(seed): \(violation); again: sluice-sim --fleet\(scale.arguments)\(bug) --seed \(seed)")
        }
        print("synchronous: \(result.synchronous)")
        print("asynchronous: \(result.asynchronous)")
        print("\(seeds) fleets in \(Self.time(since: began)), \(result.broken.count) broke a rule")
        if !result.broken.isEmpty { throw ExitCode.failure }
    }

    private static func time(since began: ContinuousClock.Instant) -> String {
        (ContinuousClock.now - began).formatted(.units(allowed: [.seconds], fractionalPart: .show(length: 1)))
    }
}

/// How big a fleet is.
struct FleetScaleOptions: ParsableArguments {
    @Option(help: "Shards of a fleet (default: 8).")
    var shards: Int?

    @Option(help: "Servers of each shard (default: 3).")
    var replicas: Int?

    @Option(help: "Gateways (default: 12).")
    var gateways: Int?

    @Option(help: "Zones (default: 3).")
    var zones: Int?

    var isGiven: Bool { shards != nil || replicas != nil || gateways != nil || zones != nil }

    var scale: FleetScale {
        let usual = FleetScale()
        return FleetScale(
            shards: shards ?? usual.shards, replicas: replicas ?? usual.replicas,
            gateways: gateways ?? usual.gateways, zones: zones ?? usual.zones)
    }

    /// To run the same again.
    var arguments: String {
        let given: [(String, Int?)] = [
            ("shards", shards), ("replicas", replicas), ("gateways", gateways), ("zones", zones),
        ]
        return given.compactMap { name, value in value.map { " --\(name) \($0)" } }.joined()
    }
}

private func names<Bug: CaseIterable & RawRepresentable>(of _: Bug.Type) -> String where Bug.RawValue == String {
    Bug.allCases.map(\.rawValue).joined(separator: ", ")
}

extension PlantedBug: ExpressibleByArgument {}
extension FleetBug: ExpressibleByArgument {}
