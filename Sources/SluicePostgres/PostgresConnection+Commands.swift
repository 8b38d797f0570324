internal import CLibpq
internal import SluiceReactor

/// One statement of a pipeline, with its parameters.
public struct Command: Sendable {
    public enum ParameterType: Hashable, Sendable {
        case oid(UInt32)
        /// Of a type of pgvector's, whose OIDs differ between servers.
        case subject(SubjectType)
    }

    public enum Values: Sendable {
        /// In text form; nil is null.
        case texts([String?])
        /// In binary form, each after its i32 length (−1 is null).
        case cells(ArraySlice<UInt8>)
    }

    public var text: any StatementText
    public var types: [ParameterType]
    public var values: Values
    /// Prepared once and used again, where there is no pooler.
    public var isPrepared: Bool

    public init(_ text: any StatementText, types: [ParameterType], values: Values, isPrepared: Bool = false) {
        self.text = text
        self.types = types
        self.values = values
        self.isPrepared = isPrepared
    }
}

/// What a command brought: its rows in text form, and how many rows it touched.
public struct CommandResult: Hashable, Sendable {
    public var rows: [[String?]]
    public var affected: Int

    public init(rows: [[String?]] = [], affected: Int = 0) {
        self.rows = rows
        self.affected = affected
    }
}

extension PostgresConnection {
    /// Runs commands in one pipeline with one Sync: outside a transaction they are one of their own, so that all of
    /// them happen or none.
    ///
    /// After a failure of kind `timedOut` or `cancelled` the connection is behind its fence until `settle()` returns.
    /// - Throws: a failure whose `place.command` says which command the server refused.
    /// - Parameter deadline: an instant of `Reactor.now()`.
    public func run(_ commands: [Command], deadline: Int64) async throws(PostgresFailure) -> [CommandResult] {
        do {
            return try await runOnce(commands, deadline: deadline)
        } catch  where error.mayBeStalePlan {
            // Nothing of it has happened, and it is not known which of the statements is stale.
            statements.forgetAll()
            return try await runOnce(commands, deadline: deadline)
        }
    }

    private func runOnce(_ commands: [Command], deadline: Int64) async throws(PostgresFailure) -> [CommandResult] {
        let operation = newOperation()
        _ = try await perform(operation, deadline: deadline) { () throws(PostgresFailure) in
            // A statement that comes again in this pipeline is prepared by its first use.
            var fresh: [ObjectIdentifier: String] = [:]
            for command in commands { try send(command, operation, &fresh) }
        }
        guard operation.commands.count == commands.count else {
            throw violation("another number of results")
        }
        return operation.commands
    }

    private func send(
        _ command: Command, _ operation: Operation, _ fresh: inout [ObjectIdentifier: String]
    ) throws(PostgresFailure) {
        let types = command.types.map { type in
            switch type {
            case .oid(let oid): oid
            case .subject(let subject): facts.oid(of: subject)
            }
        }
        var name: String?
        if command.isPrepared {
            let known = fresh[ObjectIdentifier(command.text)]
            if let known { name = known } else { name = try prepare(command.text, types: { types }, operation) }
            fresh[ObjectIdentifier(command.text)] = name
        }
        switch command.values {
        case .texts(let texts):
            let result = ParameterTexts.with(optional: texts) { values in
                if let name {
                    return PQsendQueryPrepared(handle, name, Int32(clamping: texts.count), values, nil, nil, 0)
                }
                return PQsendQueryParams(
                    handle, command.text.sql(for: facts), Int32(clamping: texts.count), types, values, nil, nil, 0)
            }
            try sent(result)
        case .cells(let cells):
            let result = CellPointers.with(cells, count: types.count) { values, lengths, formats in
                let count = Int32(clamping: types.count)
                if let name { return PQsendQueryPrepared(handle, name, count, values, lengths, formats, 0) }
                return PQsendQueryParams(
                    handle, command.text.sql(for: facts), count, types, values, lengths, formats, 0)
            }
            guard let result else { throw PostgresFailure(.server, "the cells do not fit the statement's parameters") }
            try sent(result)
        }
        operation.expect(.command)
    }
}

/// Parameters that lie one after another in memory, as libpq wants them: a pointer and a length for each.
enum CellPointers {
    /// Nil if there are not exactly so many cells.
    static func with(
        _ cells: ArraySlice<UInt8>, count: Int,
        _ body: ([UnsafePointer<CChar>?], [Int32], [Int32]) -> Int32
    ) -> Int32? {
        cells.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return nil }
            var (values, lengths): ([UnsafePointer<CChar>?], [Int32]) = ([], [])
            var offset = 0
            for _ in 0..<count {
                guard bytes.count - offset >= 4 else { return nil }
                let length = Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))
                offset += 4
                guard length >= -1, bytes.count - offset >= Int(max(0, length)) else { return nil }
                values.append(length < 0 ? nil : base.advanced(by: offset).assumingMemoryBound(to: CChar.self))
                lengths.append(max(0, length))
                offset += Int(max(0, length))
            }
            guard offset == bytes.count else { return nil }
            return body(values, lengths, [Int32](repeating: 1, count: count))
        }
    }
}

extension ParameterTexts {
    static func with(
        optional texts: [String?], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Int32
    ) -> Int32 {
        with(texts.map { $0 ?? "" }) { values in
            guard let values, texts.contains(nil) else { return body(values) }
            let pointers = texts.indices.map { texts[$0] == nil ? nil : values[$0] }
            return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
        }
    }
}
