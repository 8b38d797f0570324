internal import NIOCore
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire

/// What each kind of request asks of the lane.
extension SessionHandler {
    func search(_ frame: Frame) {
        let requestID = frame.requestID
        let now = context.lane.executor.now()
        do throws(WireError) {
            let request = try SearchRequest(decoding: frame.payload, filters: context.limits.filters)
            let origin = origin(of: frame, .search, request.trace) { $0.describe(request, $1) }
            var asked = try Search(request, limits: context.limits, now: now)
            asked.origin = origin
            guard let search = permitted(requestID, { () throws(SearchError) in try access.permitted(asked) }) else {
                return
            }
            if request.stream { return stream(requestID, search, now: now) }
            let most = context.limits.maxReply
            if let use = context.lane.use(of: search) {
                return run(requestID) { await $0.search(search, sharing: use).limited(to: most) }
            }
            start(requestID, search.priority, deadline: search.deadline, now: now) { lane, ticket in
                await lane.search(search, admittedBy: ticket).limited(to: most)
            }
        } catch {
            answer(requestID, error)
        }
    }

    /// Hits leave as they come. The search itself does not wait for the client to read them; the stream does, up to the
    /// search's deadline.
    private func stream(_ requestID: UInt32, _ search: Search, now: Instant) {
        guard let eventLoop = channelContext?.eventLoop else { return }
        let handler = NIOLoopBound(self, eventLoop: eventLoop)
        start(requestID, search.priority, deadline: search.deadline, now: now) {
            [limits = context.limits, backlog, account = bounds.account] lane, ticket in
            let parts = PartQueue(backlog, most: limits.maxStream, account: account)
            let sending = Task(executorPreference: lane.executor) {
                for await part in parts.stream where lane.executor.now() < search.deadline {
                    await withCheckedContinuation { resumption in
                        eventLoop.execute {
                            handler.value.send(
                                part, from: parts, of: requestID, until: search.deadline, then: resumption)
                        }
                    }
                    parts.sent(part)
                }
            }
            // A client that does not read does not hold the stream beyond its deadline.
            let left = max(.zero, lane.executor.now().duration(to: search.deadline))
            let end = eventLoop.scheduleTask(in: .init(left)) { handler.value.resumeStream(requestID) }
            var outcome = await lane.search(search, admittedBy: ticket) { parts.add($0) }
            parts.finish()
            await withTaskCancellationHandler {
                await sending.value
            } onCancel: {
                sending.cancel()
                eventLoop.execute { handler.value.resumeStream(requestID) }
            }
            parts.drop()
            end.cancel()
            if case .success = outcome.result, let failure = parts.failure ?? lane.late(search.deadline) {
                outcome.result = .failure(failure)
            }
            return outcome.limited(to: limits.maxReply)
        }
    }

    func get(_ frame: Frame) {
        let now = context.lane.executor.now()
        do throws(WireError) {
            let request = try GetRequest(decoding: frame.payload)
            let origin = origin(of: frame, .get, request.trace) { $0.describe(request.collection, $1) }
            var asked = try RowRequest(request, limits: context.limits, now: now)
            asked.origin = origin
            let allowed = permitted(frame.requestID) { () throws(SearchError) in try access.permitted(asked) }
            guard let rows = allowed else { return }
            start(frame.requestID, .interactive, deadline: rows.deadline, now: now) {
                [most = context.limits.maxReply] lane, ticket in
                await lane.rows(rows, admittedBy: ticket).limited(to: most)
            }
        } catch {
            answer(frame.requestID, error)
        }
    }

    func count(_ frame: Frame) {
        let now = context.lane.executor.now()
        do throws(WireError) {
            let request = try CountRequest(decoding: frame.payload, filters: context.limits.filters)
            let origin = origin(of: frame, .count, request.trace) { $0.describe(request.collection, $1) }
            var asked = try CountQuestion(request, limits: context.limits, now: now)
            asked.origin = origin
            let allowed = permitted(frame.requestID) { () throws(SearchError) in try access.permitted(asked) }
            guard let question = allowed else { return }
            start(frame.requestID, .interactive, deadline: question.deadline, now: now) { lane, ticket in
                await lane.count(question, admittedBy: ticket)
            }
        } catch {
            answer(frame.requestID, error)
        }
    }

    /// The next page of a list that is held.
    func next(_ frame: Frame) {
        let request: CursorRequest
        do throws(WireError) { request = try CursorRequest(decoding: frame.payload) } catch {
            return answer(frame.requestID, error)
        }
        let trace = origin(of: frame, .next, request.trace) { _, _ in }.trace
        do throws(SearchError) {
            let id = CursorID(high: request.cursor.high, low: request.cursor.low)
            let page = try context.lane.nextPage(
                id, most: min(request.pageSize, maximumK), for: access.meter.tenant)
            try access.check(page)
            trace?.note(page.describe)
            noteEnd(frame.requestID, nil)
            answer(frame.requestID, .result) { page.write(into: &$0) }
        } catch {
            answer(frame.requestID, error)
        }
    }
}

extension Outcome<SearchAnswer> {
    /// An answer that is larger than a reply may be is none.
    func limited(to most: Int) -> Self {
        guard case .success(let answer) = result, answer.hitBytes > most else { return self }
        let error = SearchError(
            .invalidArgument,
            "the hits have \(answer.hitBytes) bytes, and a reply has at most \(most); "
                + "ask for fewer columns or a smaller k")
        return Outcome(result: .failure(error), unsettled: unsettled)
    }
}

extension SearchLane {
    fileprivate nonisolated func late(_ deadline: Instant) -> SearchError? {
        executor.now() < deadline
            ? nil : SearchError(.deadlineExceeded, "the stream was not read before its deadline")
    }
}
