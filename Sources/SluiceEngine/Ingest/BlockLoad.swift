internal import SluiceCore

/// Blocks of rows for a collection's shards, made as loads make them, for whoever runs them without a lane: `load` of
/// `sluice bench --direct` is the same COPY. There is no journal and no fence.
package struct BlockLoad: Sendable {
    /// The rows of a block that belong to one shard.
    package struct Part: Sendable {
        /// The shard's place in the catalogue.
        package let shard: Int
        package fileprivate(set) var rowCount = 0
        fileprivate var rows: [UInt8] = []

        /// All of a binary COPY.
        package var copy: [ArraySlice<UInt8>] { [RowFormat.copyHeader[...], rows[...], RowFormat.copyTrailer[...]] }
    }

    /// What is asked on each shard's primary before there can be a load.
    package struct Question: Sendable {
        fileprivate let collection: Collection
        package let command: WriteCommand

        /// - Throws: if the collection cannot be loaded into.
        package init(_ name: String, in catalogue: Catalogue) throws(SearchError) {
            collection = try catalogue.writable(name)
            command = TableDescription.question(collection)
        }

        /// Their places in the catalogue.
        package var shards: [Int] { collection.shards }
    }

    /// What opens a part's transaction.
    package static let opening = [IngestStatements.begin, IngestStatements.loadSettings]
    package static let commit = [IngestStatements.commit]
    package static let rollback = [IngestStatements.rollback]
    package static let timeout = IngestLimits().batch

    package let command: CopyCommand
    private let collection: Collection
    private let statements: IngestStatements
    private let format: RowFormat
    private let placement: HashPlacement

    /// - Parameter answers: to the question, in the order of its shards.
    /// - Throws: if the tables are not those of the collection, or unlike each other.
    package init(_ question: Question, _ answers: [[WriteResult]]) throws(SearchError) {
        let collection = question.collection
        guard let placement = HashPlacement(shardCount: collection.shards.count) else {
            throw SearchError(.notSupported, "\(collection.name) has no shards")
        }
        var format: RowFormat?
        for answer in answers {
            guard let table = answer.first.flatMap({ TableDescription($0.rows) }) else {
                throw SearchError(.notSupported, "\(collection.name): a shard has no such table")
            }
            let found = try table.format(collection, [])
            guard format == nil || format == found else {
                throw SearchError(.notSupported, "\(collection.name): its shards' tables have different columns")
            }
            format = found
        }
        guard let format else { throw SearchError(.notSupported, "\(collection.name): no shard describes its table") }
        self.collection = collection
        self.placement = placement
        self.format = format
        statements = IngestStatements(collection: collection)
        command = CopyCommand(sql: statements.copy(into: statements.table, []), relation: collection.table)
    }

    /// - Parameter rows: whole packed rows, as clients send them, without values of columns.
    /// - Returns: a part for each shard that gets some, in the order of the catalogue.
    package func parts(of rows: [UInt8]) throws(SearchError) -> [Part] {
        var parts = collection.shards.map { Part(shard: $0) }
        let problem: SearchError? = rows.withUnsafeBytes { bytes in
            var packed = PackedRows(bytes)
            while true {
                let row: PackedRow?
                do throws(MalformedRows) { row = try packed.next() } catch {
                    return SearchError(.malformed, "a block of rows is not whole packed rows")
                }
                guard let row else { return nil }
                let place = placement.shard(of: row.id)
                do throws(RowProblem) { try format.append(row, of: bytes, to: &parts[place].rows) } catch {
                    return SearchError(.badRow, error.description)
                }
                parts[place].rowCount += 1
            }
        }
        if let problem { throw problem }
        return parts.filter { $0.rowCount > 0 }.sorted { $0.shard < $1.shard }
    }

    /// What deletes rows, by the shards' places in the catalogue.
    package func deletes(_ ids: [Int64]) -> [(shard: Int, command: WriteCommand)] {
        Dictionary(grouping: ids, by: placement.shard(of:)).map { place, ids in
            (collection.shards[place], statements.delete(ids))
        }
    }
}
