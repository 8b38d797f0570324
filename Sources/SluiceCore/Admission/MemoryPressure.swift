/// When much memory is held: who is no longer read from, and until when. From the high-water mark on the greediest is
/// stopped, and with each further step that the total grows twice as many more: what is left up to the limit is for
/// those who hold little, who are never stopped. Below the low-water mark all go on.
public struct MemoryPressure: Sendable {
    public struct Holder: Hashable, Sendable {
        public var id: UInt64
        /// In bytes.
        public var held: Int

        public init(id: UInt64, held: Int) {
            self.id = id
            self.held = held
        }
    }

    /// In bytes, as the marks.
    public private(set) var limit: Int
    public private(set) var highWater: Int
    public private(set) var lowWater: Int
    private var step: Int
    private var next = 1
    /// The total at which `grew` is to be called next.
    public private(set) var nextLook: Int
    public private(set) var stopped: Set<UInt64> = []

    /// - Parameter limit: in bytes, at least 4. The marks are three quarters of it, and a half.
    public init(limit: Int) {
        self.limit = max(4, limit)
        highWater = self.limit / 4 * 3
        lowWater = self.limit / 2
        step = max(1, self.limit / 64)
        nextLook = highWater
    }

    /// Whoever is stopped stays so until the total is below the new low-water mark.
    public mutating func limitChanged(to limit: Int) {
        let fresh = MemoryPressure(limit: limit)
        (self.limit, highWater, lowWater, step) = (fresh.limit, fresh.highWater, fresh.lowWater, fresh.step)
        nextLook = fresh.nextLook
    }

    /// - Returns: who is to be stopped now, the greediest first.
    public mutating func grew(to total: Int, _ holders: some Sequence<Holder>) -> [UInt64] {
        guard total >= highWater else { return [] }
        let (look, overflow) = total.addingReportingOverflow(step)
        nextLook = overflow ? .max : look
        var greediest: [Holder] = []
        var count = 0
        for holder in holders where holder.held > 0 {
            count += 1
            if !stopped.contains(holder.id) { greediest.append(holder) }
        }
        // Those who hold less than an equal share of what is left up to the limit are who it is left for.
        let share = (limit - highWater) / max(1, count)
        greediest.removeAll { $0.held <= share }
        greediest.sort { ($0.held, $1.id) > ($1.held, $0.id) }
        let ids = greediest.prefix(next).map(\.id)
        next = min(2 * next, 1 << 20)
        stopped.formUnion(ids)
        return ids
    }

    /// - Returns: who may go on.
    public mutating func shrank(to total: Int) -> [UInt64] {
        guard total < lowWater else { return [] }
        nextLook = highWater
        next = 1
        defer { stopped.removeAll() }
        return stopped.sorted()
    }

    public mutating func left(_ id: UInt64) { stopped.remove(id) }
}
