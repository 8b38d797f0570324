internal import SluiceCore

extension SearchLane {
    /// Runs what cannot be taken back, and stops it when its server may not be written to any more: behind a row's lock
    /// it could wait for longer than anybody knows who leads. A write that takes long at a leader goes on.
    func run(
        _ commands: [WriteCommand], onFenced primary: PrimaryLease, until deadline: Instant
    ) async throws(BackendFailure) -> [WriteResult] {
        guard primary.fenced != nil else { return try await primary.connection.run(commands, deadline: deadline) }
        let watch = Task(executorPreference: executor) { [executor] in
            while (try? await Task.sleep(for: Self.fencePause)) != nil {
                guard primary.isSuperseded(now: executor.now()) else { continue }
                // On the lane's thread, as the cancelling is: what comes after on the connection is not stopped.
                if !Task.isCancelled { primary.connection.interrupt() }
                return
            }
        }
        defer { watch.cancel() }
        do throws(BackendFailure) {
            return try await primary.connection.run(commands, deadline: deadline)
        } catch {
            guard error.reason == .cancelled, !Task.isCancelled else { throw error }
            throw BackendFailure(.cancelled, detail: "it was stopped, as its server may not be written to any more")
        }
    }

    private static var fencePause: Duration { .milliseconds(100) }
}
