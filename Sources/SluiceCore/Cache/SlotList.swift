/// An order of slots in some table: any of them can be taken out or made the newest in O(1), and nothing allocates once
/// the table has grown.
struct SlotList: Sendable {
    private struct Link: Sendable {
        var newer = none
        var older = none
    }

    private static let none = -1

    private var links: [Link] = []
    private var newestSlot = none
    private var oldestSlot = none

    var oldest: Int? { oldestSlot == Self.none ? nil : oldestSlot }

    /// Nil for the newest. In a loop from `oldest` on it gives them all.
    /// - Parameter slot: one that is in the list.
    func next(after slot: Int) -> Int? { links[slot].newer == Self.none ? nil : links[slot].newer }

    /// - Parameter slot: 0 or more, and not in the list.
    mutating func append(_ slot: Int) {
        while links.count <= slot { links.append(Link()) }
        links[slot] = Link(newer: Self.none, older: newestSlot)
        if newestSlot == Self.none { oldestSlot = slot } else { links[newestSlot].newer = slot }
        newestSlot = slot
    }

    /// - Parameter slot: one that is in the list.
    mutating func remove(_ slot: Int) {
        let link = links[slot]
        if link.newer == Self.none { newestSlot = link.older } else { links[link.newer].older = link.older }
        if link.older == Self.none { oldestSlot = link.newer } else { links[link.older].newer = link.newer }
    }
}
