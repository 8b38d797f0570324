internal import NIOCore
internal import SluiceWire

extension SluiceClient {
    /// Loads rows: all of them or, if this throws, none, for each shard.
    ///
    /// The rows are sent as the databases take them: the sequence is asked for more only then, and about half a
    /// megabyte of rows waits in this client. Nothing is visible before the last row was sent. There is no limit to how
    /// long a load takes, but a gateway that says nothing for a minute while it is waited for is given up. Other calls
    /// go on beside it. Cancelling the task cancels the load.
    /// - Parameters:
    ///   - collection: where the rows go.
    ///   - columns: what each row's values are of, at most 256.
    ///   - rows: is not asked for more after it has thrown, or the load is over.
    ///   - options: how to load.
    ///   - progress: called on a thread of this client's; it has to return soon.
    /// - Throws: `badRow` for rows that are none of the collection's (`load` says which); `rowsFailed` with the
    ///   sequence's own error; `outcomeUnknown` if the connection is lost after the last row: loading the same rows
    ///   again with the same id does nothing twice. `load` has what became of it on each shard, if it had begun there.
    public func load<Rows: AsyncSequence & Sendable>(
        _ collection: String, columns: [String] = [], rows: Rows, options: LoadOptions = LoadOptions(),
        progress: (@Sendable (LoadProgress) -> Void)? = nil
    ) async throws(SluiceError) -> LoadReport where Rows.Element == LoadRow {
        try await load(collection, columns, options, progress) { call, size in
            // Asked for row by row, so that no more than a frame of them is held.
            var block = LoadBlock(capacity: size + size / 4)
            for try await row in rows {
                try block.append(row)
                guard block.byteCount >= size else { continue }
                guard await Self.send(block, of: size, by: call) else { return }
                block = LoadBlock(capacity: size + size / 4)
            }
            _ = await Self.send(block, of: size, by: call)
        }
    }

    /// Loads rows that are packed in blocks already: the fast way.
    ///
    /// As `load(_:columns:rows:options:progress:)`.
    public func load<Blocks: AsyncSequence & Sendable>(
        _ collection: String, columns: [String] = [], blocks: Blocks, options: LoadOptions = LoadOptions(),
        progress: (@Sendable (LoadProgress) -> Void)? = nil
    ) async throws(SluiceError) -> LoadReport where Blocks.Element == LoadBlock {
        try await load(collection, columns, options, progress) { call, size in
            for try await block in blocks {
                guard await Self.send(block, of: size, by: call) else { return }
            }
        }
    }

    /// - Returns: false if the load is over.
    private static func send(_ block: LoadBlock, of size: Int, by call: LoadCall) async -> Bool {
        for (payload, rows) in block.payloads(of: size) {
            guard await call.send(payload, rows: rows) else { return false }
        }
        return true
    }

    private typealias Sender = @Sendable (LoadCall, Int) async throws -> Void

    private func load(
        _ collection: String, _ columns: [String], _ options: LoadOptions,
        _ progress: (@Sendable (LoadProgress) -> Void)?, _ sender: @escaping Sender
    ) async throws(SluiceError) -> LoadReport {
        let request = LoadRequest(
            collection: collection, mode: options.mode.wire, columns: columns, loadID: options.id.wire,
            skipBad: options.skipBad, buildIndex: options.buildIndex)
        do throws(WireError) { try request.validate() } catch { throw SluiceError(error) }
        guard (0...Int(UInt32.max)).contains(options.skipBad) else {
            throw SluiceError(.invalidArgument, "skipBad is \(options.skipBad); it must be from 0 to \(UInt32.max)")
        }
        var payload = ByteBuffer()
        request.encode(into: &payload)
        let trace = tracing?.begin(.load)
        trace?.write(into: &payload)
        do throws(SluiceError) {
            let report = try await load(payload, options, progress, sender)
            trace?.end(nil)
            return report
        } catch {
            trace?.end(error)
            throw error
        }
    }

    private func load(
        _ payload: ByteBuffer, _ options: LoadOptions, _ progress: (@Sendable (LoadProgress) -> Void)?,
        _ sender: @escaping Sender
    ) async throws(SluiceError) -> LoadReport {
        var tried: Set<GatewayChoice.ID> = []
        var attempts = 0
        while true {
            attempts += 1
            let lease = try await fleet.lease(until: limit(nil), avoiding: tried)
            let call = LoadCall(lease.link, ticket: lease.pool.number(), progress: progress)
            let failure: RequestFailure
            let answer = await run(call, payload, sender)
            fleet.end(lease, .ended)
            tried.insert(lease.gateway)
            switch answer {
            case .success(let frame) where frame.kind == .loadResult: return try report(frame, options.id)
            case .success(let frame) where frame.kind == .error: failure = refusal(frame, by: lease)
            case .success:
                throw SluiceError(.protocolViolation, "the gateway answered with a frame of another kind")
            case .failure(let reason): failure = reason
            }
            // Nothing of the rows was asked for yet: another connection may reach a gateway that stays.
            guard failure.isMovable, !call.hasBegun, attempts == 1 else { throw call.verdict(failure.final) }
        }
    }

    private func run(_ call: LoadCall, _ payload: ByteBuffer, _ sender: @escaping Sender) async -> Request.Answer {
        call.start(payload, silence: limit(nil))
        return await withTaskCancellationHandler {
            // A cancel that came before the line above found nothing to cancel: say it again.
            if Task.isCancelled { call.cancel() }
            return await withTaskGroup(of: Void.self) { group in
                group.addTask { await Self.sendAll(by: call, sender) }
                let answer = await call.end()
                group.cancelAll()
                return answer
            }
        } onCancel: {
            call.cancel()
        }
    }

    private static func sendAll(by call: LoadCall, _ sender: Sender) async {
        guard let size = await call.ready() else { return }
        do {
            try await sender(call, size)
            // A sequence may end because it is cancelled: these are not all the rows then.
            guard !Task.isCancelled else { return call.cancel() }
            await call.finishSending()
        } catch let error as SluiceError {
            call.cancel(error)
        } catch is CancellationError where Task.isCancelled {
            call.cancel()
        } catch {
            var failure = SluiceError(.rowsFailed, "the rows to load ended with an error: \(error)")
            failure.underlying = error
            call.cancel(failure)
        }
    }

    private func report(_ frame: Frame, _ id: WriteKey) throws(SluiceError) -> LoadReport {
        let result = try decoded { () throws(WireError) in try LoadResult(decoding: frame.payload) }
        let report = LoadReport(result, id: id)
        guard let reason = result.error else { return report }
        var error = SluiceError(reason)
        error.isRetryable = reason.code.isRetryable
        error.load = report
        throw error
    }
}

extension LoadCall {
    /// What a failure means for the load.
    fileprivate func verdict(_ error: SluiceError) -> SluiceError {
        let open: [SluiceError.Code] = [.connectionLost, .noAnswer, .cancelled, .closed, .protocolViolation]
        guard error.isUnanswered || open.contains(error.code) else { return error }
        var verdict = error
        if hasEnded {
            if error.code != .cancelled { verdict.code = .outcomeUnknown }
            verdict.isRetryable = true
            verdict.message +=
                "; whether the rows are loaded is not known: load them again with the same id, which does nothing twice"
        } else if hasBegun {
            verdict.message += "; the last row was not sent, so nothing of the load is visible"
        }
        return verdict
    }
}

extension LoadOptions.Mode {
    fileprivate var wire: LoadMode {
        switch self {
        case .append: .append
        case .upsert: .upsert
        case .replace: .replace
        }
    }
}
