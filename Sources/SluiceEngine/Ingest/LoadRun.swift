internal import SluiceCore
internal import Synchronization

/// One load: takes rows as the client sends them, hands them to the shards' primaries, and commits when all of them are
/// there. On its lane's thread.
///
/// Every shard has one transaction from before the first row to the commit, so that nothing is visible before, and a
/// gateway or a client that dies leaves nothing.
public actor LoadRun {
    public nonisolated let executor: any LaneExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let lane: SearchLane
    let order: LoadOrder
    let collection: Collection
    let limits: IngestLimits
    let statements: IngestStatements
    let replacement: ReplacementStatements
    let filter: FilterPlan?
    let onEvent: @Sendable (LoadEvent) -> Void
    private let began: Instant

    var shards: [ShardLoad]
    var format: RowFormat?
    private let placement: HashPlacement?
    private let window: Int
    private var credit: CreditReturn
    private var rowsReceived = 0
    private var rowsTaken = 0
    private var hasEnded = false
    /// The first thing that went wrong; nothing will be committed.
    private(set) var failure: SearchError?
    private var badRows: [BadRow] = []
    private var badRowCount = 0
    private var lastHeard: Instant
    private var idleTimer: LaneTimer?
    private var heartbeat: LaneTimer?
    var phase = LoadEvent.Phase.rows
    /// Connections that are still being closed.
    var unsettled: [Task<Void, Never>] = []

    static let batchBytes = 4 << 20
    /// While bad rows may be left out, a batch is sent again without each of them.
    static let skippingBatchBytes = 256 << 10
    private static let mostListedBadRows = 1_000

    /// - Throws: if the collection cannot be loaded into.
    public init(
        _ order: LoadOrder, on lane: SearchLane, limits: IngestLimits,
        onEvent: @escaping @Sendable (LoadEvent) -> Void
    ) throws(SearchError) {
        let catalogue = lane.shared.catalogue
        let collection = try catalogue.writable(order.collection)
        filter = try order.filter.map { filter throws(SearchError) in try FilterPlan(filter, collection) }
        guard filter == nil || order.mode == .upsert else {
            throw SearchError(
                .permissionDenied,
                "\(collection.name): this identity sees only a part of it, and can load no other way than by upsert")
        }
        var order = order
        order.key = order.key.inLayout(collection.epoch)
        self.order = order
        self.lane = lane
        self.collection = collection
        self.limits = limits
        self.onEvent = onEvent
        executor = lane.executor
        statements = IngestStatements(collection: collection)
        replacement = ReplacementStatements(statements, key: order.key)
        shards = collection.shards.map { ShardLoad(name: catalogue.shards[$0].name) }
        placement = HashPlacement(shardCount: collection.shards.count)
        window = min(limits.mostWindow, limits.windowPerShard * collection.shards.count)
        credit = CreditReturn(window: window)
        began = lane.executor.now()
        lastHeard = began
    }

    // MARK: From the client

    /// Bytes of whole packed rows, in the order in which the client sent them.
    public nonisolated func take(_ rows: [UInt8]) {
        executor.execute { self.assumeIsolated { $0.received(rows) } }
    }

    /// All rows have been sent, so many.
    public nonisolated func end(rows: Int) {
        executor.execute { self.assumeIsolated { $0.ended(rows) } }
    }

    /// What the client has sent cannot be read.
    public nonisolated func `break`(_ error: SearchError) {
        executor.execute { self.assumeIsolated { $0.fail(error) } }
    }

    private func received(_ rows: [UInt8]) {
        lastHeard = executor.now()
        guard failure == nil, !hasEnded, let format else { return }
        let isMalformed = rows.withUnsafeBytes { bytes in
            var packed = PackedRows(bytes)
            do throws(MalformedRows) {
                while failure == nil, let row = try packed.next() { add(row, of: bytes, format) }
                return false
            } catch {
                return true
            }
        }
        if isMalformed { fail(SearchError(.malformed, "LOAD_ROWS after row \(rowsReceived): not whole packed rows")) }
        for place in shards.indices { wake(place) }
    }

    private func add(_ row: PackedRow, of bytes: UnsafeRawBufferPointer, _ format: RowFormat) {
        let number = rowsReceived
        rowsReceived += 1
        let place = placement?.shard(of: row.id) ?? 0
        guard shards[place].report.outcome != .already else { return giveBack(credit: row.byteCount) }
        do throws(RowProblem) {
            try format.append(row, of: bytes, to: &shards[place].waiting.bytes)
            shards[place].waiting.ends.append(shards[place].waiting.bytes.count)
            shards[place].waiting.numbers.append(number)
            // The client gets it back when the shard has taken the row.
            shards[place].waiting.credit += row.byteCount
        } catch {
            refuse(number, error)
            giveBack(credit: row.byteCount)
        }
    }

    private func giveBack(credit bytes: Int) {
        guard let more = credit.used(bytes) else { return }
        onEvent(.credit(more, rows: rowsTaken))
    }

    private func ended(_ rows: Int) {
        lastHeard = executor.now()
        hasEnded = true
        if failure == nil, rows != rowsReceived {
            fail(
                SearchError(
                    .malformed, "LOAD_END says that \(rows) rows were sent, and \(rowsReceived) have arrived"))
        }
        for place in shards.indices { wake(place) }
    }

    /// A bad row: left out if that is allowed, else the load's end.
    func refuse(_ number: Int, _ problem: RowProblem) {
        badRowCount += 1
        if badRows.count < Self.mostListedBadRows {
            badRows.append(BadRow(number: number, reason: problem.description))
        }
        guard badRowCount > order.skippable else { return }
        let more = order.skippable == 0 ? "" : "; more than \(order.skippable) rows are bad"
        fail(SearchError(.badRow, "row \(number): \(problem.description)\(more); nothing was loaded"))
    }

    func fail(_ error: SearchError) {
        guard failure == nil else { return }
        failure = error
        for place in shards.indices { wake(place) }
    }

    // MARK: The walk

    /// Runs the load to its end. Cancelling the task ends it, with nothing loaded, unless it was being committed.
    /// - Returns: an error if nothing has begun; else what became of it on each shard.
    public func run() async -> Outcome<LoadAnswer> {
        guard lane.shared.loads.begin(most: limits.loads) else {
            return Outcome(
                result: .failure(
                    SearchError(busyBecause: "the gateway's loads", retryAfter: .seconds(1), depth: nil)))
        }
        defer { lane.shared.loads.end() }
        // Rows are held as they came and as they leave.
        let bytes = 2 * window
        guard lane.shared.memory.reserve(bytes) else {
            return Outcome(result: .failure(lane.shared.memory.busy))
        }
        defer { lane.shared.memory.add(-bytes) }
        armHeartbeat()
        defer { stopHeartbeat() }
        do throws(SearchError) {
            try await open()
        } catch {
            await abandonAll()
            return Outcome(result: .failure(error), unsettled: unsettled)
        }
        if shards.contains(where: { $0.report.outcome != .already }) {
            onEvent(.ready(credit: window, shards: shards.map(\.name)))
            watchIdle()
            await takeRows()
            stopWatchingIdle()
            if failure == nil { await finishAll() }
            if failure == nil { await commitAll() } else { await abandonAll() }
        }
        var answer = LoadAnswer(shards: shards.map(\.report))
        if order.buildsIndex, failure == nil, incompleteness == nil {
            phase = .index
            await buildIndexes(&answer)
        }
        answer.badRows = badRows.sorted { $0.number < $1.number }
        answer.badRowCount = badRowCount
        answer.failure = failure ?? incompleteness
        answer.elapsed = began.duration(to: executor.now())
        return Outcome(result: .success(answer), unsettled: unsettled)
    }

    private var incompleteness: SearchError? {
        let missing = shards.filter { $0.report.outcome == .notApplied || $0.report.outcome == .unknown }
        guard !missing.isEmpty else { return nil }
        let names = missing.map(\.name).joined(separator: ", ")
        return SearchError(
            .unavailable, "not everything was committed: see shard \(names); run the load again with the same load id")
    }

    private func takeRows() async {
        await withTaskGroup(of: Void.self) { group in
            for place in shards.indices where shards[place].report.outcome != .already {
                group.addTask { await self.write(place) }
            }
        }
        if Task.isCancelled { fail(SearchError(.cancelled, "the load was cancelled; nothing was loaded")) }
    }

    /// Sends one shard's rows as they come, a batch at a time.
    private func write(_ place: Int) async {
        await withTaskCancellationHandler {
            while failure == nil, !Task.isCancelled, let batch = await nextBatch(place) {
                await send(batch, to: place)
            }
        } onCancel: {
            executor.execute {
                self.assumeIsolated { run in
                    run.fail(SearchError(.cancelled, "the load was cancelled; nothing was loaded"))
                }
            }
        }
    }

    /// Nil when there are no more.
    private func nextBatch(_ place: Int) async -> RowBatchBuffer? {
        while mustWait(place) {
            await withCheckedContinuation { if mustWait(place) { shards[place].writer = $0 } else { $0.resume() } }
        }
        guard failure == nil, !shards[place].waiting.isEmpty else {
            giveBack(credit: shards[place].waiting.credit)
            shards[place].waiting = RowBatchBuffer()
            return nil
        }
        var batch = shards[place].waiting.takeFirst(
            upTo: order.skippable > 0 ? Self.skippingBatchBytes : Self.batchBytes)
        shards[place].waiting.bytes.reserveCapacity(batch.bytes.count)
        batch.bytes.append(contentsOf: RowFormat.copyTrailer)
        return batch
    }

    /// Too few rows have come for a batch, and more may.
    private func mustWait(_ place: Int) -> Bool {
        let least = min(Self.batchBytes / 16, window / (2 * shards.count))
        return failure == nil && shards[place].waiting.bytes.count < least && !hasEnded
    }

    private func wake(_ place: Int) { shards[place].writer.take()?.resume() }

    /// The server has taken a batch.
    func taken(_ batch: RowBatchBuffer, by place: Int) {
        rowsTaken += batch.ends.count
        shards[place].report.rows += batch.ends.count
        giveBack(credit: batch.credit)
    }

    // MARK: Silence

    /// The client hears of the load at least so often, whatever the servers are at.
    private static var heartbeatPause: Duration { .seconds(5) }

    private func armHeartbeat() {
        heartbeat = executor.schedule(at: executor.now().advanced(by: Self.heartbeatPause)) {
            self.assumeIsolated { run in
                run.onEvent(.progress(run.phase, done: run.rowsTaken, total: 0, shard: ""))
                run.armHeartbeat()
            }
        }
    }

    private func stopHeartbeat() { if let timer = heartbeat.take() { executor.cancel(timer) } }

    private func watchIdle() {
        idleTimer = executor.schedule(at: lastHeard.advanced(by: limits.idle)) {
            self.assumeIsolated { $0.checkIdle() }
        }
    }

    private func checkIdle() {
        idleTimer = nil
        guard failure == nil, !hasEnded else { return }
        // While the servers are at work, the client may have no credit to send anything.
        let isWaiting = shards.contains { $0.writer != nil }
        guard isWaiting, lastHeard.advanced(by: limits.idle) <= executor.now() else {
            lastHeard = isWaiting ? lastHeard : executor.now()
            return watchIdle()
        }
        fail(SearchError(.deadlineExceeded, "the client sent nothing for a long time; nothing was loaded"))
    }

    private func stopWatchingIdle() { if let timer = idleTimer.take() { executor.cancel(timer) } }
}

/// How many loads run in a gateway.
final class LoadCount: Sendable {
    private let running = Atomic<Int>(0)

    func begin(most: Int) -> Bool {
        if running.add(1, ordering: .relaxed).newValue <= most { return true }
        end()
        return false
    }

    func end() { running.subtract(1, ordering: .relaxed) }
}
