internal import SluiceCore

/// A statement's parameter in PostgreSQL's binary form.
public struct ParameterValue: Hashable, Sendable {
    public let typeOID: UInt32
    public let bytes: [UInt8]

    private init(typeOID: UInt32, bytes: [UInt8]) {
        self.typeOID = typeOID
        self.bytes = bytes
    }

    /// A value as it is: nothing is coerced.
    init(_ value: Filter.Value) {
        if case .textArray(let texts) = value {
            self.init(arrayOf: .text, texts.map { .text($0) })
        } else {
            self.init(typeOID: ScalarType(value).rawValue, bytes: Self.bytes(value))
        }
    }

    /// An array of one dimension without nulls (array_recv in utils/adt/arrayfuncs.c): the number of dimensions, 0 for
    /// "no nulls", the element's type; then the length, the first index, and each element with its length.
    /// - Parameter elements: all of that type.
    init(arrayOf type: ScalarType, _ elements: [Filter.Value]) {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: Int32(elements.isEmpty ? 0 : 1))
        bytes.append(bigEndian: Int32(0))
        bytes.append(bigEndian: type.rawValue)
        if !elements.isEmpty {
            bytes.append(bigEndian: Int32(clamping: elements.count))
            bytes.append(bigEndian: Int32(1))
        }
        for element in elements {
            let content = Self.bytes(element)
            bytes.append(bigEndian: Int32(clamping: content.count))
            bytes += content
        }
        self.init(typeOID: type.array, bytes: bytes)
    }

    private static func bytes(_ value: Filter.Value) -> [UInt8] {
        var bytes: [UInt8] = []
        switch value {
        case .bool(let flag): bytes.append(flag ? 1 : 0)
        case .int(let integer): bytes.append(bigEndian: integer)
        case .double(let number): bytes.append(bigEndian: number.bitPattern)
        case .text(let text): bytes += text.utf8
        case .timestamp(let microseconds): bytes.append(bigEndian: microseconds)
        case .uuid(let high, let low):
            bytes.append(bigEndian: high)
            bytes.append(bigEndian: low)
        case .textArray(let texts): bytes += ParameterValue(arrayOf: .text, texts.map { .text($0) }).bytes
        }
        return bytes
    }
}

/// The types that a filter's values have in PostgreSQL. The raw values are their OIDs (pg_type.dat).
enum ScalarType: UInt32 {
    case bool = 16
    case int8 = 20
    case text = 25
    case float8 = 701
    case timestamptz = 1_184
    case uuid = 2_950

    /// Of a `textArray`, its elements' type.
    init(_ value: Filter.Value) {
        switch value {
        case .bool: self = .bool
        case .int: self = .int8
        case .double: self = .float8
        case .text, .textArray: self = .text
        case .timestamp: self = .timestamptz
        case .uuid: self = .uuid
        }
    }

    /// The array type's OID.
    var array: UInt32 {
        switch self {
        case .bool: 1_000
        case .int8: 1_016
        case .text: 1_009
        case .float8: 1_022
        case .timestamptz: 1_185
        case .uuid: 2_951
        }
    }
}
