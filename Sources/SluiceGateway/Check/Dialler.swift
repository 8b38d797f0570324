internal import SluiceCore
internal import SluicePostgres
internal import SluiceReactor
internal import Synchronization

/// Connects to replicas for what is done once, outside of any pool.
struct Dialler: Sendable {
    typealias Dial = Result<PostgresConnection, PostgresFailure>

    private let reactor: Reactor
    private let resolver = AddressResolver(workers: BlockingWorkers(limit: 4, queueLimit: 1_024))
    private let cancels = BlockingWorkers(limit: 4)
    private let dials: BlockingWorkers
    private let made = Connections()

    /// - Parameter config: whose replicas are dialled.
    /// - Throws: `ReactorError` if the process gets no thread for it.
    init(_ config: GatewayConfig) throws {
        reactor = try Reactor(name: "examination")
        dials = BlockingWorkers(limit: config.shards.reduce(0) { $0 + $1.replicas.count })
    }

    /// Runs tasks where the connections live, so that a call of theirs goes on at once (docs/decisions/0009).
    func besideConnections<Value: Sendable>(_ work: @Sendable () async -> Value) async -> Value {
        await withTaskExecutorPreference(reactor) { await work() }
    }

    /// - Parameters:
    ///   - needsVector: a server without pgvector counts as a failure.
    ///   - isConsole: the console of the PgBouncer before it is meant.
    func dial(
        _ replica: GatewayConfig.Replica, until deadline: Instant, needsVector: Bool = true, isConsole: Bool = false
    ) async -> Dial {
        do throws(PostgresFailure) {
            let target = try replica.connectionString()
            var settings = ConnectionSettings(
                target: isConsole ? target.console : target, isPooled: replica.isPooled, resolver: resolver,
                cancels: CancelAllowance(workers: cancels), dials: DialAllowance(workers: dials, limit: 1))
            settings.needsVector = needsVector
            settings.isConsole = isConsole
            let connection = try await PostgresConnection.connect(
                settings, on: reactor, deadline: deadline.nanoseconds, onClose: {})
            made.add(connection)
            return .success(connection)
        } catch {
            return .failure(error)
        }
    }

    /// All replicas of a shard at a time, in their order.
    func dial(_ shard: GatewayConfig.Shard, until deadline: Instant) async -> [Dial] {
        let unreached = Dial.failure(PostgresFailure(.unreachable, "it was not dialled"))
        return await withTaskGroup(of: (Int, Dial).self) { group in
            for (place, replica) in shard.replicas.enumerated() {
                group.addTask { (place, await dial(replica, until: deadline)) }
            }
            return await group.reduce(into: Array(repeating: unreached, count: shard.replicas.count)) {
                $0[$1.0] = $1.1
            }
        }
    }

    /// Closes every connection; returns when they have ended.
    func end() async {
        let connections = made.all
        await withTaskGroup(of: Void.self) { group in
            for connection in connections { group.addTask { await connection.close() } }
        }
        reactor.stop()
    }
}

private final class Connections: Sendable {
    private let list = Mutex<[PostgresConnection]>([])

    var all: [PostgresConnection] { list.withLock { $0 } }

    func add(_ connection: PostgresConnection) { list.withLock { $0.append(connection) } }
}
