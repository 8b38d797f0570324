internal import CLibpq
internal import SluiceReactor

/// What is being waited for on a connection: one pipeline up to its Sync.
struct Operation {
    enum Step {
        case prepare(sql: String, name: String)
        /// Only its success matters.
        case ignored
        case rows(RowReader)
        /// The first row, as text.
        case texts
        case sync
    }

    enum Outcome: Sendable {
        case nothing
        case rows(RowBatch)
        case texts([String])
    }

    let number: UInt64
    /// Still to be answered by the server, first first.
    var steps: ArraySlice<Step>
    var outcome = Outcome.nothing
    var failure: PostgresFailure?
    var timer: TimerID?
    var waiter: CheckedContinuation<Result<Outcome, PostgresFailure>, Never>?
}

extension PostgresConnection {
    /// Sends what `send` puts into the pipeline, then a Sync, and waits for all of it.
    func perform(
        deadline: Int64, send: () throws(PostgresFailure) -> [Operation.Step]
    ) async throws(PostgresFailure) -> Operation.Outcome {
        guard state == .idle else { throw PostgresFailure(.connectionLost, "the connection is not ready") }
        let steps: [Operation.Step]
        do throws(PostgresFailure) {
            steps = try send()
            guard PQpipelineSync(handle) == 1 else {
                throw PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle)))
            }
        } catch {
            close(error)
            throw error
        }
        operationNumber += 1
        let number = operationNumber
        operation = Operation(number: number, steps: (steps + [.sync])[...])
        state = .running
        operation?.timer = reactor.schedule(at: deadline) { [weak self] in
            self?.assumeIsolated { $0.abandon(number, PostgresFailure(.timedOut, "no answer before the deadline")) }
        }
        flush()
        return try await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if operation?.number == number {
                    operation?.waiter = continuation
                } else {
                    // The flush has already found the connection dead.
                    continuation.resume(returning: .failure(PostgresFailure(.connectionLost, "the connection broke")))
                }
            }
        } onCancel: {
            reactor.execute {
                self.assumeIsolated { $0.abandon(number, PostgresFailure(.cancelled, "cancelled")) }
            }
        }.get()
    }

    // MARK: Reading and writing

    /// Sends what libpq still holds; watches for room if the socket is full.
    func flush() {
        guard handle != nil else { return }
        switch PQflush(handle) {
        case 0: setWriteWatched(false)
        case 1: setWriteWatched(true)
        default: close(PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle))))
        }
    }

    private func setWriteWatched(_ wanted: Bool) {
        guard wanted != isWriteWatched, let watch else { return }
        do {
            try reactor.change(watch, to: wanted ? .readWrite : .read)
            isWriteWatched = wanted
        } catch {
            close(PostgresFailure(.connectionLost, error.description))
        }
    }

    /// Takes what has arrived and answers the steps it completes.
    func pump() {
        guard handle != nil else { return }
        guard PQconsumeInput(handle) == 1 else {
            close(PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle))))
            return
        }
        if isWriteWatched { flush() }
        while handle != nil, PQisBusy(handle) == 0, let step = operation?.steps.first {
            guard let result = PQgetResult(handle) else {
                // The null that ends a command's results.
                operation?.steps.removeFirst()
                continue
            }
            defer { PQclear(result) }
            take(result, for: step)
        }
        if operation?.steps.isEmpty == true { operationEnded() }
        if handle != nil, PQstatus(handle) == CONNECTION_BAD {
            close(PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle))))
        }
    }

    private func take(_ result: OpaquePointer, for step: Operation.Step) {
        switch PQresultStatus(result) {
        case PGRES_PIPELINE_SYNC:
            guard case .sync = step else { return violated("a Sync out of order") }
            operation?.steps.removeFirst()
        case PGRES_PIPELINE_ABORTED:
            break
        case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            if case .prepare(let sql, let name) = step, !settings.isPooled, let old = statements.prepared(sql, as: name)
            {
                obsoleteStatements.append(old)
            }
        case PGRES_TUPLES_OK:
            takeRows(result, for: step)
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
            if operation?.failure == nil { operation?.failure = Self.failure(of: result) }
        default:
            violated("a reply that was not asked for")
        }
    }

    private func takeRows(_ result: OpaquePointer, for step: Operation.Step) {
        switch step {
        case .rows(let reader):
            do {
                operation?.outcome = .rows(try reader.read(result))
            } catch {
                close(error)
            }
        case .texts:
            guard PQntuples(result) > 0 else { return }
            operation?.outcome = .texts(
                (0..<PQnfields(result)).map { PQgetvalue(result, 0, $0).map { String(cString: $0) } ?? "" })
        case .ignored: break
        case .prepare, .sync: violated("rows where none belong")
        }
    }

    private func violated(_ what: String) {
        close(PostgresFailure(.protocolViolation, "the server sent \(what)"))
    }

    private static func failure(of result: OpaquePointer) -> PostgresFailure {
        guard let code = PQresultErrorField(result, Int32(UInt8(ascii: "C"))).map({ String(cString: $0) }),
            code.utf8.count == 5
        else {
            return PostgresFailure(.connectionLost, "the connection broke or the server's error had no SQLSTATE")
        }
        // 57014 without our cancel is statement_timeout, which is set from the deadline.
        return PostgresFailure(
            code == "57014" ? .timedOut : .server, sqlState: code, "the server refused the statement")
    }

    // MARK: Ending

    /// Everything up to the Sync has been read: the connection is clean.
    private func operationEnded() {
        let result = operation.map { operation -> Result<Operation.Outcome, PostgresFailure> in
            operation.failure.map { .failure($0) } ?? .success(operation.outcome)
        }
        if state == .running { state = .idle }
        finishOperation(result ?? .success(.nothing))
        drained()
    }

    /// Tells the waiter, at most once, and forgets the operation.
    func finishOperation(_ result: Result<Operation.Outcome, PostgresFailure>) {
        guard let ended = operation else { return }
        operation = nil
        if let timer = ended.timer { reactor.cancel(timer) }
        ended.waiter?.resume(returning: result)
    }
}
