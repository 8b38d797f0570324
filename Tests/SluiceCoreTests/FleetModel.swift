import SluiceCore

/// Gateways that share a server's connections, with everything that takes time on the way: dials, closes, looks, and
/// what the server does not notice at once. A step is 10 ms.
struct FleetModel {
    struct Connection {
        var owner: Int
        /// Of the connection by which a gateway looks.
        var claim: (claim: Int, want: Int)?
        /// When the server notices that its other end has gone.
        var endsAt: Int?
    }

    enum Round {
        case dialling(until: Int)
        /// Under the lock, if there is an order by a look without it.
        case looking(at: Int, unlocked: FleetShare.Order?, patience: Int)
        case deciding(at: Int, [FleetShare.Sighting], FleetShare.Holding, asked: Int, isLocked: Bool)
        case showing(at: Int, FleetShare.Order, isLocked: Bool)
    }

    struct Member {
        var share: FleetShare
        var isAlive = true
        /// Until when its process stands still.
        var frozenUntil = 0
        /// No packet passes: since when, and until when.
        var cut: (since: Int, until: Int)?
        /// The pool's connections by the server's number; those being dialled have none yet.
        var up: Set<Int> = []
        var dialling: [Int] = []
        var closing: [Int] = []
        var limit = 0
        var watch: Int?
        var round: Round?
        var nextRound = 0
        /// How many connections its clients keep busy, and for how many steps each, about.
        var demand = 0
        var leaseTime = 1

        var open: Int { up.count + dialling.count + closing.count }
    }

    let budget: Int
    let configuration: FleetShare.Configuration
    var random: SplitMix64
    var step = 0
    var members: [Member] = []
    var connections: [Int: Connection] = [:]
    var lockHolder: (owner: Int, since: Int)?
    /// The most connections that the server has had, and the most that it had or that were claimed.
    var most = 0
    var mostHeld = 0
    private var nextNumber = 0

    init(_ configuration: FleetShare.Configuration, seed: UInt64) {
        budget = configuration.budget
        self.configuration = configuration
        random = SplitMix64(seed: seed)
    }

    var now: Instant { Instant(nanoseconds: Int64(step) * 10_000_000) }

    private mutating func soon(_ steps: ClosedRange<Int>) -> Int { step + Int.random(in: steps, using: &random) }

    // MARK: What happens to gateways

    mutating func join(poolSize: Int) {
        let share = FleetShare(id: "g\(members.count)", configuration, poolSize: poolSize)
        var member = Member(share: share)
        member.nextRound = step + 1
        members.append(member)
    }

    /// SIGKILL: the server notices one connection after the other.
    mutating func kill(_ place: Int) {
        members[place].isAlive = false
        for number in numbers(of: place) { end(number, at: soon(0...150)) }
    }

    mutating func freeze(_ place: Int, for steps: Int) { members[place].frozenUntil = step + steps }

    mutating func cut(_ place: Int, for steps: Int) {
        members[place].cut = (step, step + steps)
        // The server's keepalives.
        for number in numbers(of: place) { connections[number]?.endsAt = step + 1_400 }
    }

    /// An administrator ends the connection by which it looks.
    mutating func endWatch(_ place: Int) {
        if let watch = members[place].watch { connections[watch] = nil }
    }

    private mutating func end(_ number: Int, at step: Int) {
        let earlier = connections[number]?.endsAt ?? .max
        connections[number]?.endsAt = min(earlier, step)
    }

    private func numbers(of place: Int) -> [Int] { connections.filter { $0.value.owner == place }.keys.sorted() }

    // MARK: Time

    mutating func advance() {
        step += 1
        for (number, connection) in connections where connection.endsAt.map({ $0 <= step }) == true {
            connections[number] = nil
        }
        if let holder = lockHolder {
            // idle_in_transaction_session_timeout, and the end of its connection.
            let watch = members[holder.owner].watch.flatMap { connections[$0] == nil ? nil : $0 }
            if watch == nil {
                lockHolder = nil
            } else if step - holder.since > 500, let watch {
                connections[watch] = nil
                lockHolder = nil
            }
        }
        for place in members.indices.shuffled(using: &random) where members[place].isAlive {
            advance(place)
        }
        most = max(most, connections.count)
        mostHeld = max(mostHeld, held)
    }

    /// What others must take for granted.
    var held: Int {
        Dictionary(grouping: connections.values, by: \.owner).values.reduce(0) { sum, connections in
            sum + max(connections.count, connections.compactMap(\.claim?.claim).max() ?? 0)
        }
    }

    private func isCut(_ place: Int) -> Bool { members[place].cut != nil }

    private mutating func advance(_ place: Int) {
        if let cut = members[place].cut {
            if step >= cut.until { heal(place) } else if step == cut.since + 400 { loseAll(place) }
        }
        guard step >= members[place].frozenUntil else { return }
        if let watch = members[place].watch, connections[watch] == nil, !isCut(place) { loseWatch(place) }
        runPool(place)
        runRound(place)
    }

    /// tcp_user_timeout here; the server has its ends still.
    private mutating func loseAll(_ place: Int) {
        members[place].up = []
        members[place].closing = []
        loseWatch(place)
    }

    private mutating func loseWatch(_ place: Int) {
        members[place].watch = nil
        members[place].round = nil
        members[place].nextRound = soon(1...100)
        members[place].share.lost()
        members[place].limit = members[place].share.size
    }

    private mutating func heal(_ place: Int) {
        members[place].cut = nil
        let own = members[place].up.union(members[place].watch.map { [$0] } ?? []).union(members[place].closing)
        for number in numbers(of: place) {
            if own.contains(number), !members[place].closing.contains(number) {
                connections[number]?.endsAt = nil
            } else {
                // The next keepalive is answered by a reset.
                end(number, at: soon(0...300))
            }
        }
    }

    // MARK: The pool

    private mutating func runPool(_ place: Int) {
        members[place].closing.removeAll { connections[$0] == nil }
        members[place].up = members[place].up.filter { isCut(place) || connections[$0] != nil }
        if Int.random(in: 0..<50, using: &random) == 0 {
            members[place].demand =
                Int.random(in: 0..<4, using: &random) > 0 ? budget : Int.random(in: 0...budget, using: &random)
            members[place].leaseTime = [1, 4, 40].randomElement(using: &random) ?? 1
        }
        let arrived = members[place].dialling.filter { $0 <= step }
        members[place].dialling.removeAll { $0 <= step }
        for due in arrived {
            // Nobody answers, or its process stood still meanwhile: it is given up.
            if isCut(place) || step - due > 300 { continue }
            members[place].up.insert(connect(place))
        }
        let serving = members[place].up.count + members[place].dialling.count
        if serving > members[place].limit, let number = members[place].up.min(),
            Int.random(in: 0..<members[place].leaseTime, using: &random) == 0
        {
            members[place].up.remove(number)
            members[place].closing.append(number)
            if !isCut(place) { end(number, at: soon(0...10)) }
        } else if members[place].open < min(members[place].limit, members[place].demand),
            now < members[place].share.dialsUntil
        {
            members[place].dialling.append(soon(1...8))
        }
    }

    private mutating func connect(_ owner: Int, claim: (Int, Int)? = nil) -> Int {
        nextNumber += 1
        connections[nextNumber] = Connection(owner: owner, claim: claim)
        return nextNumber
    }

    private func holding(_ place: Int) -> FleetShare.Holding {
        let member = members[place]
        let made = member.up.count + member.closing.count
        return .init(made: made, open: member.open, most: max(member.open, member.limit))
    }

    // MARK: A look

    private mutating func runRound(_ place: Int) {
        guard let round = members[place].round else {
            if step >= members[place].nextRound { begin(place) }
            return
        }
        switch round {
        case .dialling(let end):
            guard step >= end else { return }
            guard !isCut(place) else { return fail(place) }
            let claim = (members[place].share.firstClaim(holding(place)), members[place].share.want)
            members[place].watch = connect(place, claim: claim)
            members[place].round = .looking(at: soon(0...3), unlocked: nil, patience: step + 200)
        case .looking(let at, let unlocked, let patience):
            guard step >= at else { return }
            let isLocked = unlocked != nil
            guard !isCut(place), !isLocked || lockHolder == nil else {
                if step < patience { return }
                // Somebody else holds the lock.
                guard let unlocked, !isCut(place) else { return fail(place) }
                members[place].round = .showing(at: soon(0...5), unlocked, isLocked: false)
                return
            }
            if isLocked { lockHolder = (place, step) }
            members[place].round = .deciding(
                at: soon(0...5), sightings(for: place), holding(place), asked: at, isLocked: isLocked)
        case .deciding(let at, let sightings, let before, let asked, let isLocked):
            guard step >= at else { return }
            let after = holding(place)
            let holding = FleetShare.Holding(
                made: min(before.made, after.made), open: max(before.open, after.open),
                most: max(before.most, after.most))
            let order = members[place].share.looked(
                sightings, holding, isLocked: isLocked,
                asked: Instant(nanoseconds: Int64(asked) * 10_000_000))
            if order.mayGrow {
                members[place].round = .looking(at: soon(0...3), unlocked: order, patience: step + 100)
            } else {
                members[place].round = .showing(at: soon(0...5), order, isLocked: isLocked)
            }
        case .showing(let at, let order, let isLocked):
            guard step >= at else { return }
            guard !isCut(place) else {
                if step >= at + 200 { fail(place) }
                return
            }
            if let watch = members[place].watch { connections[watch]?.claim = (order.claim, order.want) }
            if isLocked, lockHolder?.owner == place { lockHolder = nil }
            members[place].share.shown(order)
            members[place].limit = order.size
            members[place].round = nil
            members[place].nextRound = step + (order.isSettled ? 100 : 25)
        }
    }

    private mutating func begin(_ place: Int) {
        members[place].round =
            members[place].watch == nil
            ? .dialling(until: soon(1...8)) : .looking(at: soon(0...3), unlocked: nil, patience: step + 200)
    }

    private mutating func fail(_ place: Int) {
        if members[place].watch == nil {
            members[place].share.lost()
        } else {
            members[place].share.lookFailed(now: now)
        }
        members[place].limit = members[place].share.size
        members[place].round = nil
        members[place].nextRound = step + 100
    }

    private func sightings(for place: Int) -> [FleetShare.Sighting] {
        members.indices.compactMap { other in
            let own = connections.filter { $0.value.owner == other }
            if own.isEmpty { return nil }
            let claims = own.filter { other != place || $0.key == members[place].watch }.compactMap(\.value.claim)
            return FleetShare.Sighting(
                id: "g\(other)", claim: claims.map(\.claim).max(), want: claims.map(\.want).max() ?? 0,
                connections: own.count)
        }
    }
}
