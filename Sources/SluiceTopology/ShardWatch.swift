package import Logging
package import SluiceCore
internal import Synchronization

/// Follows one shard's source of topology, and knows at every moment what came of it.
package final class ShardWatch: Sendable {
    /// The numeric addresses of a name, empty if there are none; nil if they are not known in time.
    package typealias NameLookUp = @Sendable (_ name: String, _ within: Duration) async -> [String]?

    package struct Report: Hashable, Sendable {
        package var verdict: ShardTopology.Verdict
        /// Nil before the source was heard.
        package var age: Duration?
        package var highestTimeline: UInt32
        /// Of which cluster that is; nil while it is not known.
        package var systemIdentifier: UInt64?
        package var members: [ClusterMember]
        package var complaints: [String]
        package var refusals: [WriteRefusal: UInt64]
        /// Who may be written to is the source's to say.
        package var isFenced: Bool
        package var source: SourceReport
    }

    private struct State {
        var machine: ShardTopology
        var ledger: SourceLedger
        var refusals: [WriteRefusal: UInt64] = [:]
        /// What is wrong with the state file.
        var fileComplaint: String?
        /// What was to be written down last could not be.
        var isUnwritten = false
        /// What the log has said last.
        var logged: ShardTopology.Verdict?
        var loggedComplaints: [String] = []
        var isHeard = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    package let shard: String
    package let settings: TopologySettings
    let now: @Sendable () -> Instant
    let names: NameLookUp
    let logger: Logger
    let tls: SourceTLS
    private let file: StateWriter?
    private let keepsState: Atomic<Bool>
    private let onRound: @Sendable (_ hasOtherPlaces: Bool) -> Void
    private let state: Mutex<State>

    /// - Parameters:
    ///   - memory: what was known of the shard before, by whatever source: its timeline and members are kept.
    ///   - keepsState: false until it is told to: the state file is read only.
    ///   - now: of a monotonic clock.
    ///   - onRound: called after each round, on any thread: whether other servers are members, or they are elsewhere.
    package init(
        shard: String, _ settings: TopologySettings, after memory: StateFile.Content? = nil, keepsState: Bool = true,
        logger: Logger,
        names: @escaping NameLookUp, now: @escaping @Sendable () -> Instant,
        onRound: @escaping @Sendable (_ hasOtherPlaces: Bool) -> Void
    ) {
        self.shard = shard
        self.settings = settings
        self.now = now
        self.names = names
        var logger = logger
        logger[metadataKey: "shard"] = "\(shard)"
        self.logger = logger
        tls = SourceTLS(settings.certificates, logger: logger)
        self.onRound = onRound
        let file = settings.stateFile.map { StateFile(path: $0, shard: shard) }
        self.file = file.map { StateWriter($0) }
        self.keepsState = Atomic(keepsState)
        var content = StateFile.Content()
        var complaint: String?
        do throws(UnreadableAnswer) { content = try file?.read() ?? content } catch {
            complaint = "the state file cannot be used, earlier timelines are not known: \(error)"
            logger.error("\(complaint ?? "")")
        }
        if let memory, !memory.members.isEmpty { content.members = memory.members }
        var machine = ShardTopology(
            settings.machine, highestTimeline: content.timeline, systemIdentifier: content.systemIdentifier,
            members: content.members)
        if let memory { machine.remembered(timeline: memory.timeline, systemIdentifier: memory.systemIdentifier) }
        state = Mutex(
            State(machine: machine, ledger: SourceLedger(settings.witnesses), fileComplaint: complaint))
    }

    /// What is known by what followed the shard before.
    package func remember(_ memory: StateFile.Content) {
        state.withLock {
            $0.machine.remembered(timeline: memory.timeline, systemIdentifier: memory.systemIdentifier)
        }
    }

    /// From now on this keeps the shard's state file.
    package func beginKeeping() {
        keepsState.store(true, ordering: .relaxed)
        keep()
    }

    // MARK: What others ask

    /// What must not be forgotten of the shard.
    package var memory: StateFile.Content { state.withLock { StateFile.Content($0.machine) } }

    /// Where the members are, or were last.
    package var places: [MemberPlace] { state.withLock(\.machine.places) }

    package func verdict(now: Instant) -> ShardTopology.Verdict { state.withLock { $0.machine.verdict(now: now) } }

    package var named: MemberPlace? { state.withLock(\.machine.named) }

    /// Of which cluster the shard is; nil while it is not known.
    package var systemIdentifier: UInt64? { state.withLock(\.machine.systemIdentifier) }

    /// As `ShardTopology.refusal`; what the server says of itself is taken note of.
    package func refusal(
        of place: MemberPlace, on timeline: UInt32, systemIdentifier: UInt64? = nil, now: Instant
    ) -> WriteRefusal? {
        let (refusal, hasNews) = state.withLock { state in
            let hasNews = state.machine.serverSaid(place, timeline: timeline, systemIdentifier: systemIdentifier)
            let refusal = state.machine.refusal(
                of: place, on: timeline, systemIdentifier: systemIdentifier, now: now)
            return (refusal, hasNews)
        }
        if hasNews { keep() }
        return refusal
    }

    package func noteRefusal(_ refusal: WriteRefusal) { state.withLock { $0.refusals[refusal, default: 0] &+= 1 } }

    package func report(now: Instant) -> Report {
        state.withLock { state in
            Report(
                verdict: state.machine.verdict(now: now), age: state.machine.age(now: now),
                highestTimeline: state.machine.highestTimeline,
                systemIdentifier: state.machine.systemIdentifier, members: state.machine.members,
                complaints: (state.fileComplaint.map { [$0] } ?? [])
                    + state.machine.complaints(now: now, isFenced: false),
                refusals: state.refusals, isFenced: settings.namesLeader,
                source: SourceReport(settings, state.machine, state.ledger, now: now))
        }
    }

    /// Returns when the source has been heard or has failed once, or has been told to stop.
    package func awaitFirst() async {
        await withCheckedContinuation { continuation in
            let isHeard = state.withLock { state in
                if !state.isHeard { state.waiters.append(continuation) }
                return state.isHeard
            }
            if isHeard { continuation.resume() }
        }
    }

    // MARK: What the source says

    func isSettled(_ statements: [ShardTopology.Statement], of witnesses: Int) -> Bool {
        state.withLock { $0.machine.isSettled(statements, of: witnesses) }
    }

    /// A round has ended.
    func take(_ statements: [ShardTopology.Statement], silences: [ShardTopology.Silence], asked: Instant) {
        let (change, lines, isUnwritten) = state.withLock { state in
            let change = state.machine.observed(statements, silences: silences, asked: asked)
            state.ledger.roundEnded(statements, silences: silences, asked: asked)
            state.ledger.followed(leader: state.machine.leader, hasOtherPlaces: change.hasOtherPlaces)
            return (change, news(&state), state.isUnwritten)
        }
        for line in lines { logger.log(level: line.level, "\(line.text)") }
        // A disk that was full may have room by now.
        if change.hasOtherPlaces || change.hasRisenTimeline || change.hasLearnedCluster || isUnwritten { keep() }
        // Whoever asks for the members from now on has the new ones.
        onRound(change.hasOtherPlaces)
        release()
    }

    /// Lets those go who wait for a first word.
    func release() {
        let waiters = state.withLock { state in
            state.isHeard = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// What has changed since the log was written last.
    private func news(_ state: inout State) -> [(level: Logger.Level, text: String)] {
        var lines: [(Logger.Level, String)] = []
        let verdict = state.machine.verdict(now: now())
        if settings.namesLeader, verdict != state.logged {
            switch verdict {
            case .writable(let place):
                lines.append((.notice, "\(place) is the leader, timeline \(state.machine.highestTimeline)"))
            case .refused(let refusal): lines.append((.warning, "the shard takes no writes: \(refusal.words)"))
            }
            state.logged = verdict
        }
        let complaints = state.machine.complaints(now: now(), isFenced: false)
        for complaint in complaints where !state.loggedComplaints.contains(complaint) {
            lines.append((.warning, "topology: \(complaint)"))
        }
        state.loggedComplaints = complaints
        return lines
    }

    /// Has what must survive a restart written down, soon.
    private func keep() {
        guard let file, keepsState.load(ordering: .relaxed) else { return }
        file.write(
            { self.memory },
            ended: { problem in
                let isNews = self.state.withLock { state in
                    defer { (state.fileComplaint, state.isUnwritten) = (problem, problem != nil) }
                    return problem != state.fileComplaint
                }
                if let problem, isNews { self.logger.error("\(problem)") }
            })
    }

    /// Returns when all that was to be written down has been, or could not be.
    func awaitKept() async { await file?.awaitIdle() }
}

extension StateFile.Content {
    fileprivate init(_ machine: ShardTopology) {
        self.init(
            timeline: machine.highestTimeline, systemIdentifier: machine.systemIdentifier, members: machine.places)
    }
}
