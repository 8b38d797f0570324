internal import SluiceWire

extension SluiceClient {
    /// The rows of these ids.
    /// - Parameters:
    ///   - collection: where to look.
    ///   - ids: 1 to 10,000; one that comes again is answered once, at its first place.
    ///   - columns: of each row; the collection must have them.
    ///   - withVectors: with each row's vector.
    ///   - deadline: how long it may take; nil for the gateway's default.
    ///   - allowPartial: accept an answer without the rows of shards that do not answer.
    ///   - token: what must be seen: only replicas that have replayed the log so far answer.
    ///   - maxStaleness: only replicas that are no further behind answer.
    ///   - allowStale: if no replica is as fresh as that, another answers, and `LegReport.isStale` says so.
    public func get(
        _ collection: String, ids: [Int64], columns: [String] = [], withVectors: Bool = false,
        deadline: Duration? = nil, allowPartial: Bool = false, after token: ConsistencyToken? = nil,
        maxStaleness: Duration? = nil, allowStale: Bool = false
    ) async throws(SluiceError) -> GetReply {
        var request = GetRequest(
            collection: collection, ids: ids, columns: columns, withVector: withVectors, allowPartial: allowPartial)
        request.freshness = FreshnessTerms(after: token, maxStaleness: maxStaleness, allowStale: allowStale)
        do throws(WireError) { try request.validate() } catch { throw SluiceError(error) }
        let (result, _) = try await result(of: .get, within: deadline) { [request] in request.encode(into: &$0) }
        return try decoded { () throws(WireError) in try GetReply(result, withVectors: withVectors) }
    }

    /// How many rows a filter finds.
    /// - Parameters:
    ///   - collection: where to look.
    ///   - filter: nil for all rows.
    ///   - exact: count, which takes a while, instead of taking the planner's estimate.
    ///   - deadline: how long it may take; nil for the gateway's default.
    public func count(
        _ collection: String, filter: Filter? = nil, exact: Bool = false, deadline: Duration? = nil
    ) async throws(SluiceError) -> CountReply {
        let request = CountRequest(collection: collection, filter: filter?.expression, exact: exact)
        do throws(WireError) { try request.validate() } catch { throw SluiceError(error) }
        let limit = limit(deadline, grace: Self.grace)
        let (frame, _) = try await call(.count, until: limit, answeredBy: .countResult) { request.encode(into: &$0) }
        return try decoded { () throws(WireError) in CountReply(try CountResult(decoding: frame.payload)) }
    }
}
