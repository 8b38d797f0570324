/// Values by key, of which those used longest ago make room.
///
/// Two halves: what is used moves to the young one; when that is full, the old one is dropped and they change places.
/// So between half of the capacity and all of it is kept, and nothing is O(n) but the drop.
struct RecentTable<Key: Hashable, Value> {
    private let half: Int
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]

    init(capacity: Int) { half = max(1, capacity / 2) }

    subscript(key: Key) -> Value? {
        mutating get {
            if let value = young[key] { return value }
            guard let value = old.removeValue(forKey: key) else { return nil }
            self[key] = value
            return value
        }
        set {
            young[key] = newValue
            guard young.count >= half else { return }
            old = young
            young = [:]
        }
    }
}
