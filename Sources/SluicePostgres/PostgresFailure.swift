/// Why something asked of a PostgreSQL server did not happen.
///
/// `detail` is ours or libpq's and meant for the log; texts that the server wrote about a statement are left out,
/// because they may quote data.
public struct PostgresFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// No connection could be made.
        case unreachable
        /// The connection ended while it was needed.
        case connectionLost
        /// The deadline passed.
        case timedOut
        case cancelled
        /// The server refused the statement; `sqlState` says why.
        case server
        /// The server sent what it must not: the connection is closed.
        case protocolViolation
        /// The rows were not this request's own: the connection is closed.
        case integrity
        /// The rows have more bytes than the statement may bring; the connection is clean, or closed if they are far
        /// more.
        case tooLarge
        /// The server cannot be used as it is set up.
        case unusable
    }

    public var kind: Kind
    /// Five characters of the SQL standard's error classes.
    public var sqlState: String?
    public var detail: String
    /// Of `server`: what of the pipeline was refused.
    public var place: Place?

    /// Where a server found something to refuse. Names only, as its texts may quote data.
    public struct Place: Hashable, Sendable {
        /// From 0.
        public var command: Int
        /// The row of a COPY, from 1.
        public var line: Int?
        public var constraint: String?
        public var column: String?

        public init(command: Int = 0, line: Int? = nil, constraint: String? = nil, column: String? = nil) {
            self.command = command
            self.line = line
            self.constraint = constraint
            self.column = column
        }

        /// The row's number in `COPY relation, line N, column …`, whose words depend on the server's language.
        package static func line(inContext context: String, relation: String) -> Int? {
            let start = "COPY \(relation), "
            for line in context.split(whereSeparator: \.isNewline) where line.hasPrefix(start) {
                let digits = line.dropFirst(start.count).drop { !$0.isASCII || !$0.isNumber }
                return Int(digits.prefix { $0.isASCII && $0.isNumber })
            }
            return nil
        }
    }

    public init(_ kind: Kind, sqlState: String? = nil, _ detail: String) {
        self.kind = kind
        self.sqlState = sqlState
        self.detail = detail
    }

    /// Why a server is of no use that can be reached.
    public static let noVectorExtension = PostgresFailure(
        .unusable, "the extension vector is not created in this database")

    public var description: String { sqlState.map { "\(detail) (SQLSTATE \($0))" } ?? detail }
}
