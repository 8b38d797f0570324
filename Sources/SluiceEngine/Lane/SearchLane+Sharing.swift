public import SluiceCore

extension SearchLane {
    /// Which ways to another search's answer are open to a search; nil if none is. From any thread.
    public nonisolated func use(of search: Search) -> AnswerUse? { shared.catalogue.use(of: search) }

    /// The collections among these names, by the names that the catalogue has for them.
    public nonisolated func known(of names: [String], most: Int) -> [String] {
        let catalogue = shared.catalogue
        return Array(names.lazy.compactMap { catalogue.boxed[$0]?.value.name }.prefix(most))
    }

    /// A search of collections that share: it is executed unless there is an answer already, or one is on its way, and
    /// asks for admission only then.
    public func search(_ search: Search, sharing use: AnswerUse) async -> SearchOutcome {
        let arrived = executor.now()
        var unsettled: [Task<Void, Never>] = []
        let (result, source) = await topology.answers.answer(
            for: search.sharingKey, use, until: search.deadline, on: executor
        ) {
            do throws(SearchError) {
                let ticket = try shared.arrived(search.priority, deadline: search.deadline, now: executor.now())
                let outcome = await execute(search, admittedBy: ticket)
                unsettled = outcome.unsettled
                return use.caches ? outcome.result.map { $0.compacted() } : outcome.result
            } catch {
                return .failure(error)
            }
        }
        guard case .success(var answer) = result else { return Outcome(result: result, unsettled: unsettled) }
        answer.source = source
        answer.elapsed = arrived.duration(to: executor.now())
        return paged(Outcome(result: .success(answer), unsettled: unsettled), search)
    }

    /// The first page of an answer that is wanted page by page; the rest waits behind a cursor.
    func paged(_ outcome: SearchOutcome, _ search: Search) -> SearchOutcome {
        guard let size = search.extras?.value.pageSize, case .success(let answer) = outcome.result,
            answer.hits.count > size
        else { return outcome }
        do throws(SearchError) {
            let answer = answer.compacted()
            let cursor = try shared.cursors.hold(
                answer, rest: size..<answer.hits.count, bytes: answer.bytes, owner: search.tenant?.name,
                now: executor.now())
            return Outcome(
                result: .success(answer.page(0..<size, cursor: cursor, hasMore: true)), unsettled: outcome.unsettled)
        } catch {
            return Outcome(result: .failure(error), unsettled: outcome.unsettled)
        }
    }

    /// The next hits of a list that is held; from any thread.
    /// - Parameter most: 0 closes the cursor.
    /// - Throws: `unknownCursor`.
    public nonisolated func nextPage(
        _ cursor: CursorID, most: Int, for tenant: Tenant? = nil
    ) throws(SearchError) -> SearchAnswer {
        let began = executor.now()
        let page = try shared.cursors.next(cursor, most: most, owner: tenant?.name, now: began)
        var answer = page.value.page(page.range, cursor: page.hasMore ? cursor : nil, hasMore: page.hasMore)
        answer.elapsed = began.duration(to: executor.now())
        return answer
    }
}
