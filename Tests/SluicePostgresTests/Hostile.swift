import PostgresTestKit
import SluicePostgres
import SluiceReactor
import Testing

extension FakePostgres {
    /// To connect to it; `more` are further words of the connection string.
    func settings(_ more: String = "", dials: DialAllowance? = nil) throws -> ConnectionSettings {
        let workers = BlockingWorkers(limit: 4)
        return ConnectionSettings(
            target: try ConnectionString("\(dsn) \(more)"), isPooled: false,
            resolver: AddressResolver(workers: workers), cancels: CancelAllowance(workers: workers),
            dials: dials ?? DialAllowance(workers: BlockingWorkers(limit: 2)),
            fenceTimeout: .milliseconds(200))
    }
}

extension Duration {
    var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}

/// A search for ten rows with a text column, as the fake server knows it.
enum FakeSearch {
    private final class Text: StatementText {
        let text: String
        init(_ text: String) { self.text = text }
        func sql(for facts: ServerFacts) -> String { text }
    }

    private static let query = Text("SELECT $2 AS token, id, distance, name")
    private static let settings = Text("SELECT pg_catalog.set_config('statement_timeout', $1, true)")

    static func statement(bytes: Int = 65_536) -> SearchStatement {
        SearchStatement(
            query: query, settings: settings, timeoutMilliseconds: 1_000, settingValues: [], subject: [0, 1, 0, 0],
            token: 0x1234_5678_9ABC_DEF0, columnCount: 1, maximumRows: 10, maximumBytes: bytes)
    }
}

/// A good server beside a bad one on the same reactor: it is searched all the time, and must always answer soon.
struct Companion {
    private let server: FakePostgres
    private let connection: PostgresConnection

    /// What a search of an idle, good server may take on a busy machine, at most.
    static let bound: Duration = .milliseconds(500)

    init(on reactor: Reactor) async throws {
        server = try FakePostgres()
        connection = try await PostgresConnection.connect(
            server.settings(), on: reactor, deadline: Reactor.now() + 5_000_000_000, onClose: {})
    }

    /// Runs the body while the good server is searched.
    static func beside<Result: Sendable>(
        on reactor: Reactor, _ body: @Sendable () async throws -> Result
    ) async throws -> Result {
        let companion = try await Companion(on: reactor)
        let searches = Task(executorPreference: reactor) { try await companion.search() }
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        searches.cancel()
        let (count, worst) = try await searches.value
        await companion.connection.close()
        companion.server.stop()
        #expect(count > 0 && worst < bound, "the slowest of \(count) searches beside it took \(worst)")
        return try result.get()
    }

    private func search() async throws -> (count: Int, worst: Duration) {
        var (count, worst) = (0, Duration.zero)
        let clock = ContinuousClock()
        while !Task.isCancelled {
            let took = try await clock.measure {
                do throws(PostgresFailure) {
                    let rows = try await connection.search(
                        FakeSearch.statement(), deadline: Reactor.now() + 30_000_000_000)
                    #expect(rows.ids == [1, 2, 3])
                } catch {
                    guard error.kind == .cancelled else { throw error }
                }
            }
            count += 1
            worst = max(worst, took)
        }
        return (count, worst)
    }
}

/// Something that a server does wrong, and what may come of it.
struct Mischief: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var kinds: Set<PostgresFailure.Kind>
    var leg: @Sendable (Peer, Question) throws -> Void

    init(
        _ name: String, _ kinds: PostgresFailure.Kind...,
        leg: @escaping @Sendable (Peer, Question) throws -> Void
    ) {
        testDescription = name
        self.kinds = Set(kinds)
        self.leg = leg
    }

    /// Nothing but messages.
    init(_ name: String, _ kinds: PostgresFailure.Kind..., sends messages: @escaping @Sendable (Question) -> [Message])
    {
        testDescription = name
        self.kinds = Set(kinds)
        leg = { peer, question in for message in messages(question) { peer.write(message) } }
    }
}
