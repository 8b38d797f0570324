internal import SluiceCore

/// A server whose connections all gateways share.
struct SimulatedBudget {
    /// What the server has of one gateway's process.
    struct Presence {
        let id: String
        let gateway: Int
        var connections = 0
        /// As the connection shows it by which the gateway looks.
        var claim: (claim: Int, want: Int)?
    }

    let member: Int
    var presences: [Presence] = []
    var connections = 0
    /// When it went up again.
    var upSince = Instant(nanoseconds: .min)
    /// Who may let its claim grow.
    var lock: (presence: Int, grant: Int)?
    var grants = 0
}

/// One gateway's part of one server's connections.
struct SimulatedSeat {
    var share: FleetShare
    var presence = -1
    /// Connections that were begun in an earlier one have ended with the server, or their gateway.
    var epoch = 0
    /// Steps of an earlier one have been given up.
    var round = 0
    var hasLook = false
    var up = 0
    var dialling = 0
    var closing = 0
    var limit = 0
    var firstClaim = 0
    var before = FleetShare.Holding(made: 0, open: 0, most: 0)
    var sightings: [FleetShare.Sighting] = []
    var order: FleetShare.Order?

    var open: Int { up + dialling + closing }
    var holding: FleetShare.Holding { .init(made: up + closing, open: open, most: max(open, limit)) }
}

/// Shares of the budgets: looks, claims, the lock, and the pools that follow.
extension FleetSimulation {
    struct Seat {
        enum Step {
            case begin
            case connected
            case lock(until: Instant)
            case decide(isLocked: Bool, asked: Instant)
            case show(isLocked: Bool)
            case dialled(begun: Instant)
            case closed
            /// The connection by which it looks has ended.
            case lost
        }

        var gateway: Int
        var server: Int
        var epoch: Int
        var round: Int
    }

    private static let interval = Duration.seconds(1)
    private static let returning = Duration.seconds(6)
    private static let connectTimeout = Duration.seconds(3)
    private static let lockTimeout = Duration.seconds(1)
    /// A session that does nothing in a transaction is ended.
    private static let idleTimeout = Duration.seconds(5)

    private func index(_ gateway: Int, _ server: Int) -> Int { gateway * budgets.count + server }

    func seat(_ gateway: Int, _ server: Int) -> SimulatedSeat {
        var configuration = scenario.share
        if bug == .budgetForgetsLeavers { configuration.grace = .zero }
        let id = "g\(gateway).\(gateways[gateway].life)"
        return SimulatedSeat(share: FleetShare(id: id, configuration, poolSize: scenario.poolSize))
    }

    private mutating func plan(_ step: Seat.Step, _ gateway: Int, _ server: Int, in delay: Duration) {
        let seat = seats[index(gateway, server)]
        timeline.plan(
            .seat(Seat(gateway: gateway, server: server, epoch: seat.epoch, round: seat.round), step), in: delay)
    }

    private func isUp(_ server: Int) -> Bool { clusters[0].servers[budgets[server].member].isUp }

    private mutating func count(_ change: Int, _ server: Int, _ presence: Int) {
        budgets[server].presences[presence].connections += change
        budgets[server].connections += change
        // To a server that was down all come back at once, with one connection each: more than a reserve is for.
        let share = scenario.share
        let isReturning = budgets[server].upSince.advanced(by: Self.returning) > timeline.now
        let most = isReturning ? max(share.budget, share.budget - share.reserve + gateways.count) : share.budget
        checkers.connected(
            budgets[server].connections, of: most, to: budgets[server].member, at: timeline.now)
    }

    // MARK: Who comes and goes

    /// A gateway's process begins to look.
    mutating func occupy(_ server: Int, _ gateway: Int) {
        let epoch = seats[index(gateway, server)].epoch + 1
        var next = seat(gateway, server)
        budgets[server].presences.append(.init(id: next.share.id, gateway: gateway))
        next.presence = budgets[server].presences.count - 1
        next.epoch = epoch
        seats[index(gateway, server)] = next
        plan(.begin, gateway, server, in: soon(1...200))
    }

    /// The server notices one connection after the other that their process has gone.
    mutating func vacate(_ server: Int, _ gateway: Int, isAsked: Bool) {
        let place = index(gateway, server)
        seats[place].epoch += 1
        let presence = seats[place].presence
        let state = budgets[server].presences[presence]
        let looks = state.claim == nil ? 0 : 1
        for _ in 0..<max(0, state.connections - looks) {
            timeline.plan(
                .lingerEnded(server: server, presence: presence, isLook: false),
                in: isAsked ? soon(1...100) : soon(0...1_500))
        }
        if looks > 0 {
            timeline.plan(
                .lingerEnded(server: server, presence: presence, isLook: true),
                in: isAsked ? .milliseconds(150) : soon(0...1_500))
        }
    }

    mutating func lingerEnded(_ server: Int, _ presence: Int, _ isLook: Bool) {
        if isLook { return endLook(server, presence: presence) }
        if budgets[server].presences[presence].connections > 0 { count(-1, server, presence) }
    }

    /// Somebody ends the connection by which a gateway looks.
    mutating func endLook(_ server: Int, _ gateway: Int) {
        guard gateways[gateway].isAlive else { return }
        endLook(server, presence: seats[index(gateway, server)].presence)
    }

    private mutating func endLook(_ server: Int, presence: Int) {
        guard budgets[server].presences[presence].claim != nil else { return }
        budgets[server].presences[presence].claim = nil
        count(-1, server, presence)
        if budgets[server].lock?.presence == presence { budgets[server].lock = nil }
        let gateway = budgets[server].presences[presence].gateway
        let isItsOwn = seats[index(gateway, server)].presence == presence
        if gateways[gateway].isAlive, isItsOwn { plan(.lost, gateway, server, in: soon(1...50)) }
    }

    mutating func lockTimedOut(_ server: Int, _ grant: Int) {
        guard let lock = budgets[server].lock, lock.grant == grant else { return }
        endLook(server, presence: lock.presence)
    }

    mutating func serverReturned(_ member: Int) {
        guard let server = budgets.firstIndex(where: { $0.member == member }) else { return }
        budgets[server].upSince = timeline.now
    }

    /// A server goes down, and all connections to it end.
    mutating func connectionsBroke(_ member: Int) {
        guard let server = budgets.firstIndex(where: { $0.member == member }) else { return }
        for presence in budgets[server].presences.indices {
            budgets[server].presences[presence].connections = 0
            budgets[server].presences[presence].claim = nil
        }
        budgets[server].connections = 0
        budgets[server].lock = nil
        for gateway in gateways.indices where gateways[gateway].isAlive {
            let place = index(gateway, server)
            seats[place].epoch += 1
            (seats[place].up, seats[place].dialling, seats[place].closing) = (0, 0, 0)
            plan(.lost, gateway, server, in: soon(1...50))
        }
    }

    // MARK: A look

    mutating func take(_ step: Seat.Step, at seat: Seat) {
        let place = index(seat.gateway, seat.server)
        guard gateways[seat.gateway].isAlive, seats[place].epoch == seat.epoch else { return }
        switch step {
        case .dialled(let begun): return dialled(seat, begun: begun)
        case .closed:
            seats[place].closing -= 1
            count(-1, seat.server, seats[place].presence)
            return pump(seat.gateway, seat.server)
        default: break
        }
        guard seats[place].round == seat.round else { return }
        switch step {
        case .dialled, .closed: break
        case .begin: begin(seat)
        case .connected: connected(seat)
        case .lock(let end): lock(seat, until: end)
        case .decide(let isLocked, let asked): decide(seat, isLocked: isLocked, asked: asked)
        case .show(let isLocked): show(seat, isLocked: isLocked)
        case .lost: fail(seat)
        }
    }

    private mutating func begin(_ seat: Seat) {
        let place = index(seat.gateway, seat.server)
        if seats[place].hasLook { return look(seat, isLocked: false) }
        seats[place].firstClaim = seats[place].share.firstClaim(seats[place].holding)
        plan(.connected, seat.gateway, seat.server, in: soon(2...60))
    }

    private mutating func connected(_ seat: Seat) {
        let place = index(seat.gateway, seat.server)
        guard isUp(seat.server) else { return fail(seat) }
        let presence = seats[place].presence
        budgets[seat.server].presences[presence].claim = (seats[place].firstClaim, seats[place].share.want)
        count(1, seat.server, presence)
        seats[place].hasLook = true
        look(seat, isLocked: false)
    }

    /// It cannot look any more.
    private mutating func fail(_ seat: Seat) {
        let place = index(seat.gateway, seat.server)
        seats[place].round += 1
        seats[place].hasLook = false
        seats[place].share.lost()
        give(seat)
        plan(.begin, seat.gateway, seat.server, in: soon(1...1_000))
    }

    private mutating func look(_ seat: Seat, isLocked: Bool) {
        let place = index(seat.gateway, seat.server)
        // One that has ended will be noticed.
        guard budgets[seat.server].presences[seats[place].presence].claim != nil else { return }
        seats[place].before = seats[place].holding
        seats[place].sightings = budgets[seat.server].presences.compactMap { presence in
            if presence.connections == 0 || bug == .budgetForgetsLeavers && presence.claim == nil { return nil }
            return FleetShare.Sighting(
                id: presence.id, claim: presence.claim?.claim, want: presence.claim?.want ?? 0,
                connections: presence.connections)
        }
        plan(
            .decide(isLocked: isLocked || bug == .claimsGrowUnlocked, asked: clock(seat.gateway)), seat.gateway,
            seat.server, in: soon(1...30))
    }

    private mutating func decide(_ seat: Seat, isLocked: Bool, asked: Instant) {
        let place = index(seat.gateway, seat.server)
        let (before, after) = (seats[place].before, seats[place].holding)
        let holding = FleetShare.Holding(
            made: min(before.made, after.made), open: max(before.open, after.open), most: max(before.most, after.most))
        let order = seats[place].share.looked(seats[place].sightings, holding, isLocked: isLocked, asked: asked)
        seats[place].order = order
        if order.mayGrow {
            plan(
                .lock(until: timeline.now.advanced(by: Self.lockTimeout)), seat.gateway, seat.server, in: soon(1...5))
        } else {
            plan(.show(isLocked: isLocked), seat.gateway, seat.server, in: soon(1...20))
        }
    }

    private mutating func lock(_ seat: Seat, until end: Instant) {
        guard budgets[seat.server].lock == nil else {
            // Somebody else holds it: the order without it is good, too.
            if timeline.now < end { return plan(.lock(until: end), seat.gateway, seat.server, in: soon(10...30)) }
            return show(seat, isLocked: false)
        }
        let presence = seats[index(seat.gateway, seat.server)].presence
        guard budgets[seat.server].presences[presence].claim != nil else { return }
        budgets[seat.server].grants += 1
        let grant = budgets[seat.server].grants
        budgets[seat.server].lock = (presence, grant)
        timeline.plan(.lockTimedOut(server: seat.server, grant: grant), in: Self.idleTimeout)
        look(seat, isLocked: true)
    }

    private mutating func show(_ seat: Seat, isLocked: Bool) {
        let place = index(seat.gateway, seat.server)
        let presence = seats[place].presence
        guard let order = seats[place].order, budgets[seat.server].presences[presence].claim != nil else { return }
        if order.mustShow { budgets[seat.server].presences[presence].claim = (order.claim, order.want) }
        if isLocked, budgets[seat.server].lock?.presence == presence { budgets[seat.server].lock = nil }
        seats[place].share.shown(order)
        give(seat)
        if order.isSettled, bug == .sharesAreNotDividedAnew { return }
        plan(.begin, seat.gateway, seat.server, in: order.isSettled ? Self.interval : Self.interval / 4)
    }

    // MARK: The pool

    private mutating func give(_ seat: Seat) {
        let place = index(seat.gateway, seat.server)
        seats[place].limit = min(seats[place].share.size, scenario.poolSize)
        routes[self.place(seat.gateway, 0)].resized(budgets[seat.server].member, capacity: seats[place].limit)
        pump(seat.gateway, seat.server)
    }

    /// Opens what it may have, and closes what it has too much; searches that run there end first.
    private mutating func pump(_ gateway: Int, _ server: Int) {
        let place = index(gateway, server)
        while seats[place].up > 0, seats[place].up + seats[place].dialling > seats[place].limit {
            seats[place].up -= 1
            seats[place].closing += 1
            plan(.closed, gateway, server, in: soon(1...300))
        }
        while seats[place].open < seats[place].limit, clock(gateway) < seats[place].share.dialsUntil {
            seats[place].dialling += 1
            let isLong = Int.random(in: 0..<30, using: &random) == 0
            plan(.dialled(begun: timeline.now), gateway, server, in: soon(5...(isLong ? 2_900 : 80)))
        }
    }

    private mutating func dialled(_ seat: Seat, begun: Instant) {
        let place = index(seat.gateway, seat.server)
        seats[place].dialling -= 1
        // It took too long: its process has stood still.
        if begun.duration(to: timeline.now) <= Self.connectTimeout, isUp(seat.server) {
            seats[place].up += 1
            count(1, seat.server, seats[place].presence)
        }
        pump(seat.gateway, seat.server)
    }

    // MARK: The end

    /// Nothing has happened for a while: what the budget has for all is divided evenly, and used.
    mutating func checkShares(_ server: Int) {
        let parts = gateways.indices.filter { gateways[$0].isAlive }.map { seats[index($0, server)] }
        let member = "n\(budgets[server].member)"
        guard parts.allSatisfy({ $0.share.gateways == parts.count && $0.up == $0.limit }) else {
            return checkers.complain(
                "gateways do not see each other at \(member), or do not use their shares", at: timeline.now)
        }
        let free = scenario.share.budget - scenario.share.reserve
        let wanted = parts.reduce(0) { $0 + $1.share.want }
        let hungry = parts.filter { $0.limit + 1 < $0.share.want }.map(\.limit)
        guard parts.reduce(0, { $0 + $1.limit + 1 }) == min(free, wanted),
            (hungry.max() ?? 0) - (hungry.min() ?? 0) <= 1
        else {
            return checkers.complain(
                "the connections of \(member) are not divided evenly: \(parts.map(\.limit))", at: timeline.now)
        }
    }
}
