internal import SluiceCore

/// Why a search has no answer. The message says what happened, where, and what to do; it never carries data.
public struct SearchError: Error, Sendable {
    public enum Code: Hashable, Sendable {
        case invalidArgument
        case unknownCollection
        case unknownColumn
        case dimensionMismatch
        case deadlineExceeded
        case cancelled
        case unavailable
        case busy
        case backendError
        case shuttingDown
        case modelMismatch
        /// The configuration cannot do it.
        case notSupported
        case unknownCursor
        /// Bytes that are not what they must be.
        case malformed
        /// A row that cannot be stored.
        case badRow
        /// The identity may not do that.
        case permissionDenied
    }

    public var code: Code
    public var message: String
    public var retryAfter: Duration?
    public var legs: [LegReport]

    public init(_ code: Code, _ message: String, retryAfter: Duration? = nil, legs: [LegReport] = []) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
        self.legs = legs
    }
}

extension SearchError {
    /// The reply to a search that one leg decided: what happened, where, and what to do.
    init(_ decisive: Int, of legs: [LegReport]) {
        let leg = legs[decisive]
        let place = "collection \"\(leg.collection)\", shard \(leg.shard)"
        switch leg.status {
        case .timeout:
            self.init(.deadlineExceeded, "\(place): no answer before the deadline", legs: legs)
        case .unavailable where leg.lastFailure == .behind:
            self.init(
                .unavailable,
                "\(place): no replica has replayed what was written, or is as fresh as was asked for; ask again later "
                    + "or allow stale answers",
                retryAfter: .milliseconds(100), legs: legs)
        case .unavailable:
            self.init(
                .unavailable, "\(place) has no replica that can be reached; ask again later or allow partial answers",
                retryAfter: .milliseconds(500), legs: legs)
        case .breakerOpen:
            self.init(
                .unavailable, "\(place): every replica has been failing and is given a rest; ask again later",
                retryAfter: .milliseconds(500), legs: legs)
        case .saturated:
            self.init(busyBecause: place, retryAfter: leg.retryAfter, depth: leg.queueDepth, legs: legs)
        case .cancelled:
            self.init(.cancelled, "the search was cancelled", legs: legs)
        case .invalid:
            self.init(.invalidArgument, "\(place): \(leg.message ?? "the request cannot be answered")", legs: legs)
        case .backendError, .ok:
            let state = leg.sqlState.map { " (SQLSTATE \($0))" } ?? ""
            let message = leg.message ?? "the server refused the statement"
            self.init(.backendError, "\(place), replica \(leg.replica): \(message)\(state)", legs: legs)
        }
    }

    static var cancelled: SearchError { SearchError(.cancelled, "the search was cancelled") }

    /// What a client that came while we are full is told.
    init(busyBecause place: String, retryAfter: Duration?, depth: Int?, legs: [LegReport] = []) {
        let pause = retryAfter ?? .milliseconds(100)
        let milliseconds = max(1, pause.microseconds / 1_000)
        let queue = depth.map { "; \($0) wait already" } ?? ""
        self.init(
            .busy, "\(place): temporarily busy, retry after \(milliseconds) ms\(queue)", retryAfter: pause, legs: legs)
    }

    /// What a write is told that came while nobody may write to the collection's table.
    init(beingMoved place: String) {
        self.init(
            .busy, "\(place): the collection is being moved, and nothing was done; retry after 250 ms",
            retryAfter: .milliseconds(250))
    }
}
