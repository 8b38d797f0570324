internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor

/// Finds the server of a shard that may be written to, for commands that write without a pool.
struct PrimaryFinder: Sendable {
    struct Primary: Sendable {
        var replica: GatewayConfig.Replica
        var connection: PostgresConnection
        /// Whom the shard's source has named.
        var leader: MemberPlace?
        /// Why other replicas cannot be used.
        var messages: [String]
    }

    /// There is none, or not one.
    struct Missing: Error {
        /// Nobody says that it must not be written to.
        var isUnreachable: Bool
        var messages: [String]
    }

    let config: GatewayConfig
    let dialler: Dialler
    /// Of shards whose source says which server may be written to.
    let fences: [String: any WriteFence]

    /// Nil where no source says who may be written to.
    private func verdict(of shard: String) -> ShardTopology.Verdict? {
        fences[shard]?.verdict(now: Instant(nanoseconds: Reactor.now()))
    }

    /// False once the shard's source names another leader, or none.
    func isStill(_ leader: MemberPlace?, of shard: String) -> Bool {
        guard let leader else { return true }
        return verdict(of: shard) == .writable(leader)
    }

    /// Only the server that the shard's source names is asked, if there is one that does.
    func find(_ shard: GatewayConfig.Shard) async throws(Missing) -> Primary {
        switch verdict(of: shard.name) {
        case nil: return try await find(among: shard)
        case .refused(let refusal):
            throw Missing(
                isUnreachable: refusal == .unheard || refusal == .silent,
                messages: ["nothing is written: \(refusal.words)"])
        case .writable(let leader):
            var shard = shard
            shard.replicas.removeAll { $0.member != leader }
            var primary = try await find(among: shard)
            primary.leader = leader
            try await judge(primary, named: leader, of: shard.name)
            return primary
        }
    }

    /// What is named may be a name only: by its server's own word it may be left behind, or of another cluster.
    private func judge(_ primary: Primary, named leader: MemberPlace, of shard: String) async throws(Missing) {
        let words: ServerState
        do throws(PostgresFailure) {
            let limit = Instant(nanoseconds: Reactor.now()).advanced(by: config.pool.connectTimeout)
            words = try await primary.connection.inspect([], deadline: limit.nanoseconds)
        } catch {
            throw Missing(
                isUnreachable: true,
                messages: primary.messages + [
                    "\(primary.replica.name) was reached, and does not say what it is: \(error)"
                ]
            )
        }
        // A standby, by now, has no timeline of its own.
        let refusal: WriteRefusal? =
            if let timeline = words.timeline {
                fences[shard]?.refusal(
                    of: leader, on: timeline, systemIdentifier: words.systemIdentifier,
                    now: Instant(nanoseconds: Reactor.now()))
            } else { .notPrimary }
        guard let refusal else { return }
        throw Missing(isUnreachable: false, messages: primary.messages + ["nothing is written: \(refusal.words)"])
    }

    private func find(among shard: GatewayConfig.Shard) async throws(Missing) -> Primary {
        let dials = await dialler.dial(
            shard, until: Instant(nanoseconds: Reactor.now()).advanced(by: config.pool.connectTimeout))
        var primaries: [(replica: GatewayConfig.Replica, target: String, connection: PostgresConnection)] = []
        var messages: [String] = []
        for (replica, dial) in zip(shard.replicas, dials) {
            switch dial {
            case .success(let connection):
                guard await !connection.facts.isStandby else { continue }
                let target = (try? replica.connectionString())?.target ?? replica.name
                // Two names of one server are one primary.
                if !primaries.contains(where: { $0.target == target }) {
                    primaries.append((replica, target, connection))
                }
            case .failure(let failure): messages.append("\(replica.name) cannot be used: \(failure)")
            }
        }
        guard let primary = primaries.first, primaries.count == 1 else {
            messages.append(
                primaries.isEmpty
                    ? "no replica that was reached is a primary"
                    : "\(primaries.map(\.replica.name).joined(separator: " and ")) are primaries both; "
                        + "one of them is wrong")
            throw Missing(isUnreachable: true, messages: messages)
        }
        return Primary(
            replica: primary.replica, connection: primary.connection, messages: messages)
    }
}
