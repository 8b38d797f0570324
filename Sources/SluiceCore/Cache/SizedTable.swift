/// Values by key within a bound of bytes, each with an instant when it is due to go. The least recently used make room
/// for a new one. Knows no policy besides; all operations are O(1), but that making room is so for each that goes.
struct SizedTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry: Sendable {
        var key: Key
        var value: Value
        var bytes: Int
        var due: Instant
    }

    /// What a slot, its links and its place by key take, about. Without it many empty values would be free.
    static var overhead: Int { 128 }

    private let mostBytes: Int
    private var entries: [Entry?] = []
    private var vacant: [Int] = []
    private var slots: [Key: Int] = [:]
    private var byUse = SlotList()
    /// All are given the same time to live, so the order in which they were given it is the order in which it ends.
    private var byDue = SlotList()
    private(set) var bytes = 0

    init(mostBytes: Int) { self.mostBytes = max(0, mostBytes) }

    var count: Int { slots.count }
    func contains(_ key: Key) -> Bool { slots[key] != nil }

    /// What a value of this size counts as; nil if it does not fit into an empty table.
    func size(of bytes: Int) -> Int? {
        let (sum, overflow) = max(0, bytes).addingReportingOverflow(Self.overhead)
        return overflow || sum > mostBytes ? nil : sum
    }

    /// Takes the place of a value with the same key.
    /// - Parameters:
    ///   - bytes: a size of a value that fits, from `size(of:)`.
    ///   - due: not before any that was given earlier.
    /// - Returns: how many others went to make room.
    mutating func insert(_ value: Value, for key: Key, bytes size: Int, due: Instant) -> Int {
        _ = remove(key)
        var evicted = 0
        while bytes > mostBytes - size, let oldest = byUse.oldest {
            _ = removeSlot(oldest)
            evicted += 1
        }
        let entry = Entry(key: key, value: value, bytes: size, due: due)
        let slot: Int
        if let reused = vacant.popLast() {
            slot = reused
            entries[slot] = entry
        } else {
            slot = entries.count
            entries.append(entry)
        }
        slots[key] = slot
        byUse.append(slot)
        byDue.append(slot)
        bytes += size
        return evicted
    }

    /// Makes it the most recently used one.
    mutating func use(_ key: Key) -> Value? {
        guard let slot = slots[key] else { return nil }
        byUse.remove(slot)
        byUse.append(slot)
        return entries[slot]?.value
    }

    /// Its size, its use and its time stay as they were.
    mutating func replace(_ value: Value, for key: Key) {
        guard let slot = slots[key] else { return }
        entries[slot]?.value = value
    }

    /// - Parameter due: not before any that was given earlier.
    mutating func renew(_ key: Key, due: Instant) {
        guard let slot = slots[key] else { return }
        entries[slot]?.due = due
        byDue.remove(slot)
        byDue.append(slot)
    }

    mutating func remove(_ key: Key) -> Value? {
        guard let slot = slots[key] else { return nil }
        return removeSlot(slot)
    }

    /// Looks at every one.
    /// - Returns: how many went.
    mutating func removeAll(where isChosen: (Key) -> Bool) -> Int {
        let chosen = slots.filter { isChosen($0.key) }
        for slot in chosen.values { _ = removeSlot(slot) }
        return chosen.count
    }

    /// Nil if it holds nothing.
    var nextDue: Instant? { byDue.oldest.flatMap { entries[$0]?.due } }

    /// Takes out all that are due by now.
    /// - Returns: how many those were.
    mutating func removeDue(now: Instant) -> Int {
        var removed = 0
        while let slot = byDue.oldest, let due = entries[slot]?.due, due <= now {
            _ = removeSlot(slot)
            removed += 1
        }
        return removed
    }

    private mutating func removeSlot(_ slot: Int) -> Value? {
        guard let entry = entries[slot] else { return nil }
        entries[slot] = nil
        slots[entry.key] = nil
        byUse.remove(slot)
        byDue.remove(slot)
        vacant.append(slot)
        bytes -= entry.bytes
        return entry.value
    }
}
