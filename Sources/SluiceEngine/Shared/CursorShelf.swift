public import SluiceCore
internal import Synchronization

/// Lists that are given page by page, for all lanes: `CursorTable` with each list's position. A position moves under
/// the lock, so whoever asks at the same time gets another page: there are neither duplicates nor holes.
public final class CursorShelf<Value: Sendable>: Sendable {
    /// Some of a list.
    public struct Page: Sendable {
        /// The whole list, as it was held.
        public var value: Value
        /// Which elements of it this page has; may be empty.
        public var range: Range<Int>
        /// If not, this page was the last one, and the cursor is closed.
        public var hasMore: Bool
    }

    private struct List: Sendable {
        var value: Value
        var rest: Range<Int>
        /// Nobody else gets anything of it.
        var owner: String?
    }

    private struct State {
        var table: CursorTable<List>
        var opened: UInt64 = 0
        var evicted: UInt64 = 0
        var expired: UInt64 = 0

        @discardableResult
        mutating func expire(now: Instant) -> Int {
            let count = table.expire(now: now)
            expired &+= UInt64(count)
            return count
        }
    }

    /// What one cursor's list may have, by both bounds.
    private let mostBytes: Int
    private let state: Mutex<State>

    /// - Parameters:
    ///   - mostBytes: of all lists together; 0 or more.
    ///   - mostBytesPerCursor: of one list; 0 or more.
    ///   - timeToLive: after the last use; if it is not more than zero, every list is refused.
    public init(mostBytes: Int, mostBytesPerCursor: Int, timeToLive: Duration) {
        var configuration = CursorTable<List>.Configuration()
        configuration.mostBytes = mostBytes
        configuration.mostBytesPerCursor = mostBytesPerCursor
        configuration.timeToLive = timeToLive
        self.mostBytes = max(0, min(mostBytesPerCursor, max(0, mostBytes) - CursorTable<List>.overhead))
        state = Mutex(State(table: CursorTable(configuration)))
    }

    /// Keeps a list whose first page has been given. The one used longest ago makes room.
    /// - Parameters:
    ///   - rest: the elements that are still to be given.
    ///   - bytes: what the list takes, by the caller's reckoning.
    ///   - owner: who alone may have the rest.
    /// - Returns: nil if nothing is left to be given.
    /// - Throws: `invalidArgument` if it is larger than a cursor's list may be.
    public func hold(
        _ value: Value, rest: Range<Int>, bytes: Int, owner: String? = nil, now: Instant
    ) throws(SearchError) -> CursorID? {
        guard !rest.isEmpty else { return nil }
        let insertion = state.withLock { state in
            // Whoever guessed an id would read another client's rows.
            var generator = SystemRandomNumberGenerator()
            state.expire(now: now)
            let insertion = state.table.insert(
                List(value: value, rest: rest, owner: owner), bytes: bytes, now: now, using: &generator)
            if case .held(_, let evicted) = insertion {
                state.opened &+= 1
                state.evicted &+= UInt64(evicted)
            }
            return insertion
        }
        switch insertion {
        case .held(let id, _): return id
        case .refused(let refusal): throw error(refusal, bytes: bytes)
        }
    }

    /// The next elements of a list, which then has its time to live before it again. With the last ones the cursor is
    /// closed.
    /// - Parameter most: how many elements; 0 closes the cursor.
    /// - Throws: `unknownCursor` if it was closed, has expired, made room, is somebody else's, or never was.
    public func next(_ id: CursorID, most: Int, owner: String? = nil, now: Instant) throws(SearchError) -> Page {
        let page = state.withLock { state -> Page? in
            state.expire(now: now)
            let page = state.table.update(id, now: now) { list -> Page? in
                guard list.owner == owner else { return nil }
                let end = list.rest.lowerBound + min(max(0, most), list.rest.count)
                let range = list.rest.lowerBound..<end
                list.rest = end..<list.rest.upperBound
                return Page(value: list.value, range: range, hasMore: most > 0 && !list.rest.isEmpty)
            }
            guard let page = page.flatMap(\.self) else { return nil }
            if !page.hasMore { _ = state.table.remove(id) }
            return page
        }
        guard let page else { throw unknown }
        return page
    }

    /// - Throws: `unknownCursor`, as `next`.
    public func close(_ id: CursorID, now: Instant) throws(SearchError) { _ = try next(id, most: 0, now: now) }

    /// Lets lists go whose time is over. Each use does that too; this is for the times when none comes, so call it now
    /// and then.
    /// - Returns: how many went.
    @discardableResult
    public func expire(now: Instant) -> Int { state.withLock { $0.expire(now: now) } }

    private func error(_ refusal: CursorTable<List>.Refusal, bytes: Int) -> SearchError {
        switch refusal {
        case .tooLarge:
            SearchError(
                .invalidArgument,
                """
                the list for the further pages takes \(bytes) bytes, and this gateway holds at most \(mostBytes) for a \
                search: ask for a smaller k, for fewer columns, or without pages
                """)
        case .disabled: SearchError(.invalidArgument, "this gateway holds no lists: ask without pages")
        case .idTaken: SearchError(.unavailable, "the system's random numbers repeat themselves")
        }
    }

    private var unknown: SearchError {
        SearchError(.unknownCursor, "there is no such cursor: it was closed, or not used for long; search again")
    }
}

extension CursorShelf {
    /// What is known, for reports. The totals wrap.
    public struct Snapshot: Hashable, Sendable {
        public var open: Int
        public var bytes: Int
        public var opened: UInt64
        /// They made room before their time was over.
        public var evicted: UInt64
        public var expired: UInt64
    }

    public var snapshot: Snapshot {
        state.withLock { state in
            Snapshot(
                open: state.table.count, bytes: state.table.bytes, opened: state.opened, evicted: state.evicted,
                expired: state.expired)
        }
    }
}
