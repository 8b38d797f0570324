internal import CLibpq
internal import SluiceReactor

extension PostgresConnection {
    /// Runs one `COPY … FROM STDIN (FORMAT binary)` with these bytes, which are all of it, within the transaction that
    /// is open. libpq has no COPY in a pipeline, so the connection leaves pipeline mode meanwhile.
    ///
    /// libpq is fed as the server takes the bytes. A connection that fails in the middle, or whose task is cancelled,
    /// is closed: the server then ends the transaction.
    /// - Parameters:
    ///   - relation: the table's own name, as the server writes it in the context of an error.
    ///   - deadline: an instant of `Reactor.now()`.
    /// - Returns: how many rows the server has taken.
    /// - Throws: a failure whose `place.line` is the row, from 1, that the server refused; the connection is clean.
    public func copy(
        _ sql: String, relation: String, _ parts: [ArraySlice<UInt8>], deadline: Int64
    ) async throws(PostgresFailure) -> Int {
        guard state == .idle, PQexitPipelineMode(handle) == 1 else {
            throw PostgresFailure(.connectionLost, "the connection is not ready for COPY")
        }
        let start = newOperation()
        start.relation = relation
        _ = try await direct(start, deadline: deadline, step: .copyIn) { PQsendQuery(handle, sql) }
        for part in parts { try await feed(part, deadline: deadline) }
        let end = newOperation()
        end.relation = relation
        _ = try await direct(end, deadline: deadline, step: .command) { () async throws(PostgresFailure) in
            try await putEnd(deadline: deadline)
        }
        guard let result = end.commands.first else {
            throw violation("no number of rows")
        }
        return result.affected
    }

    /// One command outside a pipeline. The connection is in pipeline mode again when it has been refused, or when it
    /// was the last of a COPY.
    private func direct(
        _ operation: Operation, deadline: Int64, step: Operation.Step,
        _ send: () async throws(PostgresFailure) -> Int32
    ) async throws(PostgresFailure) {
        let result = try await send()
        do throws(PostgresFailure) {
            try sent(result)
        } catch {
            close(error)
            throw error
        }
        operation.expect(step)
        begin(operation, deadline: deadline)
        do throws(PostgresFailure) {
            _ = try await outcome(of: operation)
        } catch {
            // After an error of the statement itself the connection is clean; else it has been closed, or is behind
            // its fence, from where it does not come back in pipeline mode.
            guard error.kind == .server || error.kind == .timedOut, state == .idle else {
                close(error, parting: Self.longParting)
                throw error
            }
            try backToPipelines()
            throw error
        }
        if case .copyIn = step { return }
        try backToPipelines()
    }

    private func backToPipelines() throws(PostgresFailure) {
        guard handle != nil, PQenterPipelineMode(handle) == 1 else {
            let failure = PostgresFailure(.connectionLost, "libpq refused pipeline mode")
            close(failure)
            throw failure
        }
    }

    /// Hands bytes to libpq in pieces, so that it does not hold them all.
    private func feed(_ bytes: ArraySlice<UInt8>, deadline: Int64) async throws(PostgresFailure) {
        var rest = bytes
        while !rest.isEmpty {
            guard handle != nil else { throw PostgresFailure(.connectionLost, "the connection broke") }
            let piece = rest.prefix(Self.pieceBytes)
            let result = piece.withUnsafeBytes { bytes in
                PQputCopyData(
                    handle, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(clamping: bytes.count))
            }
            switch result {
            case 1: rest = rest.dropFirst(piece.count)
            case 0: break
            default:
                let failure = PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle)))
                close(failure)
                throw failure
            }
            flush()
            if isWriteWatched { try await writable(deadline: deadline) }
        }
    }

    private func putEnd(deadline: Int64) async throws(PostgresFailure) -> Int32 {
        while true {
            let result = handle == nil ? -1 : PQputCopyEnd(handle, nil)
            if result != 0 { return result }
            flush()
            if isWriteWatched { try await writable(deadline: deadline) }
        }
    }

    /// Returns when libpq has sent what it held.
    private func writable(deadline: Int64) async throws(PostgresFailure) {
        let timer = reactor.schedule(at: deadline) {
            self.assumeIsolated { $0.abandonCopy(PostgresFailure(.timedOut, "the server took no rows in time")) }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                if isWriteWatched, handle != nil { drainWaiter = waiter } else { waiter.resume() }
            }
        } onCancel: {
            reactor.execute { self.assumeIsolated { $0.abandonCopy(PostgresFailure(.cancelled, "cancelled")) } }
        }
        reactor.cancel(timer)
        if let copyFailure { throw copyFailure }
        guard handle != nil else { throw PostgresFailure(.connectionLost, "the connection broke") }
    }

    private func abandonCopy(_ failure: PostgresFailure) {
        guard drainWaiter != nil else { return }
        copyFailure = failure
        close(failure, parting: Self.longParting)
    }

    /// What libpq held has left, or will not any more.
    func resumeDrainWaiter() { drainWaiter.take()?.resume() }

    private static var pieceBytes: Int { 65_536 }
}
