/// How a shard's source of topology is doing, whatever it says.
public enum SourceCondition: String, Hashable, Sendable, CaseIterable {
    /// Nobody has answered since the gateway started.
    case unheard
    case current
    /// It answers; somebody of it does not, or says what cannot be.
    case impaired
    /// Nobody has answered when it was asked last, or that is too long ago: what is known is of before.
    case stale

    public var words: String {
        switch self {
        case .unheard: "its source has not answered yet"
        case .current: "its source answers"
        case .impaired: "its source answers, but not everything of it is as it should be"
        case .stale: "its source does not answer; what was known last is kept"
        }
    }
}

/// What became of the questions to each witness of a source, and how often what they say has changed. Pure: time is an
/// argument.
public struct SourceLedger: Hashable, Sendable {
    public struct Witness: Hashable, Sendable {
        public var name: String
        /// When the last round was begun in which it answered.
        public var answered: Instant?
        /// What it said then, in a few words.
        public var said: String?
        /// Why it did not answer, or with nothing that can be used, when it did so last; kept after it answers again.
        public var error: String?
        public var failed: Instant?
        /// It was asked in vain the last time.
        public var isSilent = false

        init(name: String) { self.name = name }
    }

    public private(set) var witnesses: [Witness]
    /// How often another was named leader, the first one included.
    public private(set) var leaderChanges: UInt64 = 0
    /// How often other servers were members, the first ones included.
    public private(set) var memberChanges: UInt64 = 0
    private var wasAnswered = false
    private var leader: MemberPlace?

    /// A witness that is not asked in every round is not called silent for ever because it was so once.
    private static let memory = Duration.seconds(60)

    /// - Parameter names: of the witnesses that there are, whether or not they will be asked.
    public init(_ names: [String]) {
        witnesses = names.prefix(ClusterReport.mostMembers).map(Witness.init)
    }

    // MARK: Events

    /// A round of questions has ended.
    /// - Parameter asked: when it was begun.
    public mutating func roundEnded(
        _ statements: [ShardTopology.Statement], silences: [ShardTopology.Silence], asked: Instant
    ) {
        wasAnswered = !statements.isEmpty
        for statement in statements {
            note(statement.witness) {
                ($0.answered, $0.said, $0.isSilent) = (asked, statement.report.words, false)
            }
        }
        for silence in silences {
            note(silence.witness) { ($0.failed, $0.error, $0.isSilent) = (asked, silence.reason, true) }
        }
    }

    /// What has come of the round.
    public mutating func followed(leader: MemberPlace?, hasOtherPlaces: Bool) {
        if hasOtherPlaces { memberChanges &+= 1 }
        guard let leader, leader != self.leader else { return }
        self.leader = leader
        leaderChanges &+= 1
    }

    private mutating func note(_ name: String, _ change: (inout Witness) -> Void) {
        if let place = witnesses.firstIndex(where: { $0.name == name }) { return change(&witnesses[place]) }
        guard witnesses.count < ClusterReport.mostMembers else { return }
        var witness = Witness(name: name)
        change(&witness)
        witnesses.append(witness)
    }

    // MARK: What follows

    /// - Parameters:
    ///   - age: since the last round that was answered was begun; nil before the first.
    ///   - bound: a source that is asked as it should be is never older.
    ///   - hasComplaints: something of what it says cannot be.
    public func condition(age: Duration?, bound: Duration, hasComplaints: Bool, now: Instant) -> SourceCondition {
        guard let age else { return .unheard }
        guard wasAnswered, age <= bound else { return .stale }
        let isPartly = witnesses.contains { witness in
            guard witness.isSilent, let failed = witness.failed else { return false }
            return failed.duration(to: now) <= Self.memory
        }
        return isPartly || hasComplaints ? .impaired : .current
    }
}

extension ClusterReport {
    /// `leader n1, 3 members, timeline 4`
    public var words: String {
        let leader =
            switch leaders.count {
            case 0: "no leader"
            case 1: "leader \(leaders[0])"
            default: "leaders \(leaders.prefix(4).joined(separator: " and "))"
            }
        let timeline = members.compactMap(\.timeline).max().map { ", timeline \($0)" } ?? ""
        return "\(leader), \(members.count) \(members.count == 1 ? "member" : "members")\(timeline)"
    }
}
