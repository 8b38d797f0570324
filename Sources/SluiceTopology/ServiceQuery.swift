enum ServiceQuery {
    static func ask(
        _ name: String, within timeout: Duration
    ) async throws(UnreadableAnswer) -> [(host: String, port: Int)] {
        throw UnreadableAnswer("not yet")
    }
}
