extension ConfigReader {
    static let budgets = 0...100_000

    func readFleet(_ node: ConfigNode) -> GatewayConfig.Fleet {
        let keys = node.table(["discovery", "dsn", "password_file", "floor", "reserve", "interval"])
        var fleet = GatewayConfig.Fleet()
        keys["discovery"].read(into: &fleet.discovery) { $0.choice(GatewayConfig.Fleet.Discovery.self, or: $1) }
        (fleet.dsn, fleet.password, _) = readDSN(keys["dsn"], passwordFile: keys["password_file"])
        fleet.folder = folder
        if fleet.discovery == .table, keys["dsn"] == nil { node.missing("dsn") }
        if fleet.discovery == .activity, let dsn = keys["dsn"] { dsn.complain("is for discovery: table") }
        // Without a connection for its pool a gateway would be of no use.
        fleet.floor = keys["floor"]?.integer(fleet.overhead + 1...1_000, or: 2)
        fleet.reserve = keys["reserve"]?.integer(1...10_000, or: 2)
        keys["interval"].read(into: &fleet.interval) {
            $0.duration(.milliseconds(100) ... .seconds(1), or: $1)
        }
        return fleet
    }

    /// What does not go together.
    func checkBudgets(_ config: GatewayConfig, _ node: ConfigNode) {
        let replicas = config.shards.flatMap { shard in shard.replicas.map { (shard.name, $0) } }
        for (shard, replica) in replicas {
            guard let budget = replica.pool.connectionBudget else { continue }
            let least = config.fleetFloor + config.fleetReserve
            if budget < least {
                node.complain(
                    "connection_budget of \(shard)/\(replica.name) is \(budget), and fleet.floor \(config.fleetFloor) "
                        + "and fleet.reserve \(config.fleetReserve) are \(least); raise it, or lower those or reactors")
            }
            if replica.isPooled, config.fleet.discovery == .activity {
                node.complain(
                    "gateways do not see each other through the pooler of \(shard)/\(replica.name); for its "
                        + "connection_budget they need fleet.discovery: table")
            }
        }
    }
}
