internal import NIOCore
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire

/// A load that runs, as its session feeds it.
struct LoadInput {
    let run: LoadRun
    var credit = CreditLedger(initial: 0)
}

/// Loads and writes.
extension SessionHandler {
    func load(_ frame: Frame) {
        guard let eventLoop = channelContext?.eventLoop else { return }
        let requestID = frame.requestID
        let handler = NIOLoopBound(self, eventLoop: eventLoop)
        let order: LoadOrder
        do throws(WireError) {
            let request = try LoadRequest(decoding: frame.payload)
            origin(of: frame, .load, request.trace) { $0.describe(request.collection, $1) }
            order = try LoadOrder(request)
        } catch {
            return answer(requestID, error)
        }
        do throws(SearchError) {
            let load = try LoadRun(
                try access.permitted(order), on: context.lane, limits: context.commons.ingest
            ) { event in
                eventLoop.execute { handler.value.tell(event, of: requestID) }
            }
            loads[requestID] = LoadInput(run: load)
            run(requestID) { _ in await load.run() }
        } catch {
            answer(requestID, error)
        }
    }

    private func tell(_ event: LoadEvent, of requestID: UInt32) {
        guard loads[requestID] != nil else { return }
        switch event {
        case .ready(let credit, let shards):
            loads[requestID]?.credit.granted(credit)
            send(.loadReady, requestID) { LoadReady(credit: credit, shards: shards).encode(into: &$0) }
        case .credit(let more, let rows):
            loads[requestID]?.credit.granted(more)
            send(.loadCredit, requestID) { LoadCredit(credit: more, rowsTaken: rows).encode(into: &$0) }
        case .progress(let phase, let done, let total, let shard):
            send(.loadProgress, requestID) {
                LoadProgress(
                    phase: LoadPhase(rawValue: phase.rawValue), done: done, total: total,
                    shard: shard.isEmpty ? nil : shard
                ).encode(into: &$0)
            }
        }
    }

    /// Rows that come for a load that has ended were on their way, and are dropped.
    func loadRows(_ frame: Frame) {
        guard loads[frame.requestID] != nil else { return }
        guard loads[frame.requestID]?.credit.received(frame.payload.readableBytes) == true else {
            return fail(.protocolViolation, "LOAD_ROWS beyond the credit that was given")
        }
        loads[frame.requestID]?.run.take(Array(frame.payload.readableBytesView))
    }

    func loadEnd(_ frame: Frame) {
        guard let load = loads[frame.requestID] else { return }
        do throws(WireError) {
            load.run.end(rows: try LoadEnd(decoding: frame.payload).rows)
        } catch {
            load.run.break(SearchError(.malformed, error.message))
        }
    }

    func write(_ frame: Frame) {
        let now = context.lane.executor.now()
        do throws(WireError) {
            let request = try WriteRequest(decoding: frame.payload)
            let origin = origin(of: frame, .write, request.trace) { $0.describe(request.collection, $1) }
            var asked = try WriteOrder(request, limits: context.limits, now: now)
            asked.origin = origin
            let allowed = permitted(frame.requestID) { () throws(SearchError) in try access.permitted(asked) }
            guard let order = allowed else { return }
            start(frame.requestID, .interactive, deadline: order.deadline, now: now) { lane, ticket in
                await lane.write(order, admittedBy: ticket)
            }
        } catch {
            answer(frame.requestID, error)
        }
    }
}

extension LoadOrder {
    init(_ request: LoadRequest) throws(WireError) {
        try request.validate()
        let mode: SluiceEngine.LoadMode =
            switch request.mode {
            case .append: .append
            case .upsert: .upsert
            case .replace: .replace
            }
        self.init(
            collection: request.collection, mode: mode, columns: request.columns, key: WriteKey(request.loadID),
            skippable: request.skipBad, buildsIndex: request.buildIndex)
    }
}

extension WriteOrder {
    init(_ request: WriteRequest, limits: GatewayConfig.Limits, now: Instant) throws(WireError) {
        try request.validate()
        guard request.deletes.count <= limits.maxWriteRows else {
            throw WireError(
                .invalidArgument, "a write has at most \(limits.maxWriteRows) rows and ids (limits.max_write_rows)")
        }
        self.init(
            collection: request.collection, columns: request.columns, rows: Array(request.rows.readableBytesView),
            deletes: request.deletes, deadline: limits.instant(request.deadline, now: now),
            key: request.key.map { WriteKey($0) })
        most = limits.maxWriteRows
    }
}

extension WriteKey {
    init(_ key: RequestKey) { self.init(high: key.high, low: key.low) }
}

extension LoadAnswer: ReplyMessage {
    static var kind: FrameKind { .loadResult }

    func write(into buffer: inout ByteBuffer) {
        var result = LoadResult(rows: rows, shards: shards.map { SluiceWire.ShardReport($0) }, elapsed: elapsed)
        result.badRows = badRows.map { SluiceWire.BadRow(row: $0.number, message: $0.reason) }
        result.badRowCount = badRowCount
        result.index = IndexOutcome(rawValue: index.rawValue)
        result.indexMessage = indexMessage
        result.error = failure.map { WireError(ReplyEncoder.code($0.code), $0.message) }
        result.encode(into: &buffer)
    }
}

extension WriteAnswer: ReplyMessage {
    static var kind: FrameKind { .writeResult }

    func write(into buffer: inout ByteBuffer) {
        var result = SluiceWire.WriteResult(
            rows: rows.map { SluiceWire.RowOutcome(rawValue: $0.rawValue) },
            shards: shards.map { SluiceWire.ShardReport($0) }, elapsed: elapsed)
        result.deletes = deletes.map { SluiceWire.RowOutcome(rawValue: $0.rawValue) }
        result.isRepeated = isRepeated
        result.encode(into: &buffer)
    }
}

extension SluiceWire.ShardReport {
    fileprivate init(_ report: SluiceEngine.ShardReport) {
        self.init(shard: report.shard, outcome: ShardOutcome(rawValue: report.outcome.rawValue), rows: report.rows)
        lsn = report.position
        sqlstate = report.sqlState
        message = report.message
        replica = report.replica.isEmpty ? nil : report.replica
    }
}
