/// Identifies an entry of a `SlotTable`; an entry that was removed is not found again.
struct SlotID: Hashable, Sendable {
    fileprivate let index: Int
    fileprivate let generation: UInt64

    /// Of no entry.
    static let none = SlotID(index: 0, generation: 0)
}

/// Entries that come and go all the time, found by index: no hashing and, once it has grown, no allocation.
struct SlotTable<Element> {
    private struct Slot {
        var generation: UInt64 = 0
        var element: Element?
    }

    private var slots: [Slot] = []
    private var free: [Int] = []

    mutating func insert(_ element: Element) -> SlotID {
        let index = free.popLast() ?? slots.count
        if index == slots.count { slots.append(Slot()) }
        slots[index].generation &+= 1
        slots[index].element = element
        return SlotID(index: index, generation: slots[index].generation)
    }

    @discardableResult
    mutating func remove(_ id: SlotID) -> Element? {
        guard isCurrent(id), let element = slots[id.index].element.take() else { return nil }
        free.append(id.index)
        return element
    }

    /// Nil once the entry has been removed; what is written then is dropped.
    subscript(id: SlotID) -> Element? {
        _read {
            if isCurrent(id) {
                yield slots[id.index].element
            } else {
                yield nil
            }
        }
        _modify {
            if isCurrent(id) {
                yield &slots[id.index].element
            } else {
                var nothing: Element?
                yield &nothing
            }
        }
    }

    private func isCurrent(_ id: SlotID) -> Bool {
        slots.indices.contains(id.index) && slots[id.index].generation == id.generation
    }
}
