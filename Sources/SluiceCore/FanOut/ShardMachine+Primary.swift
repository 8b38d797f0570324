extension ShardMachine {
    /// A server has said what it is. What it said before something that is known already is of no interest any more.
    @discardableResult
    public mutating func roleProbed(_ replica: Int, _ report: ReplicaReport) -> PrimaryConflictChange? {
        guard replicas.indices.contains(replica), report.asked >= replicas[replica].asked else { return nil }
        replicas[replica].asked = report.asked
        replicas[replica].isSilent = false
        if replicas[replica].role != report.role { replicas[replica].timeline = nil }
        if let known = replicas[replica].incarnation, let said = report.incarnation, said != known {
            // Another server, or the same one made anew: it has to say again what it is.
            (replicas[replica].timeline, replicas[replica].systemIdentifier) = (nil, nil)
        }
        replicas[replica].role = report.role
        replicas[replica].timeline = report.timeline ?? replicas[replica].timeline
        replicas[replica].incarnation = report.incarnation ?? replicas[replica].incarnation
        replicas[replica].systemIdentifier = report.systemIdentifier ?? replicas[replica].systemIdentifier
        chooseCluster()
        // Another cluster's timelines and positions say nothing of this one's.
        if !isOfAnotherCluster(replica) {
            if report.role == .primary { latestTimeline = max(latestTimeline, report.timeline ?? 0) }
            staleness.reported(replica, report, latestTimeline: latestTimeline)
        }
        return findPrimary()
    }

    /// A server did not say what it is when it was asked: what it said before counts only where nobody contradicts.
    @discardableResult
    public mutating func lookFailed(_ replica: Int, asked: Instant) -> PrimaryConflictChange? {
        guard replicas.indices.contains(replica), asked >= replicas[replica].asked else { return nil }
        replicas[replica].isSilent = true
        return findPrimary()
    }

    /// Where the shard can be written to if something else says which replica is the leader: there, if its server says
    /// that it is a primary and no other of its cluster was seen on a later timeline. Others may say that they are it.
    /// - Parameter known: which cluster the shard's is by the same word, whatever most servers are of; nil if it says
    ///   nothing of that.
    public func primary(namedAs replica: Int, of known: UInt64? = nil) -> PrimaryChoice {
        guard replicas.indices.contains(replica), replicas[replica].isReachable else { return .none(.unreachable) }
        switch replicas[replica].role {
        case .standby: return .none(.onlyStandbys)
        case .unknown: return .none(.unknown)
        case .primary where isStranger(replica, to: known ?? systemIdentifier): return .none(.otherCluster)
        case .primary:
            guard let timeline = replicas[replica].timeline else { return .none(.unknown) }
            let latest = latestTimeline(of: replicas[replica].systemIdentifier)
            return timeline < latest ? .none(.demoted) : .found(replica: replica, timeline: timeline)
        }
    }

    /// The highest that a primary of this cluster was seen on; of one that is not most servers', only what those say
    /// that say now that they are primaries.
    public func latestTimeline(of cluster: UInt64?) -> UInt32 {
        guard let cluster, let systemIdentifier, cluster != systemIdentifier else { return latestTimeline }
        let primaries = replicas.filter { $0.role == .primary && $0.systemIdentifier == cluster }
        return primaries.compactMap(\.timeline).max() ?? 0
    }

    public var isInConflict: Bool { if case .conflict = primary { true } else { false } }

    /// Where the shard can be written to, anew. A server whose timeline another has left behind is never chosen,
    /// whatever it says and however alone it is: what it has is not what the shard has.
    mutating func findPrimary() -> PrimaryConflictChange? {
        let wasInConflict = isInConflict
        primary = choosePrimary()
        primaryPlaces = ReplicaSet()
        if case .found(let claimant, _) = primary {
            for place in replicas.indices where place == claimant || isSameServer(claimant, place) {
                primaryPlaces.insert(place)
            }
        }
        guard case .conflict(let claimants) = primary else { return wasInConflict ? .ended : nil }
        if wasInConflict { return nil }
        conflicts &+= 1
        return .began(claimants)
    }

    private func choosePrimary() -> PrimaryChoice {
        let claimants = self.claimants
        if claimants.count > 1 { return .conflict(claimants) }
        guard let claimant = claimants.first else { return .none(reasonForNoPrimary) }
        if isOfAnotherCluster(claimant) { return .none(.otherCluster) }
        guard let timeline = replicas[claimant].timeline else { return .none(.unknown) }
        return timeline < latestTimeline ? .none(.demoted) : .found(replica: claimant, timeline: timeline)
    }

    /// The one that more than half of the shard's servers are of. While there is no such one, it stays what it was, or
    /// is that of the first that says that it is the primary.
    private mutating func chooseCluster() {
        let said = replicas.compactMap(\.systemIdentifier)
        let most = said.first { one in said.count { $0 == one } * 2 > replicas.count }
        let first = replicas.first { $0.role == .primary && $0.systemIdentifier != nil }?.systemIdentifier
        guard let chosen = most ?? systemIdentifier ?? first, chosen != systemIdentifier else { return }
        let isAnother = systemIdentifier != nil
        systemIdentifier = chosen
        guard isAnother else { return }
        // A shard that was made anew, or one whose first server was a stranger: nothing that was seen is of it.
        staleness = StalenessTracker(replicas: replicas.count)
        let primaries = replicas.indices.filter { replicas[$0].role == .primary && !isOfAnotherCluster($0) }
        latestTimeline = primaries.compactMap { replicas[$0].timeline }.max() ?? 0
    }

    /// Its server says that it is of another cluster than most: somebody else's, or one that was restored apart.
    public func isOfAnotherCluster(_ replica: Int) -> Bool {
        replicas.indices.contains(replica) && isStranger(replica, to: systemIdentifier)
    }

    private func isStranger(_ replica: Int, to cluster: UInt64?) -> Bool {
        guard let said = replicas[replica].systemIdentifier, let cluster else { return false }
        return said != cluster
    }

    /// What it says of its cluster; nil if it has not said it.
    public func systemIdentifier(of replica: Int) -> UInt64? {
        replicas.indices.contains(replica) ? replicas[replica].systemIdentifier : nil
    }

    /// The servers, each by its first name, that say that they are the primary.
    private var claimants: [Int] {
        var servers: [Int] = []
        for place in replicas.indices where replicas[place].role == .primary && replicas[place].isReachable {
            if !servers.contains(where: { isSameServer($0, place) }) { servers.append(place) }
        }
        guard servers.count > 1 else { return servers }
        let heard = servers.filter { !replicas[$0].isSilent }
        return heard.isEmpty ? servers : heard
    }

    private func isSameServer(_ one: Int, _ other: Int) -> Bool {
        if replicas[one].places.contains(other) { return true }
        guard replicas[one].role == replicas[other].role, let incarnation = replicas[one].incarnation else {
            return false
        }
        guard incarnation == replicas[other].incarnation else { return false }
        // A dial does not tell it.
        guard let timeline = replicas[one].timeline, let another = replicas[other].timeline else { return true }
        return timeline == another
    }

    private var reasonForNoPrimary: NoPrimary {
        if replicas.allSatisfy({ !$0.isReachable }) { return .unreachable }
        return replicas.contains { $0.isReachable && $0.role == .unknown } ? .unknown : .onlyStandbys
    }
}
