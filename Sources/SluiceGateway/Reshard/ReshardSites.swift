internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor

/// A shard's primary and a connection to it.
struct ReshardSite: Sendable {
    var shard: String
    var replica: GatewayConfig.Replica
    /// Whom the shard's source has named.
    var leader: MemberPlace?
    var connection: PostgresConnection
    /// When whatever is asked must have been answered.
    var limit = Instant.distantFuture
    /// `SHARD/REPLICA`, for messages.
    var name: String { "\(shard)/\(replica.name)" }
}

/// Connects a move to its shards.
struct ReshardConnector: Sendable {
    let config: GatewayConfig
    let finder: PrimaryFinder

    /// The primary of each of these shards, each with a connection of its own.
    func primaries(of shards: [String]) async throws(ReshardProblem) -> [ReshardSite] {
        let found = await withTaskGroup(of: (Int, Result<ReshardSite, ReshardProblem>).self) { group in
            for (place, shard) in shards.enumerated() { group.addTask { (place, await primary(of: shard)) } }
            return await group.reduce(into: [Int: Result<ReshardSite, ReshardProblem>]()) { $0[$1.0] = $1.1 }
        }
        var problems: [ReshardProblem] = []
        var sites: [ReshardSite] = []
        for place in shards.indices {
            switch found[place] {
            case .success(let site): sites.append(site)
            case .failure(let problem): problems.append(problem)
            case nil: break
            }
        }
        guard let first = problems.first else { return sites }
        throw ReshardProblem(first.kind, all: problems.flatMap(\.messages))
    }

    func primary(of shard: String) async -> Result<ReshardSite, ReshardProblem> {
        guard let configured = config.shards.first(where: { $0.name == shard }) else {
            return .failure(
                ReshardProblem(.wrong, "the configuration has no shard \"\(shard.withoutControls)\" any more"))
        }
        do throws(PrimaryFinder.Missing) {
            let primary = try await finder.find(configured)
            let site = ReshardSite(
                shard: shard, replica: primary.replica, leader: primary.leader, connection: primary.connection)
            guard !primary.replica.isPooled else {
                return .failure(
                    ReshardProblem(
                        .wrong,
                        "\(site.name) is reached through a pooler, which keeps no locks and settings between "
                            + "transactions: run it with a configuration whose replicas are the servers themselves"))
            }
            return await prepared(site)
        } catch {
            return .failure(
                ReshardProblem(
                    error.isUnreachable ? .unreachable : .failed, all: error.messages.map { "\(shard): \($0)" }))
        }
    }

    /// One more connection to the same server.
    func another(_ site: ReshardSite) async throws(ReshardProblem) -> ReshardSite {
        let limit = Instant(nanoseconds: Reactor.now()).advanced(by: config.pool.connectTimeout)
        switch await finder.dialler.dial(site.replica, until: limit) {
        case .success(let connection):
            var other = site
            other.connection = connection
            return try await prepared(other).get()
        case .failure(let failure): throw ReshardProblem(.unreachable, "\(site.name) cannot be used: \(failure)")
        }
    }

    private func prepared(_ site: ReshardSite) async -> Result<ReshardSite, ReshardProblem> {
        do throws(ReshardProblem) {
            _ = try await site.rows(ReshardStatements.session)
            return .success(site)
        } catch {
            return .failure(error)
        }
    }

    /// Throws once the shard's source does not name the server leader any more.
    func checkLeader(_ site: ReshardSite) throws(ReshardProblem) {
        guard finder.isStill(site.leader, of: site.shard) else {
            throw ReshardProblem(
                .failed,
                "\(site.name): nothing more is written: its topology source names another leader, or none; "
                    + "run it again")
        }
    }
}

/// A statement's text that is the same for every server.
private final class PlainText: StatementText {
    private let text: String

    init(_ text: String) { self.text = text }

    func sql(for facts: ServerFacts) -> String { text }
}

extension ReshardSite {
    /// What looks at a few rows, or waits for nobody.
    static let shortTime = Duration.seconds(60)
    /// What reads a whole table or builds an index.
    static let longTime = Duration.seconds(7 * 86_400)

    func limited(to limit: Instant) -> ReshardSite {
        var site = self
        site.limit = limit
        return site
    }

    private func deadline(_ time: Duration) -> Int64 {
        min(limit, Instant(nanoseconds: Reactor.now()).advanced(by: time)).nanoseconds
    }

    /// All rows of one query; its parameters are texts.
    func rows(
        _ sql: String, _ texts: [String] = [], within time: Duration = shortTime
    ) async throws(ReshardProblem) -> [[String?]] {
        do throws(PostgresFailure) {
            return try await connection.rows(sql, texts, deadline: deadline(time))
        } catch {
            throw problem(error)
        }
    }

    /// The first value of the first row.
    func value(_ sql: String, _ texts: [String] = []) async throws(ReshardProblem) -> String? {
        try await rows(sql, texts).first?.first ?? nil
    }

    /// Statements in one round trip, within the transaction that is open or that they open.
    func run(
        _ statements: [(sql: String, texts: [String])], within time: Duration = shortTime
    ) async throws(ReshardProblem) {
        let commands = statements.map { statement in
            Command(
                PlainText(statement.sql), types: statement.texts.map { _ in .oid(Self.textType) },
                values: .texts(statement.texts))
        }
        do throws(PostgresFailure) {
            _ = try await connection.run(commands, deadline: deadline(time))
        } catch {
            throw problem(error)
        }
    }

    /// `text`'s OID (pg_type.dat).
    private static let textType: UInt32 = 25

    /// Statements without parameters as one transaction: all or nothing.
    func change(_ script: [String], within time: Duration = shortTime) async throws(ReshardProblem) {
        do throws(ScriptFailure) {
            try await connection.run(script: script, deadline: deadline(time))
        } catch {
            let start = error.statement.map { script[$0].prefix { !$0.isNewline } }
            throw ReshardProblem(
                .failed, "\(name): \(error)\(start.map { " at \($0)" } ?? "")".withoutControls)
        }
    }

    /// The same, once its locks are to be had: whoever waits for one keeps everybody waiting who comes later, so it is
    /// not waited for long, but asked for again.
    /// - Parameter tries: the last failure is thrown.
    func changeLocking(
        _ script: [String], waiting wait: Duration = .seconds(2), tries: Int = 15
    ) async throws(ReshardProblem) {
        let milliseconds = max(1, wait.microseconds / 1_000)
        let whole = ["SELECT set_config('lock_timeout', '\(milliseconds)ms', true)"] + script
        var left = max(1, tries)
        while true {
            left -= 1
            do throws(ScriptFailure) {
                return try await connection.run(script: whole, deadline: deadline(wait + Self.shortTime))
            } catch {
                // lock_not_available
                guard error.failure.sqlState == "55P03" else {
                    let start = error.statement.map { whole[$0].prefix { !$0.isNewline } }
                    throw ReshardProblem(
                        .failed, "\(name): \(error)\(start.map { " at \($0)" } ?? "")".withoutControls)
                }
                guard left > 0, (try? await Task.sleep(for: .milliseconds(500))) != nil else {
                    throw ReshardProblem(
                        .locked,
                        "\(name): somebody's transaction holds a lock on the table for too long; end it, "
                            + "and run this again")
                }
            }
        }
    }

    /// Binary rows into the transaction that is open.
    func copy(_ sql: String, relation: String, _ rows: [UInt8]) async throws(ReshardProblem) {
        do throws(PostgresFailure) {
            _ = try await connection.copy(
                sql, relation: relation, [RowFormat.copyHeader[...], rows[...], RowFormat.copyTrailer[...]],
                deadline: deadline(Self.shortTime))
        } catch {
            throw problem(error)
        }
    }

    private func problem(_ failure: PostgresFailure) -> ReshardProblem {
        let place = failure.place
        let details = [place?.constraint.map { "constraint \($0)" }, place?.column.map { "column \($0)" }]
        let words = details.compactMap(\.self).map { ", \($0)" }.joined()
        return ReshardProblem(.failed, "\(name): \(failure)\(words)".withoutControls)
    }
}
