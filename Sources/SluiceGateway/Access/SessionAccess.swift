internal import SluiceCore
internal import SluiceEngine

/// What one session may do: its credential, the identity that it stands for, and what that identity's sessions share.
package struct SessionAccess: Sendable {
    let credential: Credential
    let identity: Identity
    let meter: IdentityMeter

    /// Before HELLO: nothing is permitted.
    static let nobody: SessionAccess = {
        let identity = Identity(name: "")
        let meter = IdentityMeter(identity, poolSizes: [], now: Instant(nanoseconds: 0))
        return SessionAccess(credential: .none, identity: identity, meter: meter)
    }()

    // MARK: Requests, as far as they are permitted

    /// The search with the forced filters of its collections in it.
    /// - Throws: `permissionDenied`, in the same words whether there is such a collection or not.
    func permitted(_ search: Search) throws(SearchError) -> Search {
        var search = search
        search.tenant = meter.tenant
        try checkK(search.k)
        for name in search.collections {
            try check(.search, name)
            if let most = identity.limits.maxK, let k = search.overrides[name]?.k { try checkK(k, most: most) }
            guard let forced = identity.filter(for: name) else { continue }
            var own = search.overrides[name] ?? .init()
            own.filter = Self.both(forced, own.filter ?? search.filter)
            search.overrides[name] = own
        }
        if let like = search.extras?.value.like { try permit(like, in: &search) }
        return search
    }

    /// A row that the identity may not see is no example either: its distances would tell what it is like.
    private func permit(_ like: SearchExtras.RowReference, in search: inout Search) throws(SearchError) {
        try check(.search, like.collection)
        guard let forced = identity.filter(for: like.collection), var extras = search.extras?.value else { return }
        extras.like?.filter = forced
        search.extras = Boxed(extras)
    }

    func permitted(_ request: RowRequest) throws(SearchError) -> RowRequest {
        try check(.get, request.collection)
        var request = request
        request.filter = identity.filter(for: request.collection)
        request.tenant = meter.tenant
        return request
    }

    func permitted(_ question: CountQuestion) throws(SearchError) -> CountQuestion {
        try check(.search, question.collection)
        var question = question
        if let forced = identity.filter(for: question.collection) {
            question.filter = Self.both(forced, question.filter)
        }
        question.tenant = meter.tenant
        return question
    }

    func permitted(_ order: WriteOrder) throws(SearchError) -> WriteOrder {
        if !order.rows.isEmpty || order.deletes.isEmpty { try check(.write, order.collection) }
        if !order.deletes.isEmpty { try check(.delete, order.collection) }
        var order = order
        order.filter = identity.filter(for: order.collection)
        order.tenant = meter.tenant
        return order
    }

    func permitted(_ order: LoadOrder) throws(SearchError) -> LoadOrder {
        try check(.load, order.collection)
        if order.mode == .replace { try check(.delete, order.collection) }
        var order = order
        order.filter = identity.filter(for: order.collection)
        return order
    }

    /// A list that was held may be of a time when more was permitted.
    func check(_ page: SearchAnswer) throws(SearchError) {
        for leg in page.legs { try check(.search, leg.collection) }
    }

    // MARK: Checks

    private func check(_ action: Actions, _ collection: String) throws(SearchError) {
        guard !identity.may(action, collection) else { return }
        let what = action.words.joined(separator: ", ")
        throw SearchError(
            .permissionDenied, "this identity may not \(what) in \"\(String(collection.prefix(63)).withoutControls)\"")
    }

    private func checkK(_ k: Int) throws(SearchError) {
        if let most = identity.limits.maxK { try checkK(k, most: most) }
    }

    private func checkK(_ k: Int, most: Int) throws(SearchError) {
        guard k > most else { return }
        throw SearchError(.invalidArgument, "k is \(k); this identity may ask for at most \(most)")
    }

    static func both(_ forced: Filter, _ asked: Filter?) -> Filter { asked.map { .and([forced, $0]) } ?? forced }
}
