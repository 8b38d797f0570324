internal import SluiceWire

extension Filter {
    /// A column to make conditions of. A value whose type does not fit the column's is refused by the gateway with
    /// `invalidArgument`; integers and floating-point numbers fit each other.
    public struct Column: Sendable {
        private let name: String

        init(_ name: String) { self.name = name }

        /// What `.column("section") == "net"` begins with.
        public static func column(_ name: String) -> Column { Column(name) }

        public static func == (column: Column, value: Value) -> Filter { column.compared(.equal, value) }

        public static func != (column: Column, value: Value) -> Filter { column.compared(.notEqual, value) }

        public static func < (column: Column, value: Value) -> Filter { column.compared(.less, value) }

        public static func <= (column: Column, value: Value) -> Filter { column.compared(.lessOrEqual, value) }

        public static func > (column: Column, value: Value) -> Filter { column.compared(.greater, value) }

        public static func >= (column: Column, value: Value) -> Filter { column.compared(.greaterOrEqual, value) }

        private func compared(_ comparison: FilterComparison, _ value: Value) -> Filter {
            Filter(.compare(column: name, comparison, value.value))
        }

        /// Equal to one of them; of an empty list nothing is.
        public func `in`(_ values: [Value]) -> Filter { Filter(.oneOf(column: name, values.map(\.value))) }

        /// Both ends included.
        public func between(_ low: Value, _ high: Value) -> Filter {
            Filter(.between(column: name, low: low.value, high: high.value))
        }

        public var isNull: Filter { Filter(.isNull(column: name)) }

        public var isNotNull: Filter { !isNull }

        /// For a text column: it begins with the prefix, case included.
        public func hasPrefix(_ prefix: String) -> Filter { Filter(.hasPrefix(column: name, prefix)) }

        /// For a text[] column: it has one of the texts.
        public func overlaps(_ texts: [String]) -> Filter { Filter(.overlaps(column: name, texts)) }
    }
}
