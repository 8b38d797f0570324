public import SluiceCore

/// A statement of a load or a write. Connections know a prepared one by its identity.
public final class WriteStatement: Sendable {
    private let text: @Sendable (_ vectorSchema: String) -> String

    init(_ text: @escaping @Sendable (_ vectorSchema: String) -> String) { self.text = text }

    convenience init(_ sql: String) { self.init { _ in sql } }

    /// - Parameter vectorSchema: where the extension `vector` is.
    public func sql(vectorSchema: String) -> String { text(vectorSchema) }
}

/// One statement with its parameters, as a connection runs it.
public struct WriteCommand: Sendable {
    public enum ParameterType: Hashable, Sendable {
        case oid(UInt32)
        case vector(VectorForm)
    }

    public enum Values: Sendable {
        /// In text form; nil is null.
        case texts([String?])
        /// In binary form, each after its i32 length.
        case cells(ArraySlice<UInt8>)
    }

    public var statement: WriteStatement
    public var types: [ParameterType]
    public var values: Values
    /// It will be run again: prepared where that is possible.
    public var isRepeated: Bool

    init(
        _ statement: WriteStatement, types: [ParameterType] = [], values: Values = .texts([]), isRepeated: Bool = false
    ) {
        self.statement = statement
        self.types = types
        self.values = values
        self.isRepeated = isRepeated
    }

    init(_ sql: String, _ texts: [String?] = []) {
        self.init(
            WriteStatement(sql), types: texts.map { _ in .oid(0) }, values: .texts(texts))
    }
}

/// What a command brought.
public struct WriteResult: Hashable, Sendable {
    /// In text form.
    public var rows: [[String?]]
    public var affected: Int

    public init(rows: [[String?]] = [], affected: Int = 0) {
        self.rows = rows
        self.affected = affected
    }

    var firstValue: String? { rows.first?.first ?? nil }
}
