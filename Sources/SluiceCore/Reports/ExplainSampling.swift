/// Which slow searches are looked into further: one in so many by chance, so that no rhythm of the clients' decides
/// which, one at a time, and never sooner than a while after the last.
public struct ExplainSampling: Sendable {
    /// 0 for none.
    public var oneIn: Int
    private let pause: Duration
    private var isBusy = false
    private var last: Instant?

    public init(oneIn: Int, pause: Duration = .seconds(1)) {
        self.oneIn = oneIn
        self.pause = pause
    }

    /// - Returns: true if it is this one; `ended` must follow then.
    public mutating func slowSearchEnded(now: Instant, using generator: inout some RandomNumberGenerator) -> Bool {
        guard oneIn > 0, Int.random(in: 0..<oneIn, using: &generator) == 0 else { return false }
        guard !isBusy, last.map({ $0.advanced(by: pause) <= now }) != false else { return false }
        isBusy = true
        last = now
        return true
    }

    public mutating func ended() { isBusy = false }
}
