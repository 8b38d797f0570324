import SluiceClient
import SluiceTools

/// Which files have the rows, and what of them is what.
struct LoadPlan: Sendable {
    var vectors: String?
    var rows: String?
    /// Nil if the ids are counted.
    var idColumn: String?
    var firstID: Int64
    /// Nil if the vectors are in a file of their own.
    var vectorColumn: String?
    var columns: [String]

    /// What the reader of the rows file is asked for: the columns, then the vector and the id.
    var names: [String] { columns + [vectorColumn, idColumn].compactMap { $0 } }
}

/// The rows of the files in blocks. Each iterator reads the files anew.
struct FileBlocks: AsyncSequence, Sendable {
    typealias Element = LoadBlock

    let plan: LoadPlan

    func makeAsyncIterator() -> Iterator { Iterator(plan: plan) }

    struct Iterator: AsyncIteratorProtocol {
        let plan: LoadPlan
        private var source: LoadSource?

        init(plan: LoadPlan) { self.plan = plan }

        mutating func next() async throws -> LoadBlock? {
            let source = try source ?? LoadSource(plan)
            self.source = source
            return try source.next()
        }
    }
}

/// One reading of the files.
final class LoadSource {
    private static let blockSize = 128 * 1_024

    private let plan: LoadPlan
    private let vectors: VectorReader?
    private let rows: RowReader?
    private var floats: [Float] = []
    private var values: [Filter.Value?] = []
    private var count: Int64 = 0

    init(_ plan: LoadPlan) throws {
        self.plan = plan
        vectors = try plan.vectors.map { try VectorReader(path: $0) }
        rows = try plan.rows.map { try RowReader(path: $0, names: plan.names) }
    }

    /// How many rows there will be, if that is known before they are read.
    var total: Int? { vectors?.rowCount }

    func next() throws -> LoadBlock? {
        var block = LoadBlock(capacity: Self.blockSize + Self.blockSize / 4)
        while block.byteCount < Self.blockSize, try append(to: &block) {}
        return block.rowCount == 0 ? nil : block
    }

    private func append(to block: inout LoadBlock) throws -> Bool {
        let hasVector = try vectors?.next(into: &floats) ?? false
        let row = try rows?.next()
        if let vectors, let rows, hasVector != (row != nil) {
            let (short, long) = hasVector ? (rows.path, vectors.path) : (vectors.path, rows.path)
            throw FileProblem(short, "it has only \(count) rows, fewer than \(long)")
        }
        guard hasVector || row != nil else { return false }
        let id = try id(of: row)
        values.removeAll(keepingCapacity: true)
        for field in row?.fields.prefix(plan.columns.count) ?? [] { values.append(Self.value(field)) }
        if plan.vectorColumn != nil, let row, try !takeVector(of: row) {
            try block.append(LoadRow(id: id, vector: nil, values: values))
        } else {
            try floats.withUnsafeBufferPointer { try block.append(id: id, floats: $0, values: values) }
        }
        count += 1
        return true
    }

    private func id(of row: FileRow?) throws -> Int64 {
        guard let row, let name = plan.idColumn else {
            let (id, isTooLarge) = plan.firstID.addingReportingOverflow(count)
            guard !isTooLarge else { throw FileProblem(plan.vectors ?? plan.rows ?? "", "there is no id left") }
            return id
        }
        switch row.fields.last {
        case .int(let id)?: return id
        case .text(let text)?: if let id = Int64(text) { return id }
        default: break
        }
        throw FileProblem(plan.rows ?? "", line: row.line, "the id in \(name) is no integer of 64 bits")
    }

    /// - Returns: false if it is null.
    private func takeVector(of row: FileRow) throws -> Bool {
        do throws(VectorText.Problem) {
            switch row.fields[plan.columns.count] {
            case .null: return false
            case .numbers(let numbers): floats = numbers
            case .text(let text): floats = try VectorText.parseArray(text)
            default: floats = try VectorText.parseArray("")
            }
            return true
        } catch {
            throw FileProblem(plan.rows ?? "", line: row.line, error.description)
        }
    }

    private static func value(_ field: FieldValue) -> Filter.Value? {
        switch field {
        case .null: nil
        case .bool(let flag): .bool(flag)
        case .int(let integer): .int(Int(integer))
        case .double(let number): .double(number)
        case .text(let text): .text(text)
        case .texts(let texts): .textArray(texts)
        case .numbers(let numbers): .text("{\(numbers.map { String($0) }.joined(separator: ","))}")
        }
    }

    // MARK: Where a row was

    /// The places of rows that turned out to be bad, which are looked up only then.
    static func places(of bad: [BadRow], in plan: LoadPlan) -> [Int: FileRow] {
        let wanted = Set(bad.map(\.row))
        guard let path = plan.rows, let last = wanted.max(), let rows = try? RowReader(path: path, names: plan.names)
        else { return [:] }
        var places: [Int: FileRow] = [:]
        for number in 0...max(0, last) {
            guard let row = try? rows.next() else { break }
            if wanted.contains(number) { places[number] = row }
        }
        return places
    }
}
