package import Foundation

/// A two-dimensional array of floating-point numbers in NumPy's `.npy` format, versions 1 to 3, C order.
/// Source: numpy.lib.format, "Format Version 1.0" and later.
public struct NumpyFile: Sendable {
    public struct Problem: Error, Hashable, CustomStringConvertible, Sendable {
        public let description: String

        public init(_ description: String) { self.description = description }
    }

    private enum Element: String {
        case half = "f2"
        case single = "f4"
        case double = "f8"

        var size: Int {
            switch self {
            case .half: 2
            case .single: 4
            case .double: 8
            }
        }
    }

    public let rowCount: Int
    public let columnCount: Int
    private let data: Data
    private let start: Int
    private let element: Element
    private let isBigEndian: Bool

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
        let bytes = [UInt8](data.prefix(12))
        guard bytes.count >= 10, bytes.prefix(6).elementsEqual([0x93] + Array("NUMPY".utf8)) else {
            throw Problem("not a .npy file")
        }
        let isLong = bytes[6] >= 2
        guard (1...3).contains(bytes[6]), !isLong || bytes.count == 12 else {
            throw Problem("an unknown version of the .npy format")
        }
        let lengthBytes = isLong ? bytes[8..<12] : bytes[8..<10]
        let headerLength = lengthBytes.reversed().reduce(0) { $0 << 8 | Int($1) }
        let headerStart = isLong ? 12 : 10
        guard headerLength <= data.count - headerStart else { throw Problem("the header is cut short") }
        let header = String(decoding: data.dropFirst(headerStart).prefix(headerLength), as: UTF8.self)
        let shape = try Self.shape(header)
        (element, isBigEndian) = try Self.element(header)
        guard !header.contains("'fortran_order': True") else {
            throw Problem("the array is in Fortran order; save it in C order")
        }
        (rowCount, columnCount) = shape
        start = headerStart + headerLength
        self.data = data
        let (count, tooMany) = rowCount.multipliedReportingOverflow(by: columnCount)
        let (size, tooLarge) = count.multipliedReportingOverflow(by: element.size)
        guard !tooMany, !tooLarge, size <= data.count - start else {
            throw Problem("the file is shorter than its shape says")
        }
    }

    /// One row as Float32; nil if there is no such row.
    public func row(_ index: Int) -> [Float]? {
        guard index >= 0, index < rowCount else { return nil }
        let first = start + index * columnCount * element.size
        return data.withUnsafeBytes { bytes in
            (0..<columnCount).map { number(bytes, at: first + $0 * element.size) }
        }
    }

    private func number(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Float {
        switch element {
        case .half: Float(Self.half(ordered(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))))
        case .single: Float(bitPattern: ordered(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
        case .double: Float(Double(bitPattern: ordered(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))))
        }
    }

    private func ordered<Word: FixedWidthInteger>(_ word: Word) -> Word {
        isBigEndian ? Word(bigEndian: word) : Word(littleEndian: word)
    }

    /// IEEE 754 binary16: Float16 is missing from Swift on some of the platforms we build on.
    private static func half(_ bits: UInt16) -> Float {
        let sign: Float = bits & 0x8000 == 0 ? 1 : -1
        let exponent = Int(bits >> 10 & 0x1F)
        let fraction = Float(bits & 0x3FF) / 1_024
        switch exponent {
        case 0: return sign * fraction * 0x1p-14
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default: return sign * (1 + fraction) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
        }
    }

    // MARK: Header

    private static func element(_ header: String) throws -> (Element, Bool) {
        guard let type = header.firstMatch(of: /'descr':\s*'([<>=|])(\w+)'/),
            let element = Element(rawValue: String(type.2))
        else { throw Problem("the elements must be float16, float32 or float64") }
        return (element, type.1 == ">")
    }

    private static func shape(_ header: String) throws -> (Int, Int) {
        guard let shape = header.firstMatch(of: /'shape':\s*\(\s*(\d+)\s*,\s*(\d+)\s*,?\s*\)/),
            let rows = Int(shape.1), let columns = Int(shape.2), columns > 0
        else { throw Problem("the array must have two dimensions") }
        return (rows, columns)
    }
}
