import SluiceCore
import SluiceEngine
import Synchronization

/// A database that answers at once, in ways that a number chooses: rows, refusals, lost connections, silence.
final class FuzzBackend: SearchBackend {
    let shardName: String
    let replicaName: String
    private let steps: Mutex<SplitMix64>
    private let fails: Bool
    private let isTenants: Bool
    /// What no database should have been asked.
    let complaint = Mutex<String?>(nil)

    /// - Parameters:
    ///   - script: 0 for a database that always answers well.
    ///   - isTenants: all that is asked is asked for the tenant.
    init(shard: String, script: UInt8, isTenants: Bool) {
        self.isTenants = isTenants
        shardName = shard
        replicaName = "\(shard)-a"
        fails = script != 0
        steps = Mutex(SplitMix64(seed: UInt64(script)))
    }

    func connect(
        lane: Int, deadline: Instant, onClose: @escaping @Sendable () -> Void
    ) async throws(BackendFailure) -> any BackendConnection {
        Connection(backend: self)
    }

    /// From 0 to 255; what is below 160 is a good answer.
    private func step() -> UInt8 { fails ? UInt8(truncatingIfNeeded: steps.withLock { $0.next() }) : 0 }

    private final class Connection: BackendConnection {
        let backend: FuzzBackend
        let role = ReplicaRole.primary
        let incarnation: UInt64? = 1
        private let silence = Mutex<AsyncStream<Void>.Continuation?>(nil)

        init(backend: FuzzBackend) { self.backend = backend }

        func interrupt() { silence.withLock { $0 }?.finish() }

        func settle() async -> Bool { backend.step() < 240 }

        func close() async {}

        func inspect(_ tables: [TableName], deadline: Instant) async throws(BackendFailure) -> BackendFacts {
            BackendFacts(
                role: .primary, timeline: 1, position: 7, incarnation: 1, estimatedRows: tables.map { _ in 1_000 })
        }

        func explain(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> PlanOutline {
            try await fail()
            return PlanOutline(steps: "Seq Scan", indexUse: .none, rows: 1, cost: 1)
        }

        func search(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> LegRows {
            if backend.isTenants, let complaint = FuzzTenant.complaint(request) {
                backend.complaint.withLock { $0 = complaint }
            }
            try await fail()
            if request.shape.isEstimate { return LegRows(ids: [1_000], distances: [0], offsets: [0, 0]) }
            let further = request.furtherSubjects.map { rows(request, $0) }
            let first = rows(request, request.subject)
            return LegRows(
                ids: first.ids, distances: first.distances, columnTypes: first.columnTypes, cells: first.cells,
                offsets: first.offsets, further: further)
        }

        /// Either an error, or a good answer, or none before the task is cancelled or the search interrupted.
        private func fail() async throws(BackendFailure) {
            switch backend.step() {
            case ..<160: return
            case ..<190: throw BackendFailure(.statement, sqlState: "42703", detail: "scripted")
            case ..<200: throw BackendFailure(.recoveryConflict, sqlState: "40001", detail: "scripted")
            case ..<210: throw BackendFailure(.outOfResources, sqlState: "53300", detail: "scripted")
            case ..<220: throw BackendFailure(.integrity, detail: "scripted")
            case ..<230: throw BackendFailure(.connectionLost, detail: "scripted")
            case ..<240: throw BackendFailure(.timedOut, detail: "scripted")
            default:
                let (nothing, end) = AsyncStream.makeStream(of: Void.self)
                silence.withLock { $0 = end }
                for await _ in nothing {}
                throw BackendFailure(.cancelled, detail: "scripted")
            }
        }

        /// Fewer than asked for, one as far as another, one of a later row null.
        private func rows(_ request: BackendSearch, _ subject: [UInt8]) -> LegRows {
            let shape = request.shape
            let count = min(shape.rowLimit, 5)
            var (cells, offsets): ([UInt8], [Int]) = ([], [0])
            for row in 0..<count {
                for _ in 0..<shape.columnCount {
                    let text = row == 3 ? nil : Array("row \(row)".utf8)
                    cells.append(bigEndian: text.map { Int32(clamping: $0.count) } ?? -1)
                    cells += text ?? []
                }
                offsets.append(cells.count)
            }
            let first = Int64(subject.last ?? 0)
            return LegRows(
                ids: (0..<count).map { first + Int64($0) }, distances: (0..<count).map { Double($0 / 2) },
                columnTypes: Array(repeating: 25, count: shape.columnCount), cells: cells, offsets: offsets)
        }

        // MARK: Writing

        func run(_ commands: [WriteCommand], deadline: Instant) async throws(BackendFailure) -> [WriteResult] {
            try await fail()
            return commands.map { command in
                let sql = command.statement.sql(vectorSchema: "public")
                if sql.contains("relkind") { return WriteResult(rows: Self.table) }
                return WriteResult(rows: [["1"]], affected: 1)
            }
        }

        /// As `TableDescription` asks for it.
        private static let table: [[String?]] = [
            ("id", "20", "int8recv"), ("embedding", "16385", nil), ("name", "25", "textrecv"),
            ("n", "23", "int4recv"), ("tags", "1009", "array_recv:text"), ("at", "1184", "timestamptz_recv"),
        ].map { name, type, receive in
            ["r", "t", "t", name, type, "a type", receive, name == "id" ? "t" : "f", "f"]
        }

        func copy(
            _ command: CopyCommand, _ rows: [ArraySlice<UInt8>], deadline: Instant
        ) async throws(BackendFailure) -> Int {
            try await fail()
            return 1
        }
    }
}
