import ArgumentParser
import Foundation
import SluiceCore
import SluiceTools

struct PoolPlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pool-plan",
        abstract: "Say how many connections each gateway needs to a server, and whether the server has so many.",
        discussion: """
            For example: sluice pool-plan --gateways 4 --rate 120 --query-time 15ms --azure-tier "GP 4 vCores"

            A gateway that is in use says the query time: the mean of its metric sluice_execute_duration_seconds.

            Exit codes: 0 it fits, if need be with more waiting; 78 the server cannot hold the rate.
            """)

    @Option(help: "Gateways that have a pool to this server.")
    var gateways: Int

    @Option(help: "Searches a second that reach this server, from all gateways together.")
    var rate: Double

    @Option(help: "What one takes in the mean, as the gateway sees it, like 12ms.")
    var queryTime: String

    @Option(help: "Statements that a search makes on this server: one for each of its collections there.")
    var statementsPerSearch = 1.0

    @Option(help: "The server's max_connections.")
    var maxConnections: Int?

    @Option(help: "Azure's size of the server instead: B1ms, GP 2 vCores, MO 16 vCores, and so on.")
    var azureTier: String?

    @Option(help: "Connections that the server keeps for its own use; 3 if not said, with --azure-tier 15.")
    var reserved: Int?

    @Option(help: "Connections of other programs to the server.")
    var others = 0

    @Option(help: "Gateways that run besides the others while a new version takes over.")
    var surge = 1

    @Option(help: "The server's processors; --azure-tier knows them.")
    var processors: Int?

    @Flag(help: "Print the plan as JSON.")
    var json = false

    private var tier: AzureTier? { azureTier.flatMap(AzureTier.init) }

    func validate() throws {
        guard DurationText.parse(queryTime) ?? .zero > .zero else {
            throw ValidationError("--query-time is a time like 40ms or 2s, not \"\(queryTime)\"")
        }
        try Self.check("--gateways", gateways, 1...100_000)
        try Self.check("--rate", rate, 0...1e9)
        try Self.check("--statements-per-search", statementsPerSearch, 0...1_000)
        try Self.check("--others", others, 0...262_143)
        try Self.check("--surge", surge, 0...100_000)
        if let reserved { try Self.check("--reserved", reserved, 0...262_143) }
        if let processors { try Self.check("--processors", processors, 1...100_000) }
        if let maxConnections { try Self.check("--max-connections", maxConnections, 1...262_143) }
        guard (maxConnections == nil) != (azureTier == nil) else {
            throw ValidationError("say what the server can give: either --max-connections or --azure-tier")
        }
        if let azureTier, tier == nil {
            let known = AzureTier.all.map(\.name).joined(separator: ", ")
            throw ValidationError("--azure-tier: there is no \"\(azureTier)\", but \(known)")
        }
    }

    private static func check<Number: Comparable>(_ name: String, _ value: Number, _ range: ClosedRange<Number>) throws
    {
        guard range.contains(value) else {
            throw ValidationError("\(name) is a number from \(range.lowerBound) to \(range.upperBound), not \(value)")
        }
    }

    private var plan: PoolPlan {
        PoolPlan(
            .init(
                gateways: gateways, statements: rate * statementsPerSearch,
                queryTime: DurationText.parse(queryTime) ?? .zero),
            .init(
                connections: tier?.connections ?? maxConnections ?? 0,
                // superuser_reserved_connections of PostgreSQL is 3.
                reserved: reserved ?? (tier == nil ? 3 : AzureTier.reserved), others: others, surge: surge,
                processors: processors ?? tier?.processors))
    }

    func run() throws {
        let plan = plan
        if json {
            try Output.json(PoolPlanReport(plan))
        } else {
            let report = PoolPlanText(plan, server: tier?.name ?? "the server")
            print(report.lines.joined(separator: "\n"))
        }
        if plan.verdict == .overloaded { throw Exit.config }
    }
}

/// What `--json` prints.
private struct PoolPlanReport: Encodable {
    var verdict: String
    var minSize: Int
    var maxSize: Int
    var neededSize: Int?
    var allowance: Int
    var busy: Double
    var busyPerGateway: Double
    var waitShare: Double
    var meanWaitUs: Int64?
    var connectionsForGateways: Int
    var mostAtServer: Int

    init(_ plan: PoolPlan) {
        verdict = plan.verdict.rawValue
        minSize = plan.minSize
        maxSize = plan.maxSize
        neededSize = plan.neededSize
        allowance = plan.allowance
        busy = plan.demand.busy
        busyPerGateway = plan.load
        waitShare = plan.waitShare
        meanWaitUs = plan.wait.map(Output.microseconds)
        connectionsForGateways = plan.supply.forGateways
        mostAtServer = plan.mostAtServer
    }
}

/// The plan with its reasons, for people.
private struct PoolPlanText {
    let plan: PoolPlan
    let server: String

    init(_ plan: PoolPlan, server: String) {
        self.plan = plan
        self.server = server
    }

    var lines: [String] {
        let sections = [("Demand", demand), ("Supply", supply), ("Each gateway, for its pool to this server", sizes)]
        return sections.flatMap { [$0] + indented($1) + [""] } + verdict
    }

    private func indented(_ lines: [String]) -> [String] { lines.map { "  " + $0 } }

    private var demand: [String] {
        let demand = plan.demand
        var lines = [
            "\(Self.number(demand.statements)) statements/s x \(Output.milliseconds(demand.queryTime)) = "
                + "\(Self.number(demand.busy)) busy connections in the mean (Little's law)",
            "\(count(demand.gateways, "gateway")): \(Self.number(plan.load)) busy at each",
        ]
        if demand.gateways > 1 {
            lines.append("\(Self.number(plan.loadWithOneLost)) when one is gone and the others do its work")
        }
        return lines
    }

    private var supply: [String] {
        let (supply, demand) = (plan.supply, plan.demand)
        let rest = "\(supply.connections) - \(supply.reserved) reserved - \(supply.others) of other programs"
        let over = supply.surge > 0 ? " + \(supply.surge) while a new version takes over" : ""
        return [
            "\(server): \(rest) = \(supply.forGateways) connections for gateways",
            "/ (\(demand.gateways)\(over)) = at most \(plan.allowance) for each",
        ]
    }

    private var sizes: [String] {
        [
            "min_size: \(plan.minSize)   # so many are busy in the mean",
            "max_size: \(plan.maxSize)   # " + reason,
        ]
    }

    private var reason: String {
        guard let needed = plan.neededSize else {
            return "the most that a pool may have"
        }
        return needed <= plan.maxSize
            ? "so that one statement in 100 waits when a gateway is gone (Erlang C)"
            : "all that the server has for it; \(needed) would be needed to have one statement in 100 wait"
    }

    private var verdict: [String] {
        let waiting =
            plan.wait.map {
                "With all gateways \(Self.percent(plan.waitShare)) of the statements wait, "
                    + "\(Output.milliseconds($0)) in the mean over all. "
            } ?? ""
        let most = "The server sees at most \(plan.mostAtServer) of its \(plan.supply.forGateways) connections."
        switch plan.verdict {
        case .fits: return ["It fits. " + waiting + most] + processors
        case .tight:
            return ["It fits, but tightly. " + waiting + most]
                + ["Fewer gateways, a pooler before the server or more connections would lower the waiting."]
                + processors
        case .overloaded:
            let shortage =
                Double(plan.maxSize) <= plan.load
                ? "\(Self.number(plan.load)) connections would be busy at each gateway, which has \(plan.maxSize)."
                : "\(Self.number(plan.demand.busy)) statements at a time are more than \(plan.supply.processors ?? 0) "
                    + "processors can work on."
            return ["The server cannot hold this rate: " + shortage]
                + ["Searches would queue until they are refused as busy. Add replicas, or make each search cheaper."]
        }
    }

    /// A scan of an index that lies in memory keeps a processor busy all the time.
    private var processors: [String] {
        guard let processors = plan.supply.processors else { return [] }
        let share = plan.demand.busy / Double(processors)
        guard share > 0.7 else { return [] }
        return [
            "\(Self.percent(share)) of the server's \(count(processors, "processor")) will be busy: "
                + "searches take longer the nearer that comes to all."
        ]
    }

    private func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    private static func number(_ value: Double) -> String { String(format: value < 100 ? "%.2f" : "%.0f", value) }

    private static func percent(_ share: Double) -> String {
        String(format: share < 0.1 ? "%.1f %%" : "%.0f %%", share * 100)
    }
}
