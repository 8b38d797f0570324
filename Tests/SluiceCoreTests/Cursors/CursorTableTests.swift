import SluiceCore
import Testing

@Suite struct CursorTableTests {
    private typealias Table = CursorTable<Int>

    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    /// Room for so many cursors of 100 bytes; each lives for a second.
    private static func table(room: Int) -> Table {
        var configuration = Table.Configuration()
        configuration.mostBytes = room * (100 + Table.overhead)
        configuration.mostBytesPerCursor = 150
        configuration.timeToLive = .seconds(1)
        return Table(configuration)
    }

    private func insert(
        _ value: Int, into table: inout Table, bytes: Int = 100, now: Instant, using generator: inout SplitMix64
    ) throws -> CursorID {
        let insertion = table.insert(value, bytes: bytes, now: now, using: &generator)
        guard case .held(let id, _) = insertion else {
            Issue.record("\(insertion)")
            throw CancellationError()
        }
        return id
    }

    @Test func livesForAWhileAfterItsLastUse() throws {
        var (table, generator) = (Self.table(room: 3), SplitMix64(seed: 0))
        #expect(table.nextExpiry == nil)
        let id = try insert(7, into: &table, now: Self.at(0), using: &generator)
        #expect(table.nextExpiry == Self.at(1_000))
        let first = table.peek(id, now: Self.at(999))
        #expect(first == 7 && table.nextExpiry == Self.at(1_999))
        let second = table.peek(id, now: Self.at(1_998))
        #expect(second == 7)
        let third = table.peek(id, now: Self.at(2_998))
        #expect(third == nil && table.count == 0 && table.bytes == 0)
    }

    @Test func isGoneOnceTakenOrRemoved() throws {
        var (table, generator) = (Self.table(room: 3), SplitMix64(seed: 0))
        let first = try insert(1, into: &table, now: Self.at(0), using: &generator)
        let second = try insert(2, into: &table, now: Self.at(0), using: &generator)
        let taken = table.take(first, now: Self.at(1))
        let again = table.take(first, now: Self.at(1))
        #expect(taken == 1 && again == nil)
        let removed = table.remove(second)
        let removedAgain = table.remove(second)
        #expect(removed && !removedAgain && table.bytes == 0)
    }

    @Test func aChangeInItsPlaceIsAUse() throws {
        var (table, generator) = (Self.table(room: 2), SplitMix64(seed: 0))
        let first = try insert(1, into: &table, now: Self.at(0), using: &generator)
        let second = try insert(2, into: &table, now: Self.at(0), using: &generator)
        let bytes = table.bytes
        let before = table.update(first, now: Self.at(999)) { value in
            defer { value += 10 }
            return value
        }
        #expect(before == 1 && table.bytes == bytes && table.nextExpiry == Self.at(1_000))
        let held = [first, second].map { table.peek($0, now: Self.at(1_500)) }
        #expect(held == [11, nil])
        let tooLate: Void? = table.update(second, now: Self.at(1_500)) { $0 += 10 }
        #expect(tooLate == nil)
    }

    @Test func theLeastRecentlyUsedMakesRoom() throws {
        var (table, generator) = (Self.table(room: 2), SplitMix64(seed: 0))
        let first = try insert(1, into: &table, now: Self.at(0), using: &generator)
        let second = try insert(2, into: &table, now: Self.at(1), using: &generator)
        _ = table.peek(first, now: Self.at(2))
        let insertion = table.insert(3, bytes: 100, now: Self.at(3), using: &generator)
        guard case .held(let third, 1) = insertion else {
            Issue.record("\(insertion)")
            return
        }
        let held = [first, second, third].map { table.peek($0, now: Self.at(4)) }
        #expect(held == [1, nil, 3])
    }

    @Test func expiryTakesAllWhoseTimeIsOver() throws {
        var (table, generator) = (Self.table(room: 5), SplitMix64(seed: 0))
        for time: Int64 in [0, 100, 200] {
            _ = try insert(0, into: &table, now: Self.at(time), using: &generator)
        }
        let none = table.expire(now: Self.at(999))
        let two = table.expire(now: Self.at(1_100))
        #expect(none == 0 && two == 2 && table.nextExpiry == Self.at(1_200))
    }

    @Test func whatIsTooLargeIsRefusedAndNobodyMakesRoomForIt() throws {
        var (table, generator) = (Self.table(room: 1), SplitMix64(seed: 0))
        _ = try insert(1, into: &table, now: Self.at(0), using: &generator)
        for bytes in [101, 151, .max] {
            let insertion = table.insert(2, bytes: bytes, now: Self.at(0), using: &generator)
            #expect(insertion == .refused(.tooLarge))
        }
        #expect(table.count == 1)
    }

    @Test func anIDThatIsTakenIsNotGivenAgain() throws {
        var table = Self.table(room: 3)
        var (one, same) = (SplitMix64(seed: 5), SplitMix64(seed: 5))
        let id = try insert(1, into: &table, now: Self.at(0), using: &one)
        let insertion = table.insert(2, bytes: 1, now: Self.at(0), using: &same)
        let held = table.peek(id, now: Self.at(0))
        #expect(insertion == .refused(.idTaken) && held == 1)
    }

    @Test func idsUseAllBitsOfTheGenerator() throws {
        var (table, generator) = (Self.table(room: 1), SplitMix64(seed: 9))
        var (ones, ids) = (Array(repeating: 0, count: 128), Set<CursorID>())
        for _ in 0..<2_000 {
            let id = try insert(0, into: &table, now: Self.at(0), using: &generator)
            ids.insert(id)
            for bit in 0..<64 {
                ones[bit] += Int(id.low >> UInt64(bit) & 1)
                ones[64 + bit] += Int(id.high >> UInt64(bit) & 1)
            }
        }
        #expect(ids.count == 2_000 && ones.allSatisfy { (850...1_150).contains($0) })
    }

    @Test(arguments: 0..<100)
    func doesWhatAListWouldDo(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        let room = Int.random(in: 1...6, using: &generator)
        var table = Self.table(room: room)
        // The least recently used first.
        var model: [(id: CursorID, value: Int, bytes: Int, used: Instant)] = []
        var gone: [CursorID] = []
        var now = Self.at(0)
        for step in 0..<500 {
            now = now.advanced(by: .milliseconds(Int64.random(in: 0...200, using: &generator)))
            model.removeAll { $0.used.advanced(by: .seconds(1)) <= now }
            let chosen = model.indices.randomElement(using: &generator)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0..<3:
                let bytes = Int.random(in: 0...100, using: &generator)
                let id = try insert(step, into: &table, bytes: bytes, now: now, using: &generator)
                model.append((id, step, bytes + Table.overhead, now))
                while model.reduce(0, { $0 + $1.bytes }) > room * (100 + Table.overhead) {
                    gone.append(model.removeFirst().id)
                }
            case 3:
                guard let chosen else { continue }
                var used = model.remove(at: chosen)
                used.used = now
                model.append(used)
                let value = table.peek(used.id, now: now)
                #expect(value == used.value)
            case 4:
                guard let chosen else { continue }
                let taken = model.remove(at: chosen)
                let value = table.take(taken.id, now: now)
                #expect(value == taken.value)
            default:
                _ = table.expire(now: now)
                guard let id = gone.randomElement(using: &generator) else { continue }
                let value = table.peek(id, now: now)
                #expect(value == nil)
            }
            _ = table.expire(now: now)
            #expect(table.count == model.count && table.bytes == model.reduce(0) { $0 + $1.bytes })
            #expect(table.nextExpiry == model.first?.used.advanced(by: .seconds(1)))
        }
    }

    @Test(arguments: [Int64.min, -1, 0, .max])
    func noInputTrapsIt(nanoseconds: Int64) {
        for bound in [Int.min, -1, 0, 200, .max] {
            var configuration = Table.Configuration()
            configuration.mostBytes = bound
            configuration.mostBytesPerCursor = bound
            configuration.timeToLive = .nanoseconds(nanoseconds)
            var (table, generator) = (Table(configuration), SplitMix64(seed: 0))
            for now in [nanoseconds, .max, .min, 0].map(Instant.init(nanoseconds:)) {
                for bytes in [Int.min, 0, 1, .max] {
                    if case .held(let id, _) = table.insert(1, bytes: bytes, now: now, using: &generator) {
                        #expect(nanoseconds > 0 && table.bytes <= bound)
                        _ = table.peek(id, now: now)
                        _ = table.take(id, now: now)
                    }
                }
                _ = table.expire(now: now)
            }
        }
    }
}
