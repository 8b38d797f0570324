internal import NIOCore
internal import SluiceWire

extension SluiceClient {
    /// The nearest neighbours, over all the collections named, merged into one list.
    ///
    /// The query's deadline counts from here on, connecting and waiting in this client included. When it has passed the
    /// call fails with `deadlineExceeded`, or, if the gateway had the request and is still silent a second later, with
    /// `noAnswer`. What breaks a rule that needs no knowledge of the collections fails with `invalidArgument` before it
    /// is sent.
    public func search(_ query: SearchQuery) async throws(SluiceError) -> SearchReply {
        let result = try await answer(to: try query.request(), within: query.deadline)
        return try decoded { () throws(WireError) in try SearchReply(result) }
    }

    /// The nearest neighbours of each of several vectors, in one request: cheaper than one search each.
    /// - Parameters:
    ///   - vectors: 1 to 64, all of one type.
    ///   - query: everything else; its target is not used.
    /// - Returns: a reply for each vector, in their order. All but its hits is of the batch as a whole.
    public func searchBatch(
        _ vectors: [SearchQuery.Vector], _ query: SearchQuery
    ) async throws(SluiceError) -> [SearchReply] {
        let result = try await answer(to: try query.request(batch: vectors), within: query.deadline)
        return try decoded { () throws(WireError) in try Self.replies(result, count: vectors.count) }
    }

    /// The nearest neighbours in each collection by itself; they may have different metrics.
    /// - Returns: a reply for each collection, by name, with its hits and its legs. The rest is of the request as a
    ///   whole.
    public func searchEach(_ query: SearchQuery) async throws(SluiceError) -> [String: SearchReply] {
        var request = try query.request()
        request.separate = true
        let result = try await answer(to: request, within: query.deadline)
        let replies = try decoded { () throws(WireError) in
            try Self.replies(result, count: query.collections.count)
        }
        var named: [String: SearchReply] = [:]
        for (name, reply) in zip(query.collections, replies) {
            named[name] = reply
            named[name]?.legs.removeAll { $0.collection != name }
        }
        return named
    }

    private static func replies(_ result: SearchResult, count: Int) throws(WireError) -> [SearchReply] {
        guard result.lists.count == count else {
            throw WireError(.malformed, "RESULT: it has \(result.lists.count) lists, not \(count)")
        }
        // Of one list it may say more.
        if count == 1 { return [try SearchReply(result)] }
        var replies: [SearchReply] = []
        for list in result.lists { replies.append(try SearchReply(result, list: list)) }
        return replies
    }

    /// Rows like a row: the nearest neighbours of its vector, without itself.
    ///
    /// For everything else that a query can say, `search(_:)` takes one whose target is `.row`.
    public func similar(
        to id: Int64, in collection: String, k: Int = 10, columns: [String] = [], filter: Filter? = nil,
        deadline: Duration? = nil
    ) async throws(SluiceError) -> SearchReply {
        var query = SearchQuery(
            collections: [collection], target: .row(id: id, collection: collection), k: k, columns: columns,
            deadline: deadline)
        query.filter = filter
        return try await search(query)
    }

    /// The nearest neighbours part by part, for a large k, or for collections of which some may be slow.
    /// - Parameters:
    ///   - query: what to search for.
    ///   - separately: a list for each collection, which comes as soon as its own shards have answered, instead of a
    ///     merged one.
    public func stream(_ query: SearchQuery, separately: Bool = false) -> SearchStream {
        SearchStream(client: self, query: query, isSeparate: separately)
    }

    /// The query's k neighbours in pages of so many.
    /// - Parameters:
    ///   - query: what to search for.
    ///   - size: at least 1; the last page may have fewer.
    public func pages(_ query: SearchQuery, size: Int) -> SearchPages {
        SearchPages(client: self, query: query, size: size)
    }

    // MARK: The requests

    /// - Parameter deadline: the caller's, or nil.
    func answer(to request: SearchRequest, within deadline: Duration?) async throws(SluiceError) -> SearchResult {
        try await firstPage(of: request, within: deadline).result
    }

    /// - Parameter gateway: the one that holds the cursor.
    func answer(
        to request: CursorRequest, at gateway: GatewayChoice.ID, within deadline: Duration?
    ) async throws(SluiceError) -> SearchResult {
        try await result(of: .next, within: deadline, at: gateway) { request.encode(into: &$0) }.result
    }

    /// The first page, and the gateway that holds the others.
    func firstPage(
        of request: SearchRequest, within deadline: Duration?
    ) async throws(SluiceError) -> (result: SearchResult, gateway: GatewayChoice.ID) {
        try request.check()
        return try await result(of: .search, within: deadline) { request.encode(into: &$0) }
    }

    func result(
        of kind: FrameKind, within deadline: Duration?, at gateway: GatewayChoice.ID? = nil,
        _ write: (inout ByteBuffer) -> Void
    ) async throws(SluiceError) -> (result: SearchResult, gateway: GatewayChoice.ID) {
        let limit = limit(deadline, grace: Self.grace)
        let (frame, gateway) = try await call(kind, until: limit, answeredBy: .result, at: gateway, write)
        return (try decoded { () throws(WireError) in try SearchResult(decoding: frame.payload) }, gateway)
    }
}
