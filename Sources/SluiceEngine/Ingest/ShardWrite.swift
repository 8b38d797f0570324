internal import SluiceCore

/// A write's part on one shard.
struct ShardWrite: Sendable {
    let shard: String
    /// Cells of each row, and its place in the request.
    var rows: [(cells: [UInt8], place: Int)] = []
    var deletes: [(id: Int64, place: Int)] = []
}

/// What became of it.
struct ShardWriteEnd: Sendable {
    var write: ShardWrite
    var report: ShardReport
    var rows: [RowOutcome]
    var deletes: [RowOutcome]
    /// Nothing was sent, as the shard's source lets nobody be written to, as far as this gateway knows.
    var fenced: BackendFailure?

    init(_ write: ShardWrite, _ report: ShardReport, all outcome: RowOutcome) {
        self.write = write
        self.report = report
        rows = write.rows.map { _ in outcome }
        deletes = write.deletes.map { _ in outcome }
    }
}
