internal import CLibpq

/// The rows of one leg. The cells stay as PostgreSQL sent them: for each row its columns one after another, each a
/// big-endian Int32 length (-1 for null) and that many bytes, as a DataRow has them.
public struct RowBatch: Sendable {
    public var ids: [Int64] = []
    public var distances: [Double] = []
    public var columnTypes: [UInt32] = []
    public var cells: [UInt8] = []
    /// Where each row's cells begin in `cells`; one more than there are rows.
    public var offsets: [Int] = [0]
    /// Those of the statement's further subjects, in their order.
    public var further: [RowBatch] = []

    public init() {}

    public var count: Int { ids.count }
}

/// Reads `token, id, distance, column…` out of a result, trusting nothing about it.
package struct RowReader {
    /// What each row must carry.
    let token: Int64
    let maximumRows: Int
    let maximumBytes: Int
    let columnCount: Int

    package init(token: Int64, maximumRows: Int, maximumBytes: Int, columnCount: Int) {
        self.token = token
        self.maximumRows = maximumRows
        self.maximumBytes = maximumBytes
        self.columnCount = columnCount
    }

    package func read(_ result: OpaquePointer) throws(PostgresFailure) -> RowBatch {
        let rows = Int(PQntuples(result))
        guard Int(PQnfields(result)) == columnCount + Self.ownColumns else {
            throw violation("another number of columns")
        }
        guard rows <= maximumRows else { throw violation("more rows than asked for") }
        for field in 0..<Int32(columnCount + Self.ownColumns) where PQfformat(result, field) != 1 {
            throw violation("text where binary was asked for")
        }
        guard PQftype(result, 0) == Self.bigint, Self.integers.contains(PQftype(result, 1)),
            PQftype(result, 2) == Self.float8
        else { throw violation("a token, an id or a distance of another type") }
        var batch = RowBatch()
        batch.columnTypes = (0..<Int32(columnCount)).map { PQftype(result, $0 + Int32(Self.ownColumns)) }
        batch.ids.reserveCapacity(rows)
        batch.distances.reserveCapacity(rows)
        batch.offsets.reserveCapacity(rows + 1)
        for row in 0..<Int32(rows) {
            try checkToken(result, row)
            batch.ids.append(try id(result, row))
            batch.distances.append(try distance(result, row))
            for column in 0..<Int32(columnCount) {
                appendCell(result, row, column + Int32(Self.ownColumns), to: &batch.cells)
            }
            guard batch.cells.count <= maximumBytes else { throw Self.tooManyBytes }
            batch.offsets.append(batch.cells.count)
        }
        return batch
    }

    /// The token, the id and the distance.
    private static let ownColumns = 3

    /// OIDs that are the same in every server (pg_type.dat).
    private static let bigint: Oid = 20
    private static let integers: [Oid] = [20, 23, 21]
    private static let float8: Oid = 701

    private func checkToken(_ result: OpaquePointer, _ row: Int32) throws(PostgresFailure) {
        let bytes = try value(result, row, 0, "null as a token")
        guard bytes.count == 8, Int64(bigEndian: bytes.loadUnaligned(as: Int64.self)) == token else {
            throw PostgresFailure(.integrity, "the server sent rows of another request")
        }
    }

    private func id(_ result: OpaquePointer, _ row: Int32) throws(PostgresFailure) -> Int64 {
        let bytes = try value(result, row, 1, "null as an id")
        switch bytes.count {
        case 8: return Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
        case 4: return Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self)))
        case 2: return Int64(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self)))
        default: throw violation("an id that is not a bigint, integer or smallint")
        }
    }

    private func distance(_ result: OpaquePointer, _ row: Int32) throws(PostgresFailure) -> Double {
        // A row without a vector has no distance, and no place in the order.
        if PQgetisnull(result, row, 2) != 0 { return .nan }
        let bytes = try value(result, row, 2, "null as a distance")
        guard bytes.count == 8 else { throw violation("a distance that is not a float8") }
        return Double(bitPattern: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)))
    }

    private func appendCell(_ result: OpaquePointer, _ row: Int32, _ column: Int32, to cells: inout [UInt8]) {
        let isNull = PQgetisnull(result, row, column) != 0
        let length = isNull ? -1 : PQgetlength(result, row, column)
        withUnsafeBytes(of: length.bigEndian) { cells.append(contentsOf: $0) }
        guard length > 0, let start = PQgetvalue(result, row, column) else { return }
        cells.append(contentsOf: UnsafeRawBufferPointer(start: start, count: Int(length)))
    }

    private func value(
        _ result: OpaquePointer, _ row: Int32, _ column: Int32, _ complaint: String
    ) throws(PostgresFailure) -> UnsafeRawBufferPointer {
        guard PQgetisnull(result, row, column) == 0, let start = PQgetvalue(result, row, column) else {
            throw violation(complaint)
        }
        return UnsafeRawBufferPointer(start: start, count: Int(max(0, PQgetlength(result, row, column))))
    }

    static var tooManyBytes: PostgresFailure {
        PostgresFailure(.tooLarge, "the rows have more bytes than a reply may have")
    }

    /// A plan in JSON.
    package static func plan(_ result: OpaquePointer) throws(PostgresFailure) -> QueryPlan {
        guard PQntuples(result) == 1, PQnfields(result) == 1, PQgetisnull(result, 0, 0) == 0,
            let start = PQgetvalue(result, 0, 0)
        else { throw noPlan }
        let length = Int(max(0, PQgetlength(result, 0, 0)))
        guard let plan = QueryPlan(json: UnsafeRawBufferPointer(start: start, count: length)) else { throw noPlan }
        return plan
    }

    private static var noPlan: PostgresFailure { PostgresFailure(.protocolViolation, "the server sent no plan") }

    /// The planner's estimate of a plan in JSON, as the id of a row.
    package static func estimate(_ result: OpaquePointer) throws(PostgresFailure) -> RowBatch {
        guard let rows = Int64(exactly: try plan(result).rows.rounded()) else { throw noPlan }
        var batch = RowBatch()
        batch.ids = [rows]
        batch.distances = [0]
        batch.offsets = [0, 0]
        return batch
    }

    private func violation(_ what: String) -> PostgresFailure {
        PostgresFailure(.protocolViolation, "the server sent \(what)")
    }
}
