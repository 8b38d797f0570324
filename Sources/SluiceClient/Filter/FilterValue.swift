public import SluiceWire

extension Filter {
    /// What a column is compared with; literals of text, numbers, bools and arrays of texts are values.
    public struct Value: Hashable, Sendable {
        package let value: FilterValue

        package init(_ value: FilterValue) { self.value = value }

        public static func bool(_ flag: Bool) -> Value { Value(.bool(flag)) }

        public static func int(_ integer: Int) -> Value { Value(.int(Int64(integer))) }

        /// Finite.
        public static func double(_ number: Double) -> Value { Value(.double(number)) }

        /// Without NUL, which PostgreSQL's texts cannot have.
        public static func text(_ text: String) -> Value { Value(.text(text)) }

        public static func textArray(_ texts: [String]) -> Value { Value(.textArray(texts)) }

        /// From 4714 BC to 294276.
        public static func timestamp(microsecondsSince2000 microseconds: Int64) -> Value {
            Value(.timestamp(microseconds))
        }

        /// A time as ISO 8601 writes it, such as `2024-01-31` or `2024-01-31T12:30:05.25+01:00`; UTC without a zone.
        public static func timestamp(_ text: String) throws(FilterSyntaxError) -> Value {
            guard let microseconds = TimestampText.microseconds(text) else {
                throw FilterSyntaxError(in: Array(text.utf8), at: 0, expected: FilterSyntaxError.timestamp)
            }
            return Value(.timestamp(microseconds))
        }

        /// 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12, as Foundation's `uuidString` has them.
        public static func uuid(_ text: String) throws(FilterSyntaxError) -> Value {
            guard let (high, low) = UUIDText.parse(text) else {
                throw FilterSyntaxError(in: Array(text.utf8), at: 0, expected: FilterSyntaxError.uuid)
            }
            return Value(.uuid(high: high, low: low))
        }
    }
}

extension Filter.Value: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringInterpolation, ExpressibleByArrayLiteral
{
    public init(booleanLiteral flag: Bool) { self.init(.bool(flag)) }

    public init(integerLiteral integer: Int64) { self.init(.int(integer)) }

    public init(floatLiteral number: Double) { self.init(.double(number)) }

    public init(stringLiteral text: String) { self.init(.text(text)) }

    public init(arrayLiteral texts: String...) { self.init(.textArray(texts)) }
}
