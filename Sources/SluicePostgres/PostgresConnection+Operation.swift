internal import CLibpq
internal import COpenSSL
internal import SluiceReactor

/// What is being waited for on a connection: one pipeline up to its Sync.
final class Operation {
    enum Step {
        case prepare(any StatementText, name: String)
        /// Only its success matters.
        case ignored
        case rows
        /// `EXPLAIN`'s, for its estimate.
        case plan
        /// The same, for all that it says.
        case outline
        /// The first row, as text.
        case texts
        /// All rows, as text, and how many were touched.
        case command
        /// The same, and the columns' names before the rows.
        case table
        /// The server is ready to take a COPY's rows.
        case copyIn
        case sync
    }

    enum Outcome: Sendable {
        case nothing
        case rows(RowBatch)
        case texts([String])
        case plan(QueryPlan)
    }

    let number: UInt64
    var reader = RowReader(token: 0, maximumRows: 0, maximumBytes: 0, columnCount: 0)
    private var steps: [Step] = []
    private var answered = 0
    var outcome = Outcome.nothing
    /// What the steps of kind `command` gave, in their order.
    var commands: [CommandResult] = []
    /// The table that rows are copied to, to find the line in an error's context.
    var relation: String?
    var failure: PostgresFailure?
    /// The statements are the operator's: what the server says of them may be told.
    var keepsWords = false
    private(set) var words: String?
    /// What the server may still make libpq hold and compute.
    var budget = ReadBudget(limit: ReadBudget.catalogueBytes)
    /// A first read has not brought all of it.
    var isLong = false
    var timer: TimerID?
    /// It may end before anybody waits for it: a task that does not prefer the reactor is let in again at each call.
    private var waiter: CheckedContinuation<Result<Outcome, PostgresFailure>, Never>?
    private var result: Result<Outcome, PostgresFailure>?

    init(number: UInt64) {
        self.number = number
        steps.reserveCapacity(4)
    }

    func expect(_ step: Step) { steps.append(step) }

    /// The first step that the server has not finished.
    var current: Step? { answered < steps.count ? steps[answered] : nil }

    func stepEnded() { answered += 1 }

    /// The first failure is the one that counts: what follows comes of it.
    func failed(_ failure: PostgresFailure, words: @autoclosure () -> String?) {
        guard self.failure == nil else { return }
        self.failure = failure
        if keepsWords { self.words = words() }
    }

    /// Adds the rows of one of the pipeline's queries.
    func take(_ batch: RowBatch) throws(PostgresFailure) {
        guard case .rows(var first) = outcome else {
            outcome = .rows(batch)
            return
        }
        outcome = .nothing
        first.further.append(batch)
        let bytes = first.further.reduce(first.cells.count) { $0 + $1.cells.count }
        outcome = .rows(first)
        guard bytes <= reader.maximumBytes else { throw RowReader.tooManyBytes }
    }

    var isAnswered: Bool { answered >= steps.count }

    func wait(_ continuation: CheckedContinuation<Result<Outcome, PostgresFailure>, Never>) {
        if let result { continuation.resume(returning: result) } else { waiter = continuation }
    }

    /// Tells the waiter. It keeps what it was told first: after an abandoned one the server may end by itself.
    func finish(_ result: Result<Outcome, PostgresFailure>) {
        guard self.result == nil else { return }
        self.result = result
        waiter.take()?.resume(returning: result)
    }
}

extension PostgresConnection {
    func newOperation() -> Operation { Operation(number: operationNumber + 1) }

    /// Sends what `send` puts into the pipeline, then a Sync, and waits for all of it.
    @inline(__always)
    func perform(
        _ next: Operation, deadline: Int64, send: () throws(PostgresFailure) -> Void
    ) async throws(PostgresFailure) -> Operation.Outcome {
        guard state == .idle else { throw PostgresFailure(.connectionLost, "the connection is not ready") }
        do throws(PostgresFailure) {
            try send()
            guard PQpipelineSync(handle) == 1 else {
                throw PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle)))
            }
        } catch {
            close(error)
            throw error
        }
        next.expect(.sync)
        begin(next, deadline: deadline)
        return try await outcome(of: next)
    }

    /// From here on what comes is the operation's. Before any `await`: libpq may have sent already what was put into
    /// its buffer, and what is read while nothing is asked for is dropped or makes no event a second time.
    func begin(_ next: Operation, deadline: Int64) {
        let number = next.number
        operationNumber = number
        operation = next
        state = .running
        next.timer = reactor.schedule(at: deadline) {
            self.assumeIsolated { $0.abandon(number, PostgresFailure(.timedOut, "no answer before the deadline")) }
        }
        flush()
    }

    @inline(__always)
    func outcome(of begun: Operation) async throws(PostgresFailure) -> Operation.Outcome {
        let number = begun.number
        return try await withTaskCancellationHandler {
            await withCheckedContinuation { wait($0, for: begun) }
        } onCancel: {
            reactor.execute {
                self.assumeIsolated { $0.abandon(number, PostgresFailure(.cancelled, "cancelled")) }
            }
        }.get()
    }

    /// A closure is the connection's own, and runs on its thread, only if it names something of the connection's.
    private func wait(
        _ waiter: CheckedContinuation<Result<Operation.Outcome, PostgresFailure>, Never>, for begun: Operation
    ) { begun.wait(waiter) }

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
        for _ in 0..<Self.readsAtATime {
            let asked = operation
            let reading = read()
            if handle != nil, operation === asked { watchBudget(reading) }
            // What TLS has decrypted and libpq had no room for is no event of the descriptor's.
            guard let tls, SSL_pending(tls) > 0 else { return }
        }
        // Others wait for this thread.
        _ = reactor.schedule(at: Reactor.now()) { self.assumeIsolated { $0.pump() } }
    }

    private static let readsAtATime = 16

    private func read() -> ReadBudget.Reading {
        guard handle != nil else { return .init(bytes: 0) }
        let wasPending = tls.map { SSL_pending($0) > 0 } ?? false
        let (isRead, bytes) = SocketReads.bounded(to: ReadBudget.bytesAtATime) { PQconsumeInput(handle) == 1 }
        var reading = ReadBudget.Reading(bytes: bytes, wasPending: wasPending)
        guard isRead else {
            let failure = PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle)))
            close(lastWords() ?? failure)
            return reading
        }
        if isWriteWatched { flush() }
        if !isWriteWatched { resumeDrainWaiter() }
        let isFirst = operation?.isLong == false
        let start = isFirst ? 0 : Reactor.threadTime()
        if let operation { takeResults(of: operation) } else { dropUnasked() }
        if handle != nil, PQstatus(handle) == CONNECTION_BAD {
            close(PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle))))
        }
        if !isFirst { reading.work = Reactor.threadTime() - start }
        return reading
    }

    /// Notices, changed parameters and notifications may come at any time; libpq keeps what it is not asked for.
    private func dropUnasked() {
        guard handle != nil else { return }
        _ = PQisBusy(handle)
        while let notification = PQnotifies(handle) { PQfreemem(notification) }
    }

    /// After a read that has not brought all that was asked for, or that brought what was not.
    private func watchBudget(_ reading: ReadBudget.Reading) {
        let verdict: ReadBudget.Verdict
        if let operation {
            operation.isLong = true
            verdict = operation.budget.spent(reading)
        } else {
            verdict = unasked.spent(reading)
        }
        switch verdict {
        case .within: break
        case .tooManyBytes:
            let failure = PostgresFailure(.protocolViolation, "the server says too much that it was not asked for")
            close(operation == nil ? failure : RowReader.tooManyBytes)
        case .tooMuchWork: close(PostgresFailure(.protocolViolation, "what the server sends takes too long to read"))
        }
    }

    /// The server may have said why before it hung up: the last error that it gave a SQLSTATE. Rows that came before it
    /// are of no use without it, and on a dead connection libpq makes results up.
    private func lastWords() -> PostgresFailure? {
        guard operation != nil else { return nil }
        var nulls = 0
        for _ in 0..<Self.mostLastResults where PQisBusy(handle) == 0 && nulls < 2 {
            guard let result = PQgetResult(handle) else {
                nulls += 1
                continue
            }
            defer { PQclear(result) }
            nulls = 0
            let failure = Self.failure(of: result)
            if PQresultStatus(result) == PGRES_FATAL_ERROR, failure.sqlState != nil { return failure }
        }
        return nil
    }

    /// A pipeline has fewer results than this.
    private static let mostLastResults = 256

    private func takeResults(of operation: Operation) {
        var nulls = 0
        while handle != nil, PQisBusy(handle) == 0, let step = operation.current {
            guard let result = PQgetResult(handle) else {
                if case .sync = step {
                    // An error at the commit comes before the Sync's own result, with a null of its own.
                    nulls += 1
                    guard nulls < 2 else { return }
                } else {
                    // The null that ends a command's results.
                    operation.stepEnded()
                }
                continue
            }
            defer { PQclear(result) }
            take(result, for: step, of: operation)
        }
        if handle != nil, operation.isAnswered { ended(operation) }
    }

    private func take(_ result: OpaquePointer, for step: Operation.Step, of operation: Operation) {
        switch PQresultStatus(result) {
        case PGRES_PIPELINE_SYNC:
            guard case .sync = step else { return violated("a Sync out of order") }
            operation.stepEnded()
        case PGRES_PIPELINE_ABORTED:
            break
        case PGRES_COPY_IN:
            guard case .copyIn = step else { return violated("a COPY that was not asked for") }
            operation.stepEnded()
        case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            switch step {
            case .command: operation.commands.append(Self.command(result))
            case .prepare(let text, let name):
                guard !settings.isPooled else { return }
                if let old = statements.prepared(text, as: name) { obsoleteStatements.append(old) }
            case .ignored: break
            case .rows, .plan, .outline, .texts, .table, .copyIn, .sync: violated("nothing where rows belong")
            }
        case PGRES_TUPLES_OK:
            takeRows(result, for: step, of: operation)
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE:
            var failure = Self.failure(of: result)
            // A server that says no code is none to go on with; nor is a connection that libpq has given up.
            guard failure.sqlState != nil else { return close(failure) }
            failure.place = Self.place(of: result, in: operation)
            operation.failed(failure, words: Self.words(of: result))
        default:
            violated("a reply that was not asked for")
        }
    }

    private func takeRows(_ result: OpaquePointer, for step: Operation.Step, of operation: Operation) {
        switch step {
        case .rows, .plan:
            do throws(PostgresFailure) {
                let isPlan = if case .plan = step { true } else { false }
                try operation.take(isPlan ? RowReader.estimate(result) : operation.reader.read(result))
            } catch {
                guard error.kind == .tooLarge else { return close(error) }
                // The request's own fault: what else the server sends is read and dropped.
                if operation.failure == nil { operation.failure = error }
            }
        case .outline:
            do throws(PostgresFailure) { operation.outcome = .plan(try RowReader.plan(result)) } catch { close(error) }
        case .texts:
            guard PQntuples(result) > 0 else { return }
            operation.outcome = .texts(
                (0..<PQnfields(result)).map { PQgetvalue(result, 0, $0).map { String(cString: $0) } ?? "" })
        case .command:
            operation.commands.append(Self.command(result))
        case .table:
            let names = (0..<PQnfields(result)).map { PQfname(result, $0).map { String(cString: $0) } }
            operation.commands.append(CommandResult(rows: [names] + Self.texts(result)))
        case .ignored: break
        case .prepare, .sync, .copyIn: violated("rows where none belong")
        }
    }

    private static func texts(_ result: OpaquePointer) -> [[String?]] {
        let fields = 0..<PQnfields(result)
        return (0..<PQntuples(result)).map { row in
            fields.map { field in
                guard PQgetisnull(result, row, field) == 0 else { return nil }
                return PQgetvalue(result, row, field).map { String(cString: $0) }
            }
        }
    }

    private static func command(_ result: OpaquePointer) -> CommandResult {
        let affected = PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0
        return CommandResult(rows: texts(result), affected: affected)
    }

    private func violated(_ what: String) { _ = violation(what) }

    /// Closes the connection, and says why.
    func violation(_ what: String) -> PostgresFailure {
        let failure = PostgresFailure(.protocolViolation, "the server sent \(what)")
        close(failure)
        return failure
    }

    private static func place(of result: OpaquePointer, in operation: Operation) -> PostgresFailure.Place {
        func field(_ letter: Unicode.Scalar) -> String? {
            PQresultErrorField(result, Int32(letter.value)).map { String(cString: $0) }
        }
        return PostgresFailure.Place(
            command: operation.commands.count,
            line: operation.relation.flatMap { relation in
                field("W").flatMap { PostgresFailure.Place.line(inContext: $0, relation: relation) }
            },
            constraint: field("n"), column: field("c"))
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
    private func ended(_ operation: Operation) {
        if state == .running { state = .idle }
        unasked = ReadBudget(limit: ReadBudget.idleBytes)
        finishOperation(operation.failure.map { .failure($0) } ?? .success(operation.outcome))
        drained()
    }

    /// Tells the waiter, at most once, and forgets the operation.
    func finishOperation(_ result: Result<Operation.Outcome, PostgresFailure>) {
        guard let finished = operation else { return }
        operation = nil
        if let timer = finished.timer { reactor.cancel(timer) }
        finished.finish(result)
    }
}
