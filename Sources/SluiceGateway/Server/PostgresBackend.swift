public import SluiceCore
public import SluiceEngine
public import SluicePostgres
public import SluiceReactor

/// A replica behind libpq, as the engine wants to see it.
struct PostgresBackend: SearchBackend {
    let shardName: String
    let replicaName: String
    let settings: ConnectionSettings
    let reactors: [Reactor]
    /// Nil if the server is not shared.
    var permit: DialPermit?

    func connect(
        lane: Int, deadline: Instant, onClose: @escaping @Sendable () -> Void
    ) async throws(BackendFailure) -> any BackendConnection {
        // The server may be well, so this is no failure until the time for it is over.
        if let permit, await !permit.wait(until: deadline, now: { reactors[lane].now() }) {
            throw BackendFailure(.unreachable, detail: "it does not show how its connections are shared")
        }
        do throws(PostgresFailure) {
            let connection = try await PostgresConnection.connect(
                settings, on: reactors[lane], deadline: deadline.nanoseconds, onClose: onClose)
            let facts = await connection.facts
            return PostgresBackendConnection(
                connection: connection, role: facts.isStandby ? .standby : .primary, incarnation: facts.incarnation)
        } catch {
            throw BackendFailure(error)
        }
    }
}

private struct PostgresBackendConnection: BackendConnection {
    let connection: PostgresConnection
    let role: ReplicaRole
    let incarnation: UInt64?

    func search(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> LegRows {
        do throws(PostgresFailure) {
            return LegRows(try await connection.search(SearchStatement(request), deadline: deadline.nanoseconds))
        } catch {
            throw BackendFailure(error)
        }
    }

    func explain(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> PlanOutline {
        do throws(PostgresFailure) {
            return PlanOutline(try await connection.explain(SearchStatement(request), deadline: deadline.nanoseconds))
        } catch {
            throw BackendFailure(error)
        }
    }

    func interrupt() { connection.interrupt() }

    func settle() async -> Bool { await connection.settle() }

    func inspect(_ tables: [TableName], deadline: Instant) async throws(BackendFailure) -> BackendFacts {
        do throws(PostgresFailure) {
            let facts = try await connection.inspect(
                tables.map { ($0.schema, $0.table) }, deadline: deadline.nanoseconds)
            return BackendFacts(
                role: facts.isStandby ? .standby : .primary, timeline: facts.timeline, position: facts.position,
                incarnation: facts.incarnation, systemIdentifier: facts.systemIdentifier,
                estimatedRows: facts.estimatedRows)
        } catch {
            throw BackendFailure(error)
        }
    }

    func run(_ commands: [WriteCommand], deadline: Instant) async throws(BackendFailure) -> [WriteResult] {
        do throws(PostgresFailure) {
            return try await connection.run(commands.map(Command.init), deadline: deadline.nanoseconds).map {
                WriteResult(rows: $0.rows, affected: $0.affected)
            }
        } catch {
            throw BackendFailure(error)
        }
    }

    func copy(
        _ command: CopyCommand, _ rows: [ArraySlice<UInt8>], deadline: Instant
    ) async throws(BackendFailure) -> Int {
        do throws(PostgresFailure) {
            return try await connection.copy(
                command.sql, relation: command.relation, rows, deadline: deadline.nanoseconds)
        } catch {
            throw BackendFailure(error)
        }
    }

    func close() async { await connection.close() }
}

extension SearchStatement {
    fileprivate init(_ request: BackendSearch) {
        let shape = request.shape
        // Rounded up: 0 would mean no time-out at all.
        let milliseconds = Int32(clamping: request.timeout.microseconds / 1_000 + 1)
        self.init(
            query: shape, settings: request.settings.shape, timeoutMilliseconds: milliseconds,
            settingValues: request.settings.values, subject: request.subject, token: request.token,
            columnCount: shape.columnCount, maximumRows: shape.rowLimit, maximumBytes: request.maximumBytes)
        subjectType = SubjectType(shape.subject)
        furtherSubjects = request.furtherSubjects
        reading = shape.isEstimate ? .plan : .rows
        if !request.parameters.isEmpty {
            parameters = request.parameters.map { BinaryParameter(typeOID: $0.typeOID, bytes: $0.bytes) }
        }
    }
}

extension PlanOutline {
    fileprivate init(_ plan: QueryPlan) {
        self.init(
            steps: plan.steps, indexUse: plan.isOrderedByIndex ? .vector : plan.readsIndex ? .other : .none,
            rows: plan.rows, cost: plan.cost)
    }
}

extension LegRows {
    fileprivate convenience init(_ rows: RowBatch) {
        self.init(
            ids: rows.ids, distances: rows.distances, columnTypes: rows.columnTypes, cells: rows.cells,
            offsets: rows.offsets, further: rows.further.isEmpty ? [] : rows.further.map { LegRows($0) })
    }
}

extension SubjectType {
    init(_ subject: SearchShape.Subject) {
        self =
            switch subject {
            case .vector(.vector): .vector
            case .vector(.halfvec): .halfvec
            case .vector(.sparsevec): .sparsevec
            case .vector(.bit): .bit
            case .text: .text
            case .ids: .ids
            }
    }
}

extension SearchShape: StatementText {
    public func sql(for facts: ServerFacts) -> String { sql(vectorSchema: facts.vectorSchema) }
}

extension SettingShape: StatementText {
    public func sql(for facts: ServerFacts) -> String { sql }
}

extension WriteStatement: StatementText {
    public func sql(for facts: ServerFacts) -> String { sql(vectorSchema: facts.vectorSchema) }
}

extension Command {
    fileprivate init(_ command: WriteCommand) {
        let types = command.types.map { type in
            switch type {
            case .oid(let oid): ParameterType.oid(oid)
            case .vector(let form): ParameterType.subject(SubjectType(.vector(form)))
            }
        }
        switch command.values {
        case .texts(let texts): self.init(command.statement, types: types, values: .texts(texts))
        case .cells(let cells):
            self.init(command.statement, types: types, values: .cells(cells), isPrepared: command.isRepeated)
        }
    }
}

extension BackendFailure {
    init(_ failure: PostgresFailure) {
        self.init(Self.reason(of: failure), sqlState: failure.sqlState, detail: failure.description)
        place = failure.place.map {
            Place(command: $0.command, line: $0.line, constraint: $0.constraint, column: $0.column)
        }
    }

    /// SQLSTATE classes by what may be done about them. Source: PostgreSQL, Appendix A.
    private static func reason(of failure: PostgresFailure) -> AttemptFailure {
        switch failure.kind {
        case .unreachable, .unusable: return .unreachable
        case .connectionLost: return .connectionLost
        case .timedOut: return .timedOut
        case .cancelled: return .cancelled
        case .protocolViolation, .integrity: return .integrity
        case .tooLarge: return .tooLarge
        case .server: break
        }
        switch failure.sqlState ?? "" {
        // 40001 and 40P01 of a read on a standby: recovery conflicts.
        case "40001", "40P01": return .recoveryConflict
        case "25006": return .notServing
        case let state where state.hasPrefix("57P") || state.hasPrefix("08"): return .notServing
        case let state where state.hasPrefix("53") || state.hasPrefix("58") || state.hasPrefix("XX"):
            return .outOfResources
        default: return .statement
        }
    }
}

extension Reactor: LaneExecutor {
    public func now() -> Instant { Instant(nanoseconds: Reactor.now()) }

    public func schedule(at instant: Instant, _ body: @escaping @Sendable () -> Void) -> LaneTimer {
        LaneTimer(rawValue: schedule(at: instant.nanoseconds, body).rawValue)
    }

    public func cancel(_ timer: LaneTimer) { cancel(TimerID(rawValue: timer.rawValue)) }
}
