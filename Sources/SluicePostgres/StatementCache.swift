/// The statements prepared on one connection, by their text; the least recently used makes room.
package struct StatementCache {
    private struct Entry {
        var name: String
        var lastUse: UInt64
    }

    private let capacity: Int
    private var entries: [String: Entry] = [:]
    private var uses: UInt64 = 0
    private var named: UInt64 = 0

    package init(capacity: Int) { self.capacity = max(1, capacity) }

    package mutating func name(of sql: String) -> String? {
        uses += 1
        entries[sql]?.lastUse = uses
        return entries[sql]?.name
    }

    /// A name for a statement that is about to be prepared. Never one used before, so that a stale one cannot be meant.
    package mutating func newName() -> String {
        named += 1
        return "sluice_\(named)"
    }

    /// The server has it. Returns the name of the statement that had to make room.
    package mutating func prepared(_ sql: String, as name: String) -> String? {
        uses += 1
        let replaced = entries.updateValue(Entry(name: name, lastUse: uses), forKey: sql)?.name
        guard replaced == nil else { return replaced }
        guard entries.count > capacity, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse }) else {
            return nil
        }
        return entries.removeValue(forKey: oldest.key)?.name
    }

    package mutating func forget(_ sql: String) { entries[sql] = nil }
}
