/// What is known of a shard's cluster, and who of it may be written to. Pure: time is an argument.
///
/// One or several witnesses are asked, in rounds. What more than half of those who answered say holds; what they
/// contradict each other about makes nobody writable. An outage keeps the members, and the leader for the lease.
///
/// The highest timeline that was ever agreed on, or that a leader's own server said, never goes back: a server on a
/// lower one has been left behind by a promotion, whoever calls it the leader. It counts within one cluster, which is
/// known by PostgreSQL's system identifier: what is said of another one is not believed, and raises nothing.
public struct ShardTopology: Sendable {
    public struct Configuration: Hashable, Sendable {
        /// How long the leader may be written to after the last round that named it was begun. Not longer than the
        /// time in which a cluster that nobody hears from can have promoted another.
        public var leaderLease: Duration
        /// Where synchronous mode is on, or not known to be off.
        public var requiresSynchronousStandby: Bool

        public init(leaderLease: Duration, requiresSynchronousStandby: Bool = false) {
            self.leaderLease = leaderLease
            self.requiresSynchronousStandby = requiresSynchronousStandby
        }
    }

    public struct Statement: Hashable, Sendable {
        public var witness: String
        public var report: ClusterReport

        public init(_ witness: String, _ report: ClusterReport) {
            self.witness = witness
            self.report = report
        }
    }

    /// A witness that said nothing, or nothing that can be read.
    public struct Silence: Hashable, Sendable {
        public var witness: String
        public var reason: String

        public init(_ witness: String, _ reason: String) {
            self.witness = witness
            self.reason = reason
        }
    }

    public enum Verdict: Hashable, Sendable {
        case writable(MemberPlace)
        case refused(WriteRefusal)
    }

    public struct Change: Hashable, Sendable {
        /// Other servers are served, or the same ones elsewhere.
        public var hasOtherPlaces = false
        public var hasRisenTimeline = false
        /// Which cluster it is has become known.
        public var hasLearnedCluster = false
    }

    private enum Claim: Hashable {
        case leader(MemberPlace)
        case refused(WriteRefusal)
    }

    public private(set) var configuration: Configuration
    /// By name. The last ones that were known, also while the source is silent.
    public private(set) var members: [ClusterMember]
    /// Never goes back, within its cluster.
    public private(set) var highestTimeline: UInt32
    /// Of which cluster that is; nil until anybody has said it. It never becomes another's.
    public private(set) var systemIdentifier: UInt64?
    /// When the last round was begun that anybody answered.
    public private(set) var heard: Instant?
    public private(set) var isSynchronous: Bool?
    private var claim = Claim.refused(.unheard)
    /// What the leader's own server said.
    private var ownWord: (place: MemberPlace, timeline: UInt32)?
    /// The leader's own server, if it is of another cluster.
    private var strangeServer: (place: MemberPlace, systemIdentifier: UInt64)?
    private var roundComplaints: [String] = []

    private static let mostComplaints = 16

    /// - Parameters:
    ///   - highestTimeline: from before a restart; 0 for none.
    ///   - systemIdentifier: the same, of the cluster.
    ///   - members: the same: whom to serve until the source is heard.
    public init(
        _ configuration: Configuration, highestTimeline: UInt32 = 0, systemIdentifier: UInt64? = nil,
        members: [MemberPlace] = []
    ) {
        self.configuration = configuration
        self.highestTimeline = highestTimeline
        self.systemIdentifier = systemIdentifier
        self.members = members.sorted { $0.name < $1.name }.map { ClusterMember($0, role: .standby, isRunning: false) }
    }

    public var places: [MemberPlace] { members.map(\.place) }

    /// Whom the witnesses have agreed on, whether or not it may be written to.
    public var leader: MemberPlace? { if case .leader(let place) = claim { place } else { nil } }

    /// By the source, or by its own server if that is later; nil if nobody has said it.
    public var leaderTimeline: UInt32? { leader.flatMap(timeline(of:)) }

    /// Something of what was said in the last round cannot be, or somebody did not answer.
    public var hasComplaints: Bool { !roundComplaints.isEmpty }

    // MARK: Events

    /// A round of questions has ended.
    /// - Parameters:
    ///   - statements: one of each witness that answered.
    ///   - silences: the others.
    ///   - asked: when the round was begun: what was said was true then or later. One that was begun before the last
    ///     one that is known changes nothing.
    @discardableResult
    public mutating func observed(
        _ statements: [Statement], silences: [Silence] = [], asked: Instant
    ) -> Change {
        if let heard, asked < heard { return Change() }
        roundComplaints = silences.map { "\($0.witness): \($0.reason)" }
        guard !statements.isEmpty else { return Change() }
        heard = asked
        let cluster = cluster(of: statements)
        let strangers = statements.filter { isOther($0.report, than: cluster) }
        for stranger in strangers { complain(of: stranger, cluster) }
        let statements = statements.filter { !isOther($0.report, than: cluster) }
        if cluster == nil, !strangers.isEmpty {
            claim = .refused(.disputed)
            return Change()
        }
        guard !statements.isEmpty else {
            claim = .refused(.otherCluster)
            return Change()
        }
        let (agreed, agreeing) = agreement(statements)
        claim = agreed
        note(statements, agreeing)
        let places = self.places
        let found = commonMembers(agreeing)
        // Who is there is as doubtful as who leads.
        let isAgreed = agreed != .refused(.disputed)
        if !found.isEmpty, isAgreed || members.isEmpty { members = found }
        isSynchronous = common(agreeing.map(\.report.isSynchronous)) ?? nil
        var change = Change(hasOtherPlaces: self.places != places)
        guard isAgreed else { return change }
        if systemIdentifier == nil, let said = common(agreeing.compactMap(\.report.systemIdentifier)) {
            systemIdentifier = said
            change.hasLearnedCluster = true
        }
        // Nobody may have said which cluster this timeline is of.
        if agreeing.contains(where: { $0.report.systemIdentifier == systemIdentifier }) {
            change.hasRisenTimeline = raise(to: found.compactMap(\.timeline).max() ?? 0)
        }
        return change
    }

    /// The server at a place has said on which timeline it writes, and of which cluster it is, if it could. It counts
    /// if that is the leader's.
    /// - Returns: there is something new to be kept.
    public mutating func serverSaid(
        _ place: MemberPlace, timeline: UInt32, systemIdentifier said: UInt64? = nil
    ) -> Bool {
        guard claim == .leader(place) else { return false }
        if let said, let systemIdentifier, said != systemIdentifier {
            strangeServer = (place, said)
            return false
        }
        strangeServer = nil
        let hasLearned = systemIdentifier == nil && said != nil
        systemIdentifier = systemIdentifier ?? said
        // An older connection's word may come later.
        let before = ownWord.flatMap { $0.place == place ? $0.timeline : nil } ?? 0
        ownWord = (place, max(timeline, before))
        return raise(to: timeline) || hasLearned
    }

    /// This was known before, or elsewhere. If it is another cluster's, that is the shard's.
    public mutating func remembered(timeline: UInt32, systemIdentifier known: UInt64? = nil) {
        if let known, let systemIdentifier, known != systemIdentifier {
            (self.systemIdentifier, highestTimeline) = (known, timeline)
            // Until the next round: this one was another cluster's.
            claim = .refused(.otherCluster)
            return
        }
        systemIdentifier = systemIdentifier ?? known
        _ = raise(to: timeline)
    }

    private mutating func raise(to timeline: UInt32) -> Bool {
        guard timeline > highestTimeline else { return false }
        highestTimeline = timeline
        return true
    }

    // MARK: What follows

    /// Who may be written to.
    public func verdict(now: Instant) -> Verdict {
        guard let heard else { return .refused(.unheard) }
        // Why nobody could be written to then says nothing of now, either.
        guard heard.duration(to: now) <= configuration.leaderLease else { return .refused(.silent) }
        let leader: MemberPlace
        switch claim {
        case .leader(let place): leader = place
        case .refused(let refusal): return .refused(refusal)
        }
        if let timeline = timeline(of: leader), timeline < highestTimeline { return .refused(.timelineBack) }
        if configuration.requiresSynchronousStandby, isSynchronous != false, !hasSynchronousStandby {
            return .refused(.noSynchronousStandby)
        }
        return .writable(leader)
    }

    /// Whom the source names, whether or not that may be written to.
    public var named: MemberPlace? {
        if case .leader(let place) = claim { place } else { nil }
    }

    /// Why a server that says that it is the primary on this timeline may not be written to; nil if it may.
    /// - Parameter said: of which cluster it is by its own word; nil if it does not say.
    public func refusal(
        of place: MemberPlace, on timeline: UInt32, systemIdentifier said: UInt64? = nil, now: Instant
    ) -> WriteRefusal? {
        switch verdict(now: now) {
        case .refused(let refusal): return refusal
        case .writable(let leader) where leader != place: return .notLeader
        case .writable:
            if let said, let systemIdentifier, said != systemIdentifier { return .otherCluster }
            return timeline < highestTimeline ? .timelineBack : nil
        }
    }

    /// The time since the last round that anybody answered was begun; nil before the first.
    public func age(now: Instant) -> Duration? { heard.map { max(.zero, $0.duration(to: now)) } }

    /// What is wrong, in words for people; the first ones.
    /// - Parameter isFenced: and that nobody may be written to.
    public func complaints(now: Instant, isFenced: Bool = true) -> [String] {
        var all = roundComplaints
        if isFenced, case .refused(let refusal) = verdict(now: now) {
            all.insert("nothing is written: \(refusal.words)", at: 0)
        }
        if let strangeServer, claim == .leader(strangeServer.place) {
            all.append(
                "the server of \(strangeServer.place.name) "
                    + words(of: strangeServer.systemIdentifier, than: systemIdentifier))
        }
        if configuration.requiresSynchronousStandby, isSynchronous == false {
            all.append("require_sync is set, and synchronous mode is off: commits wait for no standby")
        }
        return Array(all.prefix(Self.mostComplaints))
    }

    /// By the source, or by the server itself if that is later.
    private func timeline(of place: MemberPlace) -> UInt32? {
        let said = members.first { $0.place == place }?.timeline
        guard let ownWord, ownWord.place == place else { return said }
        return max(said ?? 0, ownWord.timeline)
    }

    private var hasSynchronousStandby: Bool {
        members.contains { $0.role == .synchronousStandby && $0.isRunning }
    }

    // MARK: Agreement

    /// More than half of all witnesses say the same of the leader already: the others cannot change what holds.
    public func isSettled(_ statements: [Statement], of witnesses: Int) -> Bool {
        let cluster = cluster(of: statements)
        var counts: [Claim: Int] = [:]
        for statement in statements where !isOther(statement.report, than: cluster) {
            counts[Self.claim(statement.report), default: 0] += 1
        }
        return counts.values.contains { $0 * 2 > witnesses }
    }

    /// The cluster that is the shard's: the one that is known, or else that more than half of these say that it is.
    private func cluster(of statements: [Statement]) -> UInt64? {
        systemIdentifier ?? common(statements.compactMap(\.report.systemIdentifier))
    }

    /// It says that it is another one's. Where none is the shard's yet, and they contradict each other, each is.
    private func isOther(_ report: ClusterReport, than cluster: UInt64?) -> Bool {
        report.systemIdentifier.map { $0 != cluster } ?? false
    }

    private mutating func complain(of stranger: Statement, _ cluster: UInt64?) {
        guard roundComplaints.count < Self.mostComplaints, let said = stranger.report.systemIdentifier else { return }
        roundComplaints.append("\(stranger.witness): \(words(of: said, than: cluster))")
    }

    private func words(of said: UInt64, than cluster: UInt64?) -> String {
        guard let cluster else { return "is of the cluster with the system identifier \(said), others of others" }
        return "is of another cluster, and is not believed: its system identifier is \(said), the shard's is "
            + "\(cluster). \(WriteRefusal.otherClusterRemedy)"
    }

    /// - Returns: what more than half of the witnesses say of the leader, and which they are; if there is no such
    ///   thing, that it is disputed, and all of them.
    private func agreement(_ statements: [Statement]) -> (Claim, [Statement]) {
        let claims = statements.map { Self.claim($0.report) }
        guard let agreed = common(claims) else { return (.refused(.disputed), statements) }
        return (agreed, zip(statements, claims).filter { $0.1 == agreed }.map(\.0))
    }

    private static func claim(_ report: ClusterReport) -> Claim {
        guard let leader = report.leaders.first else { return .refused(.noLeader) }
        guard Set(report.leaders).count == 1 else { return .refused(.twoLeaders) }
        if report.isStandbyCluster { return .refused(.standbyCluster) }
        let places = Set(report.members.filter { $0.name == leader }.map(\.place))
        // One name for two servers says no more than two names.
        if places.count > 1 { return .refused(.twoLeaders) }
        return places.first.map { .leader($0) } ?? .refused(.unlistedLeader)
    }

    /// What more than half of these are.
    private func common<Value: Hashable>(_ values: [Value]) -> Value? {
        var counts: [Value: Int] = [:]
        for value in values { counts[value, default: 0] += 1 }
        return counts.first { $0.value * 2 > values.count }?.key
    }

    /// The members that more than half of the statements have at the same place, by name. Of what is not said alike the
    /// more careful counts: a timeline that one of two makes up does not lock the shard.
    private func commonMembers(_ statements: [Statement]) -> [ClusterMember] {
        var said: [MemberPlace: [ClusterMember]] = [:]
        for statement in statements {
            var seen: Set<MemberPlace> = []
            for member in statement.report.members.prefix(ClusterReport.mostMembers)
            where seen.insert(member.place).inserted {
                said[member.place, default: []].append(member)
            }
        }
        let kept = said.filter { $0.value.count * 2 > statements.count }.map { place, words in
            ClusterMember(
                place, role: common(words.map(\.role)) ?? .standby, isRunning: common(words.map(\.isRunning)) ?? false,
                timeline: common(words.map(\.timeline)) ?? words.compactMap(\.timeline).min(),
                lag: words.compactMap(\.lag).max())
        }
        var names: Set<String> = []
        return kept.sorted { ($0.name, $0.place.host, $0.place.port) < ($1.name, $1.place.host, $1.place.port) }
            .filter { names.insert($0.name).inserted }
    }

    private mutating func note(_ statements: [Statement], _ agreeing: [Statement]) {
        let witnesses = Set(agreeing.map(\.witness))
        for statement in statements {
            if statement.report.members.isEmpty {
                roundComplaints.append("\(statement.witness): its cluster is empty; the members last known are kept")
            }
            if !witnesses.contains(statement.witness) {
                roundComplaints.append("\(statement.witness): contradicts the others: \(statement.report.words)")
            }
            roundComplaints += statement.report.complaints.map { "\(statement.witness): \($0)" }
        }
        if claim == .refused(.disputed) || claim == .refused(.twoLeaders) {
            for statement in statements {
                roundComplaints.append("\(statement.witness): \(statement.report.words)")
            }
        }
        roundComplaints = Array(roundComplaints.prefix(Self.mostComplaints))
    }
}
