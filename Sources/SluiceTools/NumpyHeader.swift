import Foundation

/// What a `.npy` file says of its array before the array's own bytes.
struct NumpyHeader: Sendable {
    typealias Problem = NumpyFile.Problem

    enum Element: String {
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

    /// A header is a line of text with a shape; no honest one is near this.
    static let maximumLength = 65_536

    let rowCount: Int
    let columnCount: Int
    /// Where the array's bytes begin.
    let start: Int
    let element: Element
    let isBigEndian: Bool

    /// - Parameter data: the file, or as much of its beginning as the header has.
    init(_ data: Data) throws {
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
        guard headerLength <= min(data.count, Self.maximumLength) - headerStart else {
            throw Problem("the header is cut short")
        }
        let header = [UInt8](data.dropFirst(headerStart).prefix(headerLength))
        let shape = try Self.shape(header)
        (element, isBigEndian) = try Self.element(header)
        guard Self.value(of: "fortran_order", header)?.starts(with: "True".utf8) != true else {
            throw Problem("the array is in Fortran order; save it in C order")
        }
        (rowCount, columnCount) = shape
        start = headerStart + headerLength
    }

    /// - Throws: `Problem` if a file of so many bytes has not the whole array.
    func check(fileSize: Int) throws {
        let (count, tooMany) = rowCount.multipliedReportingOverflow(by: columnCount)
        let (size, tooLarge) = count.multipliedReportingOverflow(by: element.size)
        guard !tooMany, !tooLarge, size <= fileSize - start else {
            throw Problem("the file is shorter than its shape says")
        }
    }

    func number(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Float {
        switch element {
        case .half: Self.half(ordered(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
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

    // MARK: The text, a Python dictionary

    private typealias Bytes = ArraySlice<UInt8>

    /// What follows a key.
    private static func value(of key: String, _ header: [UInt8]) -> Bytes? {
        guard let place = header.firstRange(of: Array("'\(key)':".utf8)) else { return nil }
        return header[place.upperBound...].drop(while: isSpace)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    /// `'<f4'`: the order of the bytes and the type.
    private static func element(_ header: [UInt8]) throws -> (Element, Bool) {
        guard let value = value(of: "descr", header), value.first == UInt8(ascii: "'"),
            let order = value.dropFirst().first, "<>=|".utf8.contains(order),
            let element = Element(
                rawValue: String(decoding: value.dropFirst(2).prefix { $0 != UInt8(ascii: "'") }, as: UTF8.self))
        else { throw Problem("the elements must be float16, float32 or float64") }
        return (element, order == UInt8(ascii: ">"))
    }

    /// `(1000, 384)`
    private static func shape(_ header: [UInt8]) throws -> (Int, Int) {
        guard var rest = value(of: "shape", header), take("(", &rest), let rows = number(&rest), take(",", &rest),
            let columns = number(&rest), take(",", &rest) || true, take(")", &rest), columns > 0
        else { throw Problem("the array must have two dimensions") }
        return (rows, columns)
    }

    private static func take(_ character: Unicode.Scalar, _ rest: inout Bytes) -> Bool {
        rest = rest.drop(while: isSpace)
        guard rest.first == UInt8(ascii: character) else { return false }
        rest = rest.dropFirst()
        return true
    }

    private static func number(_ rest: inout Bytes) -> Int? {
        rest = rest.drop(while: isSpace)
        let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        rest = rest[digits.endIndex...]
        return Int(String(decoding: digits, as: UTF8.self))
    }
}
