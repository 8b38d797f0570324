internal import SluiceCore

/// A write as its shards' pipelines are made from it.
struct WriteBatch: Sendable {
    let order: WriteOrder
    let collection: Collection
    let statements: IngestStatements
    let upsert: WriteStatement
    let types: [WriteCommand.ParameterType]
    /// What rows must be like that are stored, replaced or deleted.
    var filter: FilterPlan?

    /// The guard, the settings, and the journal's entry if there is a key.
    var firstRow: Int { order.key == nil ? 2 : 3 }

    func commands(_ write: ShardWrite, timeline: UInt32, timeout: Duration) -> [WriteCommand] {
        var commands = [
            IngestStatements.guardPrimary(timeline: timeline), IngestStatements.writeSettings(timeout: timeout),
        ]
        if let key = order.key {
            commands.append(IngestStatements.enter(key, collection, kind: "write", orSkip: false))
        }
        for row in write.rows {
            let cells = filter.map { row.cells + $0.cells } ?? row.cells
            commands.append(WriteCommand(upsert, types: types, values: .cells(cells[...]), isRepeated: true))
        }
        if !write.deletes.isEmpty { commands.append(statements.delete(write.deletes.map(\.id), filter)) }
        return commands
    }

    /// The journal has the key already.
    func isRepeated(_ error: BackendFailure) -> Bool {
        order.key != nil && error.sqlState == "23505" && error.place?.command == Self.journalCommand
    }

    func isMissingJournal(_ error: BackendFailure) -> Bool {
        order.key != nil && error.isMissingJournal(enteredBy: Self.journalCommand)
    }

    private static let journalCommand = 2

    static let outside = "a row is, or would be, outside of what this identity may see; nothing was written"

    /// Marks the row that the server refused.
    func blame(_ error: BackendFailure, _ end: ShardWriteEnd) -> ShardWriteEnd {
        guard error.isRefusal, error.reason == .statement, !error.isFencedTable, let command = error.place?.command
        else { return end }
        var end = end
        let place = command - firstRow
        if end.rows.indices.contains(place) { end.rows[place] = .failed }
        if filter != nil, place >= 0, error.sqlState == IngestStatements.outsideState {
            end.report.message = Self.outside
            end.report.sqlState = nil
        }
        return end
    }
}

/// What a lane keeps between writes: the statements, which connections know by identity, and what tables are.
struct UpsertCache {
    private struct Key: Hashable {
        var collection: Collection
        var columns: [String]
        var filter: FilterShape?
    }

    private var statements: [Key: WriteStatement] = [:]
    private var tables: [Collection: (table: TableDescription, until: Instant)] = [:]

    private static let mostStatements = 256
    private static let lifetime = Duration.seconds(30)

    mutating func statement(
        _ collection: Collection, _ columns: [String], _ filter: FilterShape?, _ make: () -> WriteStatement
    ) -> WriteStatement {
        let key = Key(collection: collection, columns: columns, filter: filter)
        if let known = statements[key] { return known }
        if statements.count >= Self.mostStatements { statements.removeAll() }
        let made = make()
        statements[key] = made
        return made
    }

    func table(_ collection: Collection, now: Instant) -> TableDescription? {
        tables[collection].flatMap { now < $0.until ? $0.table : nil }
    }

    mutating func forget(_ collection: Collection) { tables[collection] = nil }

    mutating func note(_ table: TableDescription, _ collection: Collection, now: Instant) {
        tables[collection] = (table, now.advanced(by: Self.lifetime))
    }
}
