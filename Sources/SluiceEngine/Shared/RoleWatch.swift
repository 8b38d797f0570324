internal import Logging
internal import SluiceCore
internal import Synchronization

/// Asks every backend from time to time what it is and how many rows its tables have, and at once when an answer made
/// its role doubtful.
public final class RoleWatch: Sendable {
    private let doubted = Mutex<Set<Int>>([])
    private let doubts = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    init() {}

    /// Something about this backend's answers says that its role may have changed.
    func look(at backend: Int) {
        doubted.withLock { _ = $0.insert(backend) }
        doubts.continuation.yield()
    }

    /// Runs until the task is cancelled.
    /// - Parameters:
    ///   - lanes: whose connections are used for asking.
    ///   - interval: asked for before each pause.
    ///   - tick: called after each: what is to be looked at regularly.
    public func run(
        on lanes: [SearchLane], every interval: @escaping @Sendable () -> Duration,
        _ tick: @escaping @Sendable () -> Void
    ) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { while (try? await Task.sleep(for: interval())) != nil { tick() } }
            group.addTask {
                for await _ in self.doubts.stream {
                    let backends = self.doubted.withLock { doubted in
                        defer { doubted.removeAll() }
                        return doubted
                    }
                    // Side by side: one that is frozen must not hide the others.
                    await withTaskGroup(of: Void.self) { looks in
                        for backend in backends { looks.addTask { await Self.inspect(backend, lanes) } }
                    }
                }
            }
            await group.waitForAll()
        }
    }

    /// On the first lane that has a connection.
    static func inspect(_ backend: Int, _ lanes: [SearchLane], withTables: Bool = true) async {
        for lane in lanes {
            let hasAsked = await withTaskExecutorPreference(lane.executor) {
                await lane.inspect(backend, withTables: withTables)
            }
            if hasAsked { return }
        }
    }
}

extension SearchLane {
    /// Asks one backend, waiting for a connection like any leg, but not for long. False if this lane has none up.
    /// - Parameter withTables: its tables' sizes, too.
    func inspect(_ backend: Int, withTables: Bool = true) async -> Bool {
        guard backends.indices.contains(backend) else { return false }
        let occupancy = backends[backend].machine.occupancy
        guard occupancy.idle + occupancy.leased > 0 else { return false }
        let limit = executor.now().advanced(by: Self.inspectionTimeout)
        guard let lease = try? await lease(backend, until: limit, for: nil) else { return true }
        let asked = executor.now()
        let places = withTables ? topology.catalogue.tables(of: backend) : []
        do throws(BackendFailure) {
            let facts = try await lease.connection.inspect(places.map(\.table), deadline: limit)
            release(lease)
            noteRole(backend, facts.report(asked: asked))
            for (place, rows) in zip(places, facts.estimatedRows) {
                if let rows { place.estimate.update(rows) }
            }
        } catch {
            logger.debug("a replica could not be inspected: \(error.detail)")
            noteSilence(backend, asked: asked)
            _ = settle(lease)
        }
        return true
    }

    private static var inspectionTimeout: Duration { .seconds(1) }
}
