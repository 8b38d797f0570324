internal import SluiceCore

extension LegReport {
    /// Keeps what a client may know of a failed attempt: never the server's or libpq's own words.
    mutating func note(_ failure: BackendFailure) {
        lastFailure = failure.reason
        status = LegStatus(failure.reason)
        sqlState = failure.sqlState
        retryAfter = failure.retryAfter
        queueDepth = failure.queueDepth
        message = Self.words(for: failure.reason, sqlState: failure.sqlState)
    }

    /// The leg is over without rows.
    mutating func conclude(_ reason: AttemptFailure) {
        if lastFailure == reason { return }
        lastFailure = reason
        status = LegStatus(reason)
        message = Self.words(for: reason, sqlState: nil)
    }

    mutating func noteGivenUp() {
        status = .timeout
        message = "given up: the coverage asked for was reached without it"
    }

    private static func words(for reason: AttemptFailure, sqlState: String?) -> String {
        switch reason {
        case .unreachable: "no replica can be reached"
        case .saturated: "no connection became free in time"
        case .breakerOpen: "every replica has been failing; its breaker is open"
        case .connectionLost: "the connection was lost"
        case .notServing: "the server is starting, stopping or changing its role"
        case .recoveryConflict: "the standby had to replay changes that this search stood in the way of"
        case .statement, .outOfResources: SQLState.meaning(of: sqlState)
        case .tooLarge: "its rows have more bytes than a reply may have; ask for fewer columns or a smaller k"
        case .integrity: "the server's answer was not this request's; the connection was closed"
        case .timedOut: "no answer before the deadline"
        case .cancelled: "cancelled"
        case .behind: "no replica is known to be as fresh as was asked for"
        }
    }
}

extension LegStatus {
    init(_ reason: AttemptFailure) {
        self =
            switch reason {
            case .unreachable, .connectionLost, .notServing, .behind: .unavailable
            case .saturated: .saturated
            case .breakerOpen: .breakerOpen
            case .recoveryConflict, .statement, .outOfResources, .integrity: .backendError
            case .timedOut: .timeout
            case .tooLarge: .invalid
            case .cancelled: .cancelled
            }
    }
}

/// What the SQLSTATEs that a search can meet mean, in words that carry no data.
/// Source: PostgreSQL, Appendix A, "PostgreSQL Error Codes".
enum SQLState {
    static func meaning(of code: String?) -> String {
        switch code {
        case "42P01": "the table does not exist on this server"
        case "42703": "a configured column does not exist on this server"
        case "42501": "the gateway's role may not read the table"
        case "42883", "42704": "a type, an operator or the text search configuration is missing on this server"
        case "22000", "22P02", "22P03": "the server does not accept the vector (are the dimensions right?)"
        case "53100": "the server's disk is full"
        case "53200": "the server is out of memory"
        case "53300": "the server has too many connections"
        case nil: "the server broke the protocol; the connection was closed"
        default: "the server refused the statement"
        }
    }
}
