import Foundation

/// A field of a row of a file.
public enum FieldValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    case double(Double)
    /// Of a CSV file all that is not null. Of JSON also objects and mixed arrays, as JSON.
    case text(String)
    case texts([String])
    /// A JSON array of numbers.
    case numbers([Float])
}

/// A row of a file, and where it begins.
public struct FileRow: Hashable, Sendable {
    /// From 1.
    public var line: Int
    /// One for each of the reader's names.
    public var fields: [FieldValue]
    let bytes: [UInt8]

    /// As the file has it.
    public var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// The rows of a CSV file (RFC 4180, a header line, an empty field without quotes is null) or of a JSONL file (an
/// object on each line), one after another, without the file in memory.
public final class RowReader {
    private enum Format {
        case csv
        case jsonl
    }

    /// A row is a row and not a file of another kind.
    static let maximumRowBytes = 64 * 1_024 * 1_024

    /// What the fields of each row are.
    public private(set) var names: [String] = []
    public let path: String
    private let source: ByteSource
    private let format: Format
    /// All keys are to be known: nothing is left out by accident.
    private let isExact: Bool
    /// Where each name is in a line of CSV.
    private var places: [Int] = []
    private var width = 0
    private var lines = 0
    /// The first row of a JSONL file, which says what there is.
    private var first: FileRow?

    /// - Parameter names: which fields, in which order; nil for all of the header, or of the first object.
    /// - Throws: `FileProblem` if the file cannot be read or does not have a field of a name.
    public init(path: String, names: [String]? = nil) throws {
        self.path = path
        isExact = names == nil
        switch path.split(separator: ".").last.map({ $0.lowercased() }) {
        case "csv": format = .csv
        case "jsonl", "ndjson": format = .jsonl
        case "parquet":
            throw FileProblem(path, "Parquet files cannot be read; save the columns as .csv or .jsonl")
        default: throw FileProblem(path, "rows are read from .csv and .jsonl files")
        }
        source = try ByteSource(path: path)
        switch format {
        case .csv: try readHeader(names)
        case .jsonl: try readFirst(names)
        }
    }

    public func next() throws -> FileRow? {
        if let row = first {
            first = nil
            return row
        }
        guard let (line, bytes) = try record() else { return nil }
        return format == .csv ? try csvRow(line, bytes) : try jsonRow(line, bytes)
    }

    // MARK: Records

    /// The bytes up to a newline, for CSV one that is not in quotes; empty lines are left out.
    private func record() throws -> (line: Int, bytes: [UInt8])? {
        var bytes: [UInt8] = []
        var isQuoted = false
        var line = lines + 1
        let isCSV = format == .csv
        while try source.fill() {
            let (chunk, start, limit) = (source.chunk, source.place, source.end)
            var end = start
            while end < limit {
                let byte = chunk[end]
                if byte == Ascii.quote, isCSV { isQuoted.toggle() }
                if byte == Ascii.newline {
                    lines += 1
                    if !isQuoted { break }
                }
                end += 1
            }
            bytes += chunk[start..<end]
            guard bytes.count <= Self.maximumRowBytes else { throw FileProblem(path, line: line, "the row has no end") }
            source.advance(by: min(end + 1, limit) - start)
            guard end < limit else { continue }
            if bytes.last == Ascii.carriageReturn { bytes.removeLast() }
            if !bytes.isEmpty { return (line, bytes) }
            line = lines + 1
        }
        if isQuoted { throw FileProblem(path, line: line, "a quote has no end") }
        if bytes.last == Ascii.carriageReturn { bytes.removeLast() }
        return bytes.isEmpty ? nil : (line, bytes)
    }

    // MARK: CSV

    private func readHeader(_ wanted: [String]?) throws {
        guard case (let line, var bytes)? = try record() else {
            throw FileProblem(path, "the file has no header line")
        }
        // A byte order mark belongs to no name.
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
        let fields: [FieldValue]
        do { fields = try CSVRecord.fields(bytes) } catch { throw FileProblem(path, line: line, error.description) }
        let header = try fields.map { field in
            guard case .text(let name) = field else { throw FileProblem(path, line: line, "a column has no name") }
            return name
        }
        guard Set(header).count == header.count else { throw FileProblem(path, line: line, "a column is named twice") }
        width = header.count
        names = wanted ?? header
        places = try names.map { name in
            guard let place = header.firstIndex(of: name) else {
                throw FileProblem(
                    path, line: line, "there is no column \(name); there are \(header.joined(separator: ", "))")
            }
            return place
        }
    }

    private func csvRow(_ line: Int, _ bytes: [UInt8]) throws -> FileRow {
        do {
            let fields = try CSVRecord.fields(bytes)
            guard fields.count == width else {
                throw FileProblem(path, line: line, "the row has \(fields.count) fields, the header \(width)")
            }
            return FileRow(line: line, fields: places.map { fields[$0] }, bytes: bytes)
        } catch let problem as CSVRecord.Problem {
            throw FileProblem(path, line: line, problem.description)
        }
    }

    // MARK: JSONL

    private func readFirst(_ wanted: [String]?) throws {
        names = wanted ?? []
        guard let (line, bytes) = try record() else { return }
        if wanted == nil { names = try members(line, bytes).map(\.name) }
        first = try jsonRow(line, bytes)
    }

    private func members(_ line: Int, _ bytes: [UInt8]) throws -> [JSONLine.Member] {
        do { return try JSONLine.members(bytes) } catch {
            throw FileProblem(path, line: line, error.description)
        }
    }

    private func jsonRow(_ line: Int, _ bytes: [UInt8]) throws -> FileRow {
        var fields = [FieldValue](repeating: .null, count: names.count)
        for member in try members(line, bytes) {
            if let place = names.firstIndex(of: member.name) {
                fields[place] = member.value
            } else if isExact {
                throw FileProblem(
                    path, line: line, "the first object has no key \(member.name); name the columns to load")
            }
        }
        return FileRow(line: line, fields: fields, bytes: bytes)
    }
}

enum Ascii {
    static let quote = UInt8(ascii: "\"")
    static let comma = UInt8(ascii: ",")
    static let newline = UInt8(ascii: "\n")
    static let carriageReturn = UInt8(ascii: "\r")
    static let backslash = UInt8(ascii: "\\")
}

/// One record of a CSV file, without its newline.
enum CSVRecord {
    struct Problem: Error { let description: String }

    static func fields(_ bytes: [UInt8]) throws(Problem) -> [FieldValue] {
        var fields: [FieldValue] = []
        var place = 0
        while true {
            if place < bytes.count, bytes[place] == Ascii.quote {
                fields.append(.text(try quoted(bytes, &place)))
            } else {
                let start = place
                while place < bytes.count, bytes[place] != Ascii.comma {
                    guard bytes[place] != Ascii.quote else { throw Problem(description: "a quote inside a field") }
                    place += 1
                }
                fields.append(place == start ? .null : .text(try text(bytes[start..<place])))
            }
            guard place < bytes.count else { return fields }
            guard bytes[place] == Ascii.comma else { throw Problem(description: "text follows a closing quote") }
            place += 1
        }
    }

    private static func quoted(_ bytes: [UInt8], _ place: inout Int) throws(Problem) -> String {
        var content: [UInt8] = []
        place += 1
        while place < bytes.count {
            if bytes[place] == Ascii.quote {
                guard place + 1 < bytes.count, bytes[place + 1] == Ascii.quote else {
                    place += 1
                    return try text(content[...])
                }
                place += 1
            }
            content.append(bytes[place])
            place += 1
        }
        throw Problem(description: "a quote has no end")
    }

    private static func text(_ bytes: ArraySlice<UInt8>) throws(Problem) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Problem(description: "not UTF-8") }
        return text
    }
}
