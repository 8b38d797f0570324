/// Which of two layouts of a collection is served while its rows are moved: the one that the configuration calls its
/// own, or the next, whose epoch is one more.
///
/// The databases say which, and the highest epoch that one of them says counts: another shard may not have heard of it
/// yet, a standby may be behind. There is no way back from the next one but another configuration.
public struct LayoutChoice: Hashable, Sendable {
    public enum Serving: String, Hashable, Sendable {
        /// Nobody has said it yet: neither is.
        case unknown
        case current
        case next
    }

    /// What one server said.
    public enum Answer: Hashable, Sendable {
        case epoch(Int)
        /// It has no row of the collection, or no such table.
        case noRow
        case failed
    }

    /// Of the configuration's own layout.
    public let epoch: Int
    public private(set) var serving: Serving
    /// The highest that was said when somebody answered last.
    public private(set) var told: Int?

    /// - Parameter serving: what is served already.
    public init(epoch: Int, serving: Serving = .unknown) {
        self.epoch = epoch
        self.serving = serving
    }

    /// The epoch of what is served; nil if nothing is.
    public var served: Int? {
        switch serving {
        case .unknown: nil
        case .current: epoch
        case .next: epoch + 1
        }
    }

    /// What the databases say, where it is an epoch that the configuration does not have.
    public var disagreement: Int? { told.flatMap { (epoch...epoch + 1).contains($0) ? nil : $0 } }

    /// - Parameter answers: of all servers that were asked at the same time.
    public func answered(_ answers: [Answer]) -> LayoutChoice {
        let epochs = answers.compactMap { answer -> Int? in
            switch answer {
            case .epoch(let epoch): epoch
            case .noRow: epoch
            case .failed: nil
            }
        }
        guard let highest = epochs.max() else { return self }
        var choice = self
        choice.told = highest
        if highest == epoch + 1 { choice.serving = .next }
        if highest == epoch, serving == .unknown { choice.serving = .current }
        return choice
    }
}
