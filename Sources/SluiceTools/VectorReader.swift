import Foundation

/// The vectors of a file, one after another, without the file in memory: `.npy` (float16, float32 or float64, two
/// dimensions, C order), `.fvecs` (for each vector its Int32 dimensions and Float32 components) or `.fbin` (UInt32
/// rows, UInt32 dimensions, then Float32 components), the last two little-endian.
public final class VectorReader {
    private enum Format {
        case npy(NumpyHeader)
        case fvecs
        case fbin
    }

    public let path: String
    public let rowCount: Int
    public let dimensions: Int
    private let source: ByteSource
    private let format: Format
    private var rowsRead = 0
    private var raw: [UInt8] = []

    /// pgvector's own limit; what is above is no vector but a file of another kind.
    private static let maximumDimensions = 1_000_000

    /// - Throws: `FileProblem` if the file cannot be read, is not of its kind, or has another length than it says.
    public init(path: String) throws {
        self.path = path
        source = try ByteSource(path: path)
        switch path.split(separator: ".").last.map({ $0.lowercased() }) {
        case "npy":
            let header = try Self.numpyHeader(path, source)
            (rowCount, dimensions, format) = (header.rowCount, header.columnCount, .npy(header))
            raw = [UInt8](repeating: 0, count: dimensions * header.element.size)
        case "fbin":
            let words = try Self.words(source, count: 2)
            (rowCount, dimensions, format) = (words[0], words[1], .fbin)
            try Self.check(dimensions, path)
            let (count, isTooLarge) = rowCount.multipliedReportingOverflow(by: 4 * dimensions)
            guard !isTooLarge, count == source.size - 8 else {
                throw FileProblem(path, "the file has another length than its \(rowCount) rows of \(dimensions)")
            }
        case "fvecs":
            let size = source.size
            // Looked at by itself: the reader begins with it again.
            dimensions = size == 0 ? 1 : try Self.words(ByteSource(path: path), count: 1)[0]
            try Self.check(dimensions, path)
            (rowCount, format) = (size / (4 + 4 * dimensions), .fvecs)
            guard size.isMultiple(of: 4 + 4 * dimensions) else {
                throw FileProblem(path, "the file has no whole number of vectors of \(dimensions) dimensions")
            }
        case "parquet":
            throw FileProblem(
                path, "Parquet files cannot be read; save the vectors as .npy and the other columns as .csv or .jsonl")
        default:
            throw FileProblem(path, "vectors are read from .npy, .fvecs and .fbin files")
        }
    }

    /// The next vector, in the place of what is there.
    /// - Returns: false after the last.
    public func next(into floats: inout [Float]) throws -> Bool {
        guard rowsRead < rowCount else { return false }
        if case .fvecs = format {
            guard try Self.words(source, count: 1)[0] == dimensions else {
                throw FileProblem(path, "vector \(rowsRead) has other dimensions than the \(dimensions) of the first")
            }
        }
        if floats.count != dimensions { floats = [Float](repeating: 0, count: dimensions) }
        if case .npy(let header) = format, !header.isNative {
            let count = try raw.withUnsafeMutableBytes { try source.read(into: $0) }
            guard count == raw.count else { throw cutShort }
            raw.withUnsafeBytes { bytes in
                for index in floats.indices { floats[index] = header.number(bytes, at: index * header.element.size) }
            }
        } else {
            let count = try floats.withUnsafeMutableBytes { try source.read(into: $0) }
            guard count == 4 * dimensions else { throw cutShort }
            #if _endian(big)
            for index in floats.indices { floats[index] = Float(bitPattern: floats[index].bitPattern.byteSwapped) }
            #endif
        }
        rowsRead += 1
        return true
    }

    private var cutShort: FileProblem { FileProblem(path, "the file is cut short in vector \(rowsRead)") }

    private static func check(_ dimensions: Int, _ path: String) throws {
        guard (1...maximumDimensions).contains(dimensions) else {
            throw FileProblem(path, "the file says that its vectors have \(dimensions) dimensions")
        }
    }

    private static func numpyHeader(_ path: String, _ source: ByteSource) throws -> NumpyHeader {
        guard try source.fill() else { throw FileProblem(path, "not a .npy file") }
        do {
            let header = try NumpyHeader(Data(source.chunk[..<min(source.end, NumpyHeader.maximumLength)]))
            try header.check(fileSize: source.size)
            try check(header.columnCount, path)
            source.advance(by: header.start)
            return header
        } catch let problem as NumpyFile.Problem {
            throw FileProblem(path, problem.description)
        }
    }

    /// Little-endian UInt32.
    private static func words(_ source: ByteSource, count: Int) throws -> [Int] {
        var words = [UInt32](repeating: 0, count: count)
        let read = try words.withUnsafeMutableBytes { try source.read(into: $0) }
        guard read == 4 * count else { throw FileProblem(source.path, "the file is cut short") }
        return words.map { Int(UInt32(littleEndian: $0)) }
    }
}

extension NumpyHeader {
    /// Float32 as the file and, on most machines, this process have it.
    fileprivate var isNative: Bool { element == .single && !isBigEndian }
}
