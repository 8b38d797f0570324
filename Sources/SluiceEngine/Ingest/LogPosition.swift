/// A position in a server's write-ahead log.
enum LogPosition {
    /// From PostgreSQL's own text: two hexadecimal numbers of at most eight digits, as `16/B374D848`.
    static func parse(_ text: String) -> UInt64? {
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count == 2, let high = UInt32(halves[0], radix: 16), let low = UInt32(halves[1], radix: 16) else {
            return nil
        }
        return UInt64(high) << 32 | UInt64(low)
    }
}
