internal import SluiceCore

/// One PostgreSQL server. It does as it is told, and knows of no other leader.
struct SimulatedServer {
    struct Entry {
        var write: Int
        var at: Instant
    }

    var isUp = true
    var isPrimary = false
    var timeline: UInt32 = 1
    /// Another one after each start.
    var incarnation: UInt64
    var log: [Entry] = []
    /// The member that it streams from.
    var upstream: Int?
    /// How far it is behind that.
    var lag: Duration
    /// Its commits wait for this one.
    var waitsFor: Int?
    /// What was planned before it last changed does not happen.
    var epoch = 0
    var isPromoting = false
}

struct SimulatedAgent {
    var isAlive = true
    var isFrozen = false
    /// When it last renewed the leader's key.
    var renewed = Instant(nanoseconds: 0)
    var epoch = 0

    var isAwake: Bool { isAlive && !isFrozen }
}

/// A shard's servers, their agents, and what the store has of them.
struct SimulatedCluster {
    /// What a member's agent has written of it last.
    struct MemberKey: Hashable {
        var timeline: UInt32 = 1
        var isRunning = true
    }

    var servers: [SimulatedServer]
    var agents: [SimulatedAgent]
    /// Who has the leader's key.
    var leader: Int?
    var keyEpoch = 0
    /// The key of synchronous mode: the leader that it is of, and the standby that has all that was answered there.
    var synchronousLeader = 0
    var synchronousStandby: Int?
    /// Commits wait for it by now; it may not have yet what came before.
    var joining: (member: Int, since: Instant)?
    var keys: [MemberKey]
    var highestTimeline: UInt32 = 1
    /// What the store had, and from when on.
    private(set) var versions: [(at: Instant, statement: ShardTopology.Statement)] = []
    /// Who had the leader's key, and from when on.
    private(set) var leaders: [(from: Instant, member: Int?)] = []
    /// Since when its leader can be written to.
    var wellSince: Instant?

    init(replicas: Int, now: Instant, using random: inout SplitMix64) {
        servers = (0..<replicas).map { member in
            SimulatedServer(
                incarnation: random.next(), upstream: member == 0 ? nil : 0,
                lag: .milliseconds(Int.random(in: 1...200, using: &random)))
        }
        servers[0].isPrimary = true
        agents = Array(repeating: SimulatedAgent(), count: replicas)
        keys = Array(repeating: MemberKey(), count: replicas)
        lead(0, now: now)
    }

    // MARK: Replication

    /// A standby has got what its upstream had some time ago.
    mutating func receive(_ member: Int, now: Instant) {
        guard let upstream = servers[member].upstream, servers[member].isUp, servers[upstream].isUp else { return }
        let horizon = now.advanced(by: .zero - servers[member].lag)
        while servers[member].log.count < servers[upstream].log.count {
            let entry = servers[upstream].log[servers[member].log.count]
            if entry.at > horizon { return }
            servers[member].log.append(entry)
        }
    }

    /// Before something happens to the server that others stream from.
    mutating func receiveAll(from upstream: Int, now: Instant) {
        for member in servers.indices where servers[member].upstream == upstream { receive(member, now: now) }
    }

    /// A standby streams from the leader; what it has and that one does not is rewound.
    mutating func follow(_ member: Int, now: Instant) {
        guard let leader, leader != member, servers[leader].isUp, servers[leader].isPrimary, servers[member].isUp,
            !servers[member].isPrimary, !servers[member].isPromoting,
            servers[member].upstream != leader || servers[member].timeline != servers[leader].timeline
        else { return }
        receive(member, now: now)
        while let last = servers[member].log.last {
            let place = servers[member].log.count - 1
            if place < servers[leader].log.count, servers[leader].log[place].write == last.write { break }
            servers[member].log.removeLast()
        }
        servers[member].upstream = leader
        servers[member].timeline = servers[leader].timeline
    }

    func streams(_ member: Int, from leader: Int) -> Bool {
        servers[member].isUp && servers[leader].isUp && servers[member].upstream == leader
            && servers[member].timeline == servers[leader].timeline
    }

    /// Whether this member may take the key: nobody who can be asked has more.
    mutating func mayLead(_ member: Int, isSynchronous: Bool, now: Instant) -> Bool {
        guard servers[member].isUp, servers[member].timeline == highestTimeline else { return false }
        if isSynchronous { return member == synchronousLeader || member == synchronousStandby }
        receive(member, now: now)
        for other in servers.indices where other != member && agents[other].isAwake && servers[other].isUp {
            receive(other, now: now)
            if servers[other].timeline == highestTimeline, servers[other].log.count > servers[member].log.count {
                return false
            }
        }
        return true
    }

    // MARK: The store

    mutating func lead(_ member: Int?, now: Instant) {
        leader = member
        keyEpoch += 1
        leaders.append((now, member))
    }

    /// - Returns: false if nothing is new.
    mutating func publish(_ shard: Int, isSynchronous: Bool, now: Instant) -> Bool {
        let members = servers.indices.map { member in
            let isStandbyToWaitFor = isSynchronous && synchronousStandby == member
            return ClusterMember(
                Self.place(shard, member),
                role: leader == member ? .leader : isStandbyToWaitFor ? .synchronousStandby : .standby,
                isRunning: keys[member].isRunning, timeline: keys[member].timeline)
        }
        let report = ClusterReport(
            members: members, leaders: leader.map { [Self.place(shard, $0).name] } ?? [],
            isSynchronous: isSynchronous)
        if versions.last?.statement.report == report { return false }
        versions.append((now, .init("store", report)))
        return true
    }

    /// The newest version that was there at an instant.
    func version(at instant: Instant) -> Int { max(0, (versions.lastIndex { $0.at <= instant }) ?? 0) }

    /// Whether a member had the leader's key at any moment of a time that ends now.
    func hasLed(_ member: Int, since start: Instant) -> Bool {
        for span in leaders.reversed() {
            if span.member == member { return true }
            if span.from < start { return false }
        }
        return false
    }

    func isWell(isSynchronous: Bool) -> Bool {
        guard let leader, servers[leader].isUp, servers[leader].isPrimary, agents[leader].isAlive else { return false }
        // A leader's agent that stops right after the promotion has not said on which timeline that is; others have.
        guard keys[leader].timeline == servers[leader].timeline else { return false }
        guard isSynchronous else { return true }
        guard let standby = synchronousStandby, keys[standby].isRunning else { return false }
        return servers[leader].waitsFor == standby && streams(standby, from: leader)
    }

    // MARK: Names

    private static let firstPort = 5_432

    static func place(_ shard: Int, _ member: Int) -> MemberPlace {
        MemberPlace(name: "n\(member)", host: "s\(shard)", port: firstPort + member)
    }

    static func member(at place: MemberPlace) -> Int { place.port - firstPort }
}
