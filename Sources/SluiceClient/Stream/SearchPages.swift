internal import SluiceWire

/// A list of neighbours, page by page.
///
/// The search runs once, when the first page is asked for, once for each iterator; the gateway holds its k hits for a
/// limited time and may drop them for want of memory, after which the next page fails with `unknownCursor`. Of several
/// gateways only the one that ran the search has them: if it goes, so do the pages. Pages have
/// neither duplicates nor holes, whatever is written meanwhile. Leaving the loop tells the gateway to forget the rest.
public struct SearchPages: AsyncSequence, Sendable {
    public typealias Element = SearchReply
    public typealias Failure = SluiceError

    let client: SluiceClient
    let query: SearchQuery
    let size: Int

    public func makeAsyncIterator() -> Iterator { Iterator(source: PageSource(self)) }

    public struct Iterator: AsyncIteratorProtocol {
        let source: PageSource

        /// The next page; the first comes even if there are no hits. The query's deadline holds for each.
        public mutating func next(
            isolation actor: isolated (any Actor)? = #isolation
        ) async throws(SluiceError) -> SearchReply? {
            try await source.next()
        }
    }
}

/// One run of pages. By one task at a time, as iterators are.
final class PageSource {
    private enum State {
        case idle
        /// At the one gateway that holds the hits.
        case open(WireCursor, at: GatewayChoice.ID)
        case over
    }

    private let pages: SearchPages
    private var state = State.idle

    init(_ pages: SearchPages) { self.pages = pages }

    deinit { close() }

    func next() async throws(SluiceError) -> SearchReply? {
        switch state {
        case .over: return nil
        case .idle:
            state = .over
            let (page, gateway) = try await first()
            return try take(page, from: gateway)
        case .open(let cursor, let gateway):
            do throws(SluiceError) {
                let reply = try take(try await further(cursor, gateway, size: pages.size), from: gateway)
                return reply.hits.isEmpty ? nil : reply
            } catch {
                // What is not there any more needs no closing.
                if error.code != .unknownCursor { close() }
                state = .over
                throw error
            }
        }
    }

    private func first() async throws(SluiceError) -> (result: SearchResult, gateway: GatewayChoice.ID) {
        guard pages.size >= 1 else {
            throw SluiceError(.invalidArgument, "a page has \(pages.size) hits; it must have at least 1")
        }
        var request = try pages.query.request()
        request.pageSize = pages.size
        return try await pages.client.firstPage(of: request, within: pages.query.deadline)
    }

    private func further(
        _ cursor: WireCursor, _ gateway: GatewayChoice.ID, size: Int
    ) async throws(SluiceError) -> SearchResult {
        try await pages.client.answer(
            to: CursorRequest(cursor: cursor, pageSize: size), at: gateway, within: pages.query.deadline)
    }

    private func take(_ result: SearchResult, from gateway: GatewayChoice.ID) throws(SluiceError) -> SearchReply {
        state = if result.hasMore, let cursor = result.cursor { .open(cursor, at: gateway) } else { .over }
        return try pages.client.decoded { () throws(WireError) in try SearchReply(result) }
    }

    /// Nobody waits for it: the gateway forgets the rest by itself, only later.
    private func close() {
        guard case .open(let cursor, let gateway) = state else { return }
        state = .over
        Task { [client = pages.client] in
            _ = try? await client.answer(
                to: CursorRequest(cursor: cursor, pageSize: 0), at: gateway, within: .seconds(5))
        }
    }
}
