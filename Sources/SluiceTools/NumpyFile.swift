package import Foundation

/// A two-dimensional array of floating-point numbers in NumPy's `.npy` format, versions 1 to 3, C order.
/// Source: numpy.lib.format, "Format Version 1.0" and later.
public struct NumpyFile: Sendable {
    public struct Problem: Error, Hashable, CustomStringConvertible, Sendable {
        public let description: String

        public init(_ description: String) { self.description = description }
    }

    public let rowCount: Int
    public let columnCount: Int
    private let data: Data
    private let header: NumpyHeader

    /// - Throws: `Problem` if the file cannot be read or is not such an array.
    public init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw Problem("\(path): the file cannot be read")
        }
        do {
            try self.init(data: data)
        } catch let problem as Problem {
            throw Problem("\(path): \(problem)")
        }
    }

    package init(data: Data) throws {
        header = try NumpyHeader(data)
        (rowCount, columnCount) = (header.rowCount, header.columnCount)
        self.data = data
        try header.check(fileSize: data.count)
    }

    /// One row as Float32; nil if there is no such row.
    public func row(_ index: Int) -> [Float]? {
        guard index >= 0, index < rowCount else { return nil }
        let size = header.element.size
        let first = header.start + index * columnCount * size
        return data.withUnsafeBytes { bytes in
            (0..<columnCount).map { header.number(bytes, at: first + $0 * size) }
        }
    }
}
