public import NIOCore

/// Where an answer comes from. Open: a newer gateway may know more.
public struct AnswerSource: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let executed = AnswerSource(rawValue: 0)
    /// An equal search was running already.
    public static let shared = AnswerSource(rawValue: 1)
    public static let cache = AnswerSource(rawValue: 2)
}

/// What a client has of a list that the gateway holds for it: 16 bytes that cannot be guessed.
public struct WireCursor: Hashable, Sendable {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// Why a hit of a hybrid search is where it is.
public struct FusedHit: Hashable, Sendable {
    /// Larger is better.
    public var score: Double
    /// From 1; 0 in a list that does not have it.
    public var vectorRank: Int
    public var textRank: Int

    static let bytes = 16

    public init(score: Double, vectorRank: Int, textRank: Int) {
        self.score = score
        self.vectorRank = vectorRank
        self.textRank = textRank
    }
}

/// The answer to SEARCH, GET or NEXT; with `listIndex` also a part of one.
public struct SearchResult: Hashable, Sendable {
    public var legs: [LegReport]
    /// The first list, and of most searches the only one.
    public var hits: PackedHits
    /// The other lists: by vector, then, if they are separate, by collection.
    public var furtherHits: [PackedHits] = []
    /// The share of the rows (by estimate) that the legs which answered have, from 0 to 1.
    public var coverage: Double
    /// In the gateway, from the request's arrival to the merged list.
    public var elapsed: Duration
    /// Fewer than asked for were found, and more rows may match.
    public var mayBeIncomplete = false
    /// The highest of any leg.
    public var rung = Rung.asAsked
    /// For NEXT; nil if there are no pages.
    public var cursor: WireCursor?
    /// The cursor has more hits.
    public var hasMore = false
    public var source = AnswerSource.executed
    /// One for each hit of a hybrid search; else empty.
    public var fused: [FusedHit] = []
    /// How many hits each group has; empty without groups.
    public var groupSizes: [Int] = []
    /// For GET: the ids that no row has.
    public var missing: [Int64] = []
    /// For RESULT_PART: which list its hits go on.
    public var listIndex: Int?
    /// A shard was asked again for rows that its first share had cut off.
    public var repaired = false
    /// For GET with vectors: of the last column, the vector's. Nil if it is not said, or is of no form known here.
    public var vectorForm: VectorForm?

    public init(legs: [LegReport], hits: PackedHits, coverage: Double, elapsed: Duration) {
        self.legs = legs
        self.hits = hits
        self.coverage = coverage
        self.elapsed = elapsed
    }

    public var lists: [PackedHits] { [hits] + furtherHits }
}

extension SearchResult {
    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(legs: [], hits: PackedHits(), coverage: 0, elapsed: .zero)
        var reader = FieldReader(
            payload, of: "RESULT", once: [2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
        while let field = try reader.next() {
            switch field.tag {
            case 1: legs.append(try LegReport(decoding: field.value))
            case 2: hits = PackedHits(field.value)
            case 3: coverage = try field.share("RESULT")
            case 4: elapsed = try field.microseconds("RESULT")
            case 5:
                guard furtherHits.count + 1 < SearchRequest.maximumLists else {
                    throw WireError(.malformed, "RESULT: more than \(SearchRequest.maximumLists) lists")
                }
                furtherHits.append(PackedHits(field.value))
            default: try takeDetail(field)
            }
        }
    }

    /// The fields of version 1.1.
    private mutating func takeDetail(_ field: FieldReader.Field) throws(WireError) {
        switch field.tag {
        case 6: mayBeIncomplete = try field.flag("RESULT")
        case 7: rung = Rung(rawValue: try field.integer(as: UInt8.self, "RESULT"))
        case 8: cursor = try field.cursor("RESULT")
        case 9: hasMore = try field.flag("RESULT")
        case 10: source = AnswerSource(rawValue: try field.integer(as: UInt8.self, "RESULT"))
        case 11: fused = try Self.fused(field)
        case 12: groupSizes = try field.packed(UInt32.self, "RESULT").map { Int($0) }
        case 13: missing = try field.packed(Int64.self, "RESULT")
        case 14: listIndex = try field.count("RESULT")
        case 15: repaired = try field.flag("RESULT")
        case 16: vectorForm = VectorForm(rawValue: try field.integer(as: UInt8.self, "RESULT"))
        default: break
        }
    }

    private static func fused(_ field: FieldReader.Field) throws(WireError) -> [FusedHit] {
        var rest = field.value
        var fused: [FusedHit] = []
        fused.reserveCapacity(try field.packedCount(ofBytes: FusedHit.bytes, "RESULT"))
        while let (bits, vector, text) = rest.readMultipleIntegers(as: (UInt64, UInt32, UInt32).self) {
            let score = Double(bitPattern: bits)
            guard score.isFinite else { throw WireError(.malformed, "RESULT: a score that is not finite") }
            fused.append(FusedHit(score: score, vectorRank: Int(vector), textRank: Int(text)))
        }
        return fused
    }

    public func encode(into buffer: inout ByteBuffer) {
        for leg in legs { buffer.writeField(1) { leg.encode(into: &$0) } }
        buffer.writeField(2) { $0.writeImmutableBuffer(hits.bytes) }
        buffer.writeField(3, coverage)
        buffer.writeField(4, microsecondsOf: elapsed)
        for list in furtherHits { buffer.writeField(5) { $0.writeImmutableBuffer(list.bytes) } }
        encodeDetails(into: &buffer)
    }

    private func encodeDetails(into buffer: inout ByteBuffer) {
        buffer.writeFlag(6, mayBeIncomplete)
        if rung != .asAsked { buffer.writeField(7, rung.rawValue) }
        if let cursor { buffer.writeField(8, cursor) }
        buffer.writeFlag(9, hasMore)
        if source != .executed { buffer.writeField(10, source.rawValue) }
        if !fused.isEmpty {
            buffer.writeField(11) { buffer in
                for hit in fused {
                    buffer.writeMultipleIntegers(
                        hit.score.bitPattern, UInt32(clamping: hit.vectorRank), UInt32(clamping: hit.textRank))
                }
            }
        }
        if !groupSizes.isEmpty { buffer.writeField(12, packed: groupSizes.map { UInt32(clamping: $0) }) }
        if !missing.isEmpty { buffer.writeField(13, packed: missing) }
        if let listIndex { buffer.writeField(14, count: listIndex) }
        buffer.writeFlag(15, repaired)
        if let vectorForm { buffer.writeField(16, vectorForm.rawValue) }
    }
}

extension FieldReader.Field {
    func cursor(_ message: String) throws(WireError) -> WireCursor {
        guard value.readableBytes == 16,
            let (high, low) = value.getMultipleIntegers(at: value.readerIndex, as: (UInt64, UInt64).self)
        else { throw WireError(.malformed, "\(message): a cursor has 16 bytes") }
        return WireCursor(high: high, low: low)
    }

    func packed<Integer: FixedWidthInteger>(_: Integer.Type, _ message: String) throws(WireError) -> [Integer] {
        var rest = value
        var integers: [Integer] = []
        integers.reserveCapacity(try packedCount(ofBytes: MemoryLayout<Integer>.size, message))
        while let integer = rest.readInteger(as: Integer.self) { integers.append(integer) }
        return integers
    }
}

extension ByteBuffer {
    mutating func writeField(_ tag: UInt16, _ cursor: WireCursor) {
        writeMultipleIntegers(tag, UInt32(16), cursor.high, cursor.low)
    }

    mutating func writeField<Integer: FixedWidthInteger>(_ tag: UInt16, packed integers: [Integer]) {
        writeField(tag) { buffer in
            for integer in integers { buffer.writeInteger(integer) }
        }
    }
}
