/// The types of columns that rows can be written to, by what their binary form is.
public enum ColumnKind: String, Hashable, Sendable, CaseIterable {
    case bool
    case int2
    case int4
    case int8
    case float4
    case float8
    /// `text`, `varchar`, `char(n)`, `citext`, and enumerations, whose binary form is their label.
    case text
    case json
    case jsonb
    case uuid
    /// Microseconds since 2000; without a time zone it is taken as UTC.
    case timestamp
    case date
    case textArray

    /// By the function that reads the type's binary form (`pg_type.typreceive`, for an array with its elements' type),
    /// which domains and types of extensions share with what they are made of. Nil for a type that rows cannot be
    /// written to.
    public init?(receiveFunction name: String) {
        switch name {
        case "boolrecv": self = .bool
        case "int2recv": self = .int2
        case "int4recv": self = .int4
        case "int8recv": self = .int8
        case "float4recv": self = .float4
        case "float8recv": self = .float8
        case "textrecv", "varcharrecv", "bpcharrecv", "citextrecv", "enum_recv": self = .text
        case "json_recv": self = .json
        case "jsonb_recv": self = .jsonb
        case "uuid_recv": self = .uuid
        case "timestamp_recv", "timestamptz_recv": self = .timestamp
        case "date_recv": self = .date
        case "array_recv:text": self = .textArray
        default: return nil
        }
    }

    /// For messages.
    var expected: String {
        switch self {
        case .bool: "a bool"
        case .int2, .int4, .int8: "an integer"
        case .float4, .float8: "a number"
        case .text: "a text"
        case .json, .jsonb: "a JSON text"
        case .uuid: "a UUID"
        case .timestamp: "a time in ISO 8601"
        case .date: "a date in ISO 8601"
        case .textArray: "an array of texts"
        }
    }

    /// In bytes; nil if values differ in length.
    var width: Int? {
        switch self {
        case .bool: 1
        case .int2: 2
        case .int4, .float4, .date: 4
        case .int8, .float8, .timestamp: 8
        case .uuid: 16
        case .text, .json, .jsonb, .textArray: nil
        }
    }
}
