import SluiceCore
import Testing

@Suite struct ResultCacheTests {
    private typealias Cache = ResultCache<Int, String>

    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    /// Room for so many answers of 100 bytes; each lives for a second.
    private static func cache(room: Int) -> Cache {
        var configuration = Cache.Configuration()
        configuration.mostBytes = room * (100 + Cache.overhead)
        configuration.timeToLive = .seconds(1)
        return Cache(configuration)
    }

    @Test func useDoesNotMakeAnAnswerLiveLonger() {
        var cache = Self.cache(room: 3)
        let stored = cache.insert("a", for: 1, bytes: 100, now: Self.at(0))
        #expect(stored == .stored(evicted: 0) && cache.nextExpiry == Self.at(1_000))
        let early = cache.value(for: 1, now: Self.at(999))
        let late = cache.value(for: 1, now: Self.at(1_000))
        #expect(early == "a" && late == nil && cache.count == 0 && cache.bytes == 0)
        #expect(cache.counters.hits == 1 && cache.counters.misses == 1 && cache.counters.expired == 1)
    }

    @Test func theLeastRecentlyUsedMakesRoom() {
        var cache = Self.cache(room: 2)
        _ = cache.insert("a", for: 1, bytes: 100, now: Self.at(0))
        _ = cache.insert("b", for: 2, bytes: 100, now: Self.at(1))
        _ = cache.value(for: 1, now: Self.at(2))
        let stored = cache.insert("c", for: 3, bytes: 100, now: Self.at(3))
        let held = [1, 2, 3].map { cache.value(for: $0, now: Self.at(4)) }
        #expect(stored == .stored(evicted: 1) && held == ["a", nil, "c"] && cache.counters.evicted == 1)
    }

    @Test func aNewAnswerTakesThePlaceOfTheOldOne() {
        var cache = Self.cache(room: 2)
        _ = cache.insert("a", for: 1, bytes: 100, now: Self.at(0))
        let stored = cache.insert("b", for: 1, bytes: 50, now: Self.at(500))
        let value = cache.value(for: 1, now: Self.at(1_400))
        #expect(stored == .stored(evicted: 0) && value == "b" && cache.bytes == 50 + Cache.overhead)
        let refused = cache.insert("c", for: 1, bytes: .max, now: Self.at(1_400))
        let after = cache.value(for: 1, now: Self.at(1_400))
        #expect(refused == .refused && after == nil, "what it should have replaced is outdated")
    }

    @Test func whatAWriteMadeWrongIsTakenOut() {
        var cache = Self.cache(room: 5)
        for key in 1...5 { _ = cache.insert("a", for: key, bytes: 1, now: Self.at(0)) }
        let removed = cache.removeAll { $0 % 2 == 0 }
        let one = cache.remove(1)
        let oneAgain = cache.remove(1)
        #expect(removed == 2 && one && !oneAgain && cache.count == 2)
    }

    @Test(arguments: 0..<100)
    func doesWhatAListWouldDo(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let room = Int.random(in: 1...6, using: &generator)
        var cache = Self.cache(room: room)
        // The least recently used first.
        var model: [(key: Int, value: String, bytes: Int, stored: Instant)] = []
        var now = Self.at(0)
        for step in 0..<600 {
            now = now.advanced(by: .milliseconds(Int64.random(in: 0...120, using: &generator)))
            model.removeAll { $0.stored.advanced(by: .seconds(1)) <= now }
            let key = Int.random(in: 0...9, using: &generator)
            let place = model.firstIndex { $0.key == key }
            switch Int.random(in: 0..<5, using: &generator) {
            case 0, 1:
                let bytes = Int.random(in: 0...100, using: &generator)
                if let place { model.remove(at: place) }
                model.append((key, "\(step)", bytes + Cache.overhead, now))
                var evicted = 0
                while model.reduce(0, { $0 + $1.bytes }) > room * (100 + Cache.overhead) {
                    model.removeFirst()
                    evicted += 1
                }
                let stored = cache.insert("\(step)", for: key, bytes: bytes, now: now)
                #expect(stored == .stored(evicted: evicted))
            case 2, 3:
                let value = cache.value(for: key, now: now)
                #expect(value == place.map { model[$0].value })
                if let place { model.append(model.remove(at: place)) }
            default:
                _ = cache.expire(now: now)
                let removed = cache.remove(key)
                #expect(removed == (place != nil))
                if let place { model.remove(at: place) }
            }
            _ = cache.expire(now: now)
            #expect(cache.count == model.count && cache.bytes == model.reduce(0) { $0 + $1.bytes })
            #expect(cache.nextExpiry == model.map(\.stored).min()?.advanced(by: .seconds(1)))
        }
    }

    @Test(arguments: [Int64.min, -1, 0, .max])
    func noInputTrapsIt(nanoseconds: Int64) {
        for bound in [Int.min, -1, 0, 200, .max] {
            var configuration = Cache.Configuration()
            configuration.mostBytes = bound
            configuration.timeToLive = .nanoseconds(nanoseconds)
            var cache = Cache(configuration)
            for now in [nanoseconds, .max, .min, 0].map(Instant.init(nanoseconds:)) {
                for bytes in [Int.min, 0, 1, .max] {
                    _ = cache.insert("a", for: bytes, bytes: bytes, now: now)
                    _ = cache.value(for: bytes, now: now)
                    #expect(cache.bytes <= max(0, bound))
                }
            }
        }
    }
}
