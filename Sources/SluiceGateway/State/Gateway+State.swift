internal import Glibc
internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceTopology

extension Gateway {
    /// What it is and does just now; nil once it has stopped. Each lane is asked once, so this waits for the slowest of
    /// them.
    package func state() async -> GatewayState? { await reports.pass { await report() } }

    private func report() async -> GatewayState {
        let now = house.now
        let topology = house.shared.topology
        let lanes = await house.lanes.concurrentMap { await LaneReport($0) }
        var shards = house.shardStates(topology, lanes, now: now)
        for number in shards.indices {
            guard let watch = self.topology.watch(shards[number].name) else { continue }
            let report = GatewayState.Topology(watch.report(now: now))
            shards[number].topology = report
            // Where the source leads, a server's own word is not enough.
            if report.isFenced { shards[number].primary = report.writable }
        }
        let serving = Set(shards.filter(\.isServing).map(\.name))
        let collections = topology.catalogue.numbered.map {
            collectionState($0, topology.catalogue, serving: serving)
        }
        return GatewayState(
            isReady: !isDraining && collections.allSatisfy(\.isReady), isDraining: isDraining, process: process,
            clients: clients, admission: admission,
            reactors: lanes.map { .init(lag: $0.lag.seconds) }, collections: collections, shards: shards,
            integrityFailures: integrityFailures)
    }

    private var process: GatewayState.Process {
        GatewayState.Process(
            version: Version.current, startedAt: Double(WallClock.seconds()) - uptime.seconds, uptime: uptime.seconds,
            residentBytes: ProcessFacts.residentBytes, cpuTime: ProcessFacts.cpuTime)
    }

    private var clients: GatewayState.Clients {
        let counts = registry.counts
        let memory = house.shared.memory
        return GatewayState.Clients(
            sessions: counts.open, maxSessions: config.limits.maxSessions, sessionsOpened: counts.opened,
            sessionsRefused: counts.refused, receivedBytes: traffic.received, sentBytes: traffic.sent,
            heldBytes: memory.held, maxHeldBytes: memory.limit, pausedSessions: memory.stoppedCount)
    }

    private var admission: GatewayState.Admission? {
        guard config.admission.enabled else { return nil }
        let machine = house.shared.admission.snapshot
        return .init(running: machine.inFlight, limit: machine.currentLimit, waiting: machine.waiting)
    }
}

/// What one lane says of itself.
private struct LaneReport: Sendable {
    var pools: [PoolState]
    var lag: Duration

    init(_ lane: SearchLane) async {
        let asked = lane.executor.now()
        (pools, lag) = await lane.report(asked: asked)
    }
}

extension House {
    /// Every shard with its replicas; a server that has several names has one pool, which each of them shows.
    fileprivate func shardStates(
        _ topology: Topology, _ lanes: [LaneReport], now: Instant
    ) -> [GatewayState.Shard] {
        let (transports, versions) = (transports, versions)
        return zip(topology.catalogue.shards, topology.shards).map { shard, state in
            let machine = state.snapshot
            let replicas = zip(shard.replicas, machine.replicas).enumerated().map { place, pair in
                let (replica, state) = pair
                var report = GatewayState.Replica(replica.name, state, now: now)
                report.lag = state.role == .primary ? 0 : machine.staleness.bound(of: place, now: now)?.seconds
                report.lagBytes = state.role == .primary ? 0 : machine.staleness.bytesBehind(place)
                report.fleet = (fleet?.member(of: replica.backend)?.report).map {
                    .init(budget: $0.budget, gateways: $0.gateways)
                }
                if transports.indices.contains(replica.backend) {
                    report.transport = transports[replica.backend].facts.map(GatewayState.Transport.init)
                }
                if versions.indices.contains(replica.backend) {
                    report.versions = versions[replica.backend].versions.map {
                        .init(postgresql: $0.postgres, pgvector: $0.vector)
                    }
                }
                for lane in lanes where lane.pools.indices.contains(replica.backend) {
                    report.pool.add(lane.pools[replica.backend])
                }
                return report
            }
            var primary: String?
            if case .found(let place, _) = machine.primary { primary = shard.replicas[place].name }
            return GatewayState.Shard(
                name: shard.name, primary: primary, isInConflict: machine.isInConflict, conflicts: machine.conflicts,
                extraAttempts: machine.extraAttempts, refusedExtraAttempts: machine.refusedExtraAttempts,
                replicas: replicas)
        }
    }
}

extension GatewayState.Replica {
    fileprivate init(_ name: String, _ state: ShardMachine.State, now: Instant) {
        let (breaker, cause): (GatewayState.BreakerState, BreakerMachine.Cause?) =
            switch state.breaker.position {
            case .closed: (.closed, nil)
            // Its time is over: it is half open as soon as somebody tries.
            case .open(let cause): (state.breaker.isOpen(now: now) ? .open : .halfOpen, cause)
            case .halfOpen(let cause): (.halfOpen, cause)
            }
        self.init(
            name: name, role: "\(state.role)", isReachable: state.isReachable, isDrained: state.isDrained,
            breaker: breaker, breakerCause: cause?.rawValue, latency: state.latency.latency(now: now)?.seconds,
            inFlight: state.inFlight, settling: state.settling, pool: .init())
    }
}

extension GatewayState.Transport {
    fileprivate init(_ facts: TransportFacts) {
        self.init(
            isEncrypted: facts.encryption != nil, tlsVersion: facts.encryption?.version,
            cipher: facts.encryption?.cipher,
            certificateExpires: (facts.encryption?.certificate?.expiry).map(Double.init))
    }
}

extension GatewayState.Pool {
    /// Adds a lane's slice.
    fileprivate mutating func add(_ slice: PoolState) {
        idle += slice.occupancy.idle
        leased += slice.occupancy.leased
        dialling += slice.occupancy.dialling
        closing += slice.occupancy.closing
        backingOff += slice.occupancy.backingOff
        waiting += slice.occupancy.waiting
        limit += slice.occupancy.limit
        leases += slice.counters.leases
        waits += slice.counters.waits
        dials += slice.counters.dials
        dialFailures += slice.counters.dialFailures
        expired += slice.counters.expired
        refused += slice.counters.refused
    }
}

extension Duration {
    var seconds: Double { self / .seconds(1) }
}

extension Array where Element: Sendable {
    /// Asks all at the same time; the answers in the elements' order.
    func concurrentMap<Answer: Sendable>(_ ask: @escaping @Sendable (Element) async -> Answer) async -> [Answer] {
        await withTaskGroup(of: (Int, Answer).self) { group in
            for (place, element) in enumerated() { group.addTask { (place, await ask(element)) } }
            var answers: [Int: Answer] = [:]
            for await (place, answer) in group { answers[place] = answer }
            return indices.compactMap { answers[$0] }
        }
    }
}

/// What the system knows of this process.
enum ProcessFacts {
    /// The second number of /proc/self/statm is its resident pages (proc(5)).
    static var residentBytes: Int? {
        guard let file = fopen("/proc/self/statm", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 128)
        guard fgets(&line, Int32(line.count), file) != nil else { return nil }
        let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            .split(separator: " ")
        guard words.count > 1, let pages = Int(words[1]) else { return nil }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    /// Of all its threads, in seconds.
    static var cpuTime: Double {
        var usage = rusage()
        guard getrusage(RUSAGE_SELF.rawValue, &usage) == 0 else { return 0 }
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }
}
