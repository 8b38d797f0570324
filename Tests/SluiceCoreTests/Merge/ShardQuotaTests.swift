import SluiceCore
import Testing

@Suite struct ShardQuotaTests {
    /// The Double's answer is the exact one, but where both are within a billionth of each other.
    @Test(arguments: [1, 2, 3, 5, 10, 20, 50, 100, 150], [2, 3, 4, 5, 8, 10, 16, 100, 1_024])
    func isTheSmallestByExactArithmetic(k: Int, shards: Int) {
        let tails = ExactTails(k: k, shards: shards)
        for (probability, digits) in [(0.9, 1), (0.99, 2), (0.999, 3), (0.9999, 4), (0.999999, 6)] {
            let rows = ShardQuota.rows(k: k, shards: shards, probability: probability)
            #expect(tails.compare(rows, digits) != .tooLikely, "\(probability): \(rows)")
            if rows > 0 { #expect(tails.compare(rows - 1, digits) != .unlikelyEnough, "\(probability): \(rows)") }
        }
    }

    /// By Python's fractions.
    @Test(arguments: [
        (100, 8, 0.9999, 28), (10, 2, 0.9999, 10), (10, 8, 0.9999, 7), (10, 1_024, 0.9999, 3), (200, 10, 0.99999, 43),
        (1_000, 10, 0.9999, 143), (2_000, 64, 0.9999, 60), (10_000, 2, 0.9999, 5_195), (10_000, 8, 0.5, 1_301),
        (10_000, 8, 0.9999, 1_391), (10_000, 1_024, 0.9999, 30), (10_000, 1_024, 0.999999999999, 43),
    ])
    func isWhatExactFractionsGive(k: Int, shards: Int, probability: Double, rows: Int) {
        #expect(ShardQuota.rows(k: k, shards: shards, probability: probability) == rows)
    }

    @Test func manyShardsAreAskedForLessThanHalf() {
        #expect(8 * ShardQuota.rows(k: 100, shards: 8) <= 800 * 45 / 100)
    }

    @Test func certaintyAsksForAll() {
        #expect(ShardQuota.rows(k: 100, shards: 8, probability: 1) == 100)
        #expect(ShardQuota.rows(k: 100, shards: 8, probability: .nan) == 100)
        #expect(ShardQuota.rows(k: 100, shards: 1, probability: 0.5) == 100)
    }

    @Test(arguments: [2, 3, 7, 64, 1_024])
    func growsWithTheListAndTheProbability(shards: Int) {
        var last = 0
        for k in stride(from: 0, through: 10_000, by: 97) {
            let rows = ShardQuota.rows(k: k, shards: shards)
            #expect(rows >= last && rows <= k && rows * shards >= k)
            last = rows
            let quotas = [0, 0.5, 0.9, 0.9999, 1 - 1e-12, 1.0.nextDown, 1].map {
                ShardQuota.rows(k: k, shards: shards, probability: $0)
            }
            #expect(quotas == quotas.sorted() && quotas[0] * shards >= k, "at least an even share")
        }
    }

    @Test func noInputTrapsIt() {
        let numbers = [Int.min, -1, 0, 1, 2, 10_000, 1 << 20 - 1, 1 << 20, .max]
        for k in numbers {
            for shards in numbers {
                for probability in [.nan, -.infinity, -1, 0, 0.5, 1, 2, .infinity] {
                    let rows = ShardQuota.rows(k: k, shards: shards, probability: probability)
                    #expect((0...max(0, k)).contains(rows))
                }
            }
        }
    }
}

/// How likely it is that a shard holds more than m of the k nearest, as a ratio of natural numbers of any size.
private struct ExactTails {
    enum Verdict {
        case unlikelyEnough
        case tooLikely
        case tooCloseToSay
    }

    /// By m: shards × how many of all placements put more than m rows on one certain shard.
    private var tails: [Natural]
    /// How many placements there are: shards to the power of k.
    private var all = Natural(1)

    init(k: Int, shards: Int) {
        // The coefficients of ((shards - 1) + x)^k: how many placements put so many rows on the shard.
        var counts = [Natural(1)]
        for _ in 0..<k {
            all.multiply(by: UInt32(shards))
            counts.append(Natural(0))
            for place in counts.indices.reversed() {
                counts[place].multiply(by: UInt32(shards - 1))
                if place > 0 { counts[place].add(counts[place - 1]) }
            }
        }
        tails = Array(repeating: Natural(0), count: k + 1)
        for place in (0..<k).reversed() {
            tails[place] = tails[place + 1]
            var term = counts[place + 1]
            term.multiply(by: UInt32(shards))
            tails[place].add(term)
        }
    }

    /// Against a risk of one in 10^digits.
    func compare(_ rows: Int, _ digits: Int) -> Verdict {
        var tail = tails[rows]
        for _ in 0..<digits { tail.multiply(by: 10) }
        tail.multiply(by: 1_000_000_000)
        var (less, more) = (all, all)
        less.multiply(by: 999_999_999)
        more.multiply(by: 1_000_000_001)
        return tail < less ? .unlikelyEnough : more < tail ? .tooLikely : .tooCloseToSay
    }
}

private struct Natural {
    /// The lowest first, without zeros at the end.
    private var digits: [UInt32]

    init(_ value: UInt32) { digits = value == 0 ? [] : [value] }

    mutating func multiply(by factor: UInt32) {
        var carry: UInt64 = 0
        for place in digits.indices {
            carry += UInt64(digits[place]) * UInt64(factor)
            digits[place] = UInt32(truncatingIfNeeded: carry)
            carry >>= 32
        }
        if carry > 0 { digits.append(UInt32(carry)) }
    }

    mutating func add(_ other: Natural) {
        var carry: UInt64 = 0
        for place in 0..<max(digits.count, other.digits.count) {
            if place == digits.count { digits.append(0) }
            carry += UInt64(digits[place]) + (place < other.digits.count ? UInt64(other.digits[place]) : 0)
            digits[place] = UInt32(truncatingIfNeeded: carry)
            carry >>= 32
        }
        if carry > 0 { digits.append(UInt32(carry)) }
    }

    static func < (left: Natural, right: Natural) -> Bool {
        if left.digits.count != right.digits.count { return left.digits.count < right.digits.count }
        return left.digits.reversed().lexicographicallyPrecedes(right.digits.reversed())
    }
}
