/// Lets one in after the other, in the order of their coming.
actor Turnstile {
    private var last: Task<Void, Never>?

    func pass<Answer: Sendable>(_ body: @escaping @Sendable () async -> Answer) async -> Answer {
        let turn = Task { [last] in
            await last?.value
            return await body()
        }
        last = Task { _ = await turn.value }
        return await turn.value
    }
}
