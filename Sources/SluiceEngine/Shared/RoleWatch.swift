internal import Logging
internal import SluiceCore
internal import Synchronization

/// Asks every backend from time to time what it is and how many rows its tables have, and at once when an answer made
/// its role doubtful.
public final class RoleWatch: Sendable {
    private let doubts = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingNewest(64))

    init() {}

    /// Something about this backend's answers says that its role may have changed.
    func look(at backend: Int) { doubts.continuation.yield(backend) }

    public func lookAtAll(_ backends: Int) { for backend in 0..<backends { look(at: backend) } }

    func stop() { doubts.continuation.finish() }

    /// Runs until the task is cancelled or `stop` is called.
    /// - Parameter lane: whose connections are used for asking.
    public func run(on lane: SearchLane, every interval: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                repeat {
                    for backend in lane.shared.backends.indices { await lane.inspect(backend) }
                } while (try? await Task.sleep(for: interval)) != nil
            }
            group.addTask {
                for await backend in self.doubts.stream { await lane.inspect(backend) }
            }
            await group.waitForAll()
        }
    }
}

extension SearchLane {
    /// Asks one backend, on a connection that is free; a busy or dead one is left alone.
    func inspect(_ backend: Int) async {
        guard backends.indices.contains(backend), backends[backend].machine.idleCount > 0 else { return }
        let limit = executor.now().advanced(by: configuration.connectTimeout)
        guard let lease = try? await lease(backend, until: limit, for: nil) else { return }
        let places = shared.catalogue.tables(of: backend)
        do throws(BackendFailure) {
            let facts = try await lease.connection.inspect(places.map(\.table), deadline: limit)
            release(lease)
            noteRole(backend, facts.role)
            for (place, rows) in zip(places, facts.estimatedRows) {
                if let rows { place.estimate.update(rows) }
            }
        } catch {
            logger.debug("a replica could not be inspected: \(error.detail)")
            _ = settle(lease)
        }
    }
}
