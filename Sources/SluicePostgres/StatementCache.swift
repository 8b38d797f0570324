/// A statement's text. The same object is the same statement: a connection prepares it once and finds it again by
/// identity, without comparing texts.
public protocol StatementText: AnyObject, Sendable {
    /// The text for a server; what it depends on besides the object itself is only `facts`.
    func sql(for facts: ServerFacts) -> String
}

/// The statements prepared on one connection; the least recently used makes room.
package struct StatementCache {
    private struct Entry {
        /// Kept, so that its identity cannot become another's.
        var text: any StatementText
        var name: String
        var lastUse: UInt64
    }

    private let capacity: Int
    private var entries: [ObjectIdentifier: Entry] = [:]
    private var uses: UInt64 = 0
    private var named: UInt64 = 0

    package init(capacity: Int) { self.capacity = max(1, capacity) }

    package mutating func name(of text: any StatementText) -> String? {
        guard let place = entries.index(forKey: ObjectIdentifier(text)) else { return nil }
        uses += 1
        entries.values[place].lastUse = uses
        return entries.values[place].name
    }

    /// A name for a statement that is about to be prepared. Never one used before, so that a stale one cannot be meant.
    package mutating func newName() -> String {
        named += 1
        return "sluice_\(named)"
    }

    /// The server has it. Returns the name of the statement that had to make room.
    package mutating func prepared(_ text: any StatementText, as name: String) -> String? {
        uses += 1
        let entry = Entry(text: text, name: name, lastUse: uses)
        let replaced = entries.updateValue(entry, forKey: ObjectIdentifier(text))?.name
        guard replaced == nil else { return replaced }
        guard entries.count > capacity, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse }) else {
            return nil
        }
        return entries.removeValue(forKey: oldest.key)?.name
    }

    package mutating func forget(_ text: any StatementText) { entries[ObjectIdentifier(text)] = nil }

    package mutating func forgetAll() { entries.removeAll() }
}
