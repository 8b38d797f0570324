/// Puts rows on shards exactly as `PARTITION BY HASH (id)` of one bigint column does in PostgreSQL 11 and later, so
/// that data which PostgreSQL has already partitioned can be served: shard i holds what
/// `satisfies_hash_partition(parent, shardCount, i, id)` accepts.
///
/// Sources in PostgreSQL 16: `compute_partition_hash_value` and `HASH_PARTITION_SEED` (partbounds.c, partition.h),
/// `hashint8extended` (hashfunc.c), `hash_bytes_uint32_extended` (hashfn.c), `hash_combine64` (hashfn.h).
public struct HashPlacement: Hashable, Sendable {
    public let shardCount: Int

    /// Nil unless there is at least one shard.
    public init?(shardCount: Int) {
        guard shardCount >= 1 else { return nil }
        self.shardCount = shardCount
    }

    /// The index of the shard that holds this id, from 0.
    public func shard(of id: Int64) -> Int {
        Int(Self.partitionHash(of: id) % UInt64(shardCount))
    }

    /// PostgreSQL's partition hash of a single bigint key.
    static func partitionHash(of id: Int64) -> UInt64 {
        combine(0, extendedHash(of: id, seed: seed))
    }

    /// The same as an expression of SQL, of type numeric.
    /// - Parameter id: an expression of type bigint.
    public func shardSQL(of id: String) -> String {
        // PostgreSQL's own hash has a sign, which 2^64 takes away.
        let modulus = "18446744073709551616"
        let hash = "hashint8extended(\(id), \(Self.seed))::numeric + \(Self.increment) + \(modulus)"
        return "mod(mod(\(hash), \(modulus)), \(shardCount)::numeric)"
    }

    /// `HASH_PARTITION_SEED`.
    private static let seed: UInt64 = 0x7A5B_2236_7996_DCFD
    /// What `hash_combine64` adds.
    private static let increment: UInt64 = 0x49A0_F4DD_15E5_A8E3

    /// `hashint8extended`: folded to 32 bits so that equal int4 and int8 values hash alike.
    private static func extendedHash(of value: Int64, seed: UInt64) -> UInt64 {
        let low = UInt32(truncatingIfNeeded: value)
        let high = UInt32(truncatingIfNeeded: value >> 32)
        return jenkins(low ^ (value >= 0 ? high : ~high), seed: seed)
    }

    /// `hash_combine64`.
    private static func combine(_ left: UInt64, _ right: UInt64) -> UInt64 {
        left ^ (right &+ increment &+ (left << 54) &+ (left >> 7))
    }

    /// Bob Jenkins' lookup3 for one 32-bit word, with a 64-bit seed and result.
    private static func jenkins(_ word: UInt32, seed: UInt64) -> UInt64 {
        let start: UInt32 = 0x9E37_79B9 &+ 4 &+ 3_923_095
        var state = Lookup3(a: start, b: start, c: start)
        if seed != 0 {
            state.a &+= UInt32(truncatingIfNeeded: seed >> 32)
            state.b &+= UInt32(truncatingIfNeeded: seed)
            state.mix()
        }
        state.a &+= word
        state.finish()
        return UInt64(state.b) << 32 | UInt64(state.c)
    }
}

/// The three words of lookup3.
private struct Lookup3 {
    var a: UInt32
    var b: UInt32
    var c: UInt32

    private static func rotate(_ word: UInt32, _ count: UInt32) -> UInt32 { word << count | word >> (32 - count) }

    mutating func mix() {
        a &-= c
        a ^= Self.rotate(c, 4)
        c &+= b
        b &-= a
        b ^= Self.rotate(a, 6)
        a &+= c
        c &-= b
        c ^= Self.rotate(b, 8)
        b &+= a
        a &-= c
        a ^= Self.rotate(c, 16)
        c &+= b
        b &-= a
        b ^= Self.rotate(a, 19)
        a &+= c
        c &-= b
        c ^= Self.rotate(b, 4)
        b &+= a
    }

    mutating func finish() {
        c ^= b
        c &-= Self.rotate(b, 14)
        a ^= c
        a &-= Self.rotate(c, 11)
        b ^= a
        b &-= Self.rotate(a, 25)
        c ^= b
        c &-= Self.rotate(b, 16)
        a ^= c
        a &-= Self.rotate(c, 4)
        b ^= a
        b &-= Self.rotate(a, 14)
        c ^= b
        c &-= Self.rotate(b, 24)
    }
}
