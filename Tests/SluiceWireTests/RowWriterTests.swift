import NIOCore
import SluiceWire
import Testing

@Suite struct RowWriterTests {
    @Test func everyWayToWriteAVectorSaysTheSame() throws {
        let floats: [Float] = [1, -2.5, .infinity, 0.1]
        var (whole, parts, raw) = (RowWriter(), RowWriter(), RowWriter(capacity: 64))
        try whole.append(id: 7, vector: VectorBytes(floats), values: [.text("a"), nil])
        parts.beginRow(id: 7)
        floats.withUnsafeBufferPointer { parts.writeVector(floats: $0) }
        parts.writeText("a".utf8)
        try parts.write(nil)
        parts.endRow()
        raw.beginRow(id: 7)
        raw.writeVector(bytes: Array(VectorBytes(floats).bytes.readableBytesView))
        try raw.write(.text("a"))
        try raw.write(nil)
        raw.endRow()
        #expect(whole.bytes == parts.bytes && whole.bytes == raw.bytes && whole.rowCount == 1)
        var (half, halves) = (RowWriter(), RowWriter())
        try half.append(id: 7, vector: VectorBytes(half: floats), values: [])
        halves.beginRow(id: 7)
        floats.withUnsafeBufferPointer { halves.writeVector(halves: $0) }
        halves.endRow()
        #expect(half.bytes == halves.bytes)
    }

    @Test func aRowThatCannotBeWrittenLeavesTheOthersAsTheyWere() throws {
        var writer = RowWriter()
        try writer.append(id: 1, vector: nil, values: [.int(1)])
        let before = writer.bytes
        let tooLong = FilterValue.textArray(Array(repeating: "a", count: 10_001))
        #expect(throws: WireError.self) { try writer.append(id: 2, vector: nil, values: [.int(2), tooLong]) }
        #expect(writer.bytes == before && writer.rowCount == 1)
        let taken = writer.take()
        #expect(taken == before && writer.bytes.readableBytes == 0 && writer.rowCount == 0)
    }

    @Test func aLoadResultListsNoMoreBadRowsThanMayBe() throws {
        let bad = (0..<2_000).map { BadRow(row: $0, message: "wrong") }
        let result = LoadResult(rows: 0, shards: [], badRows: bad, badRowCount: 2_000, elapsed: .zero)
        var payload = ByteBuffer()
        result.encode(into: &payload)
        let decoded = try LoadResult(decoding: payload)
        #expect(decoded.badRows.count == LoadResult.maximumListedBadRows && decoded.badRowCount == 2_000)
    }

    @Test func countsBeyondAnIntAreTheLargestOne() throws {
        var payload = ByteBuffer()
        payload.writeMultipleIntegers(UInt16(1), UInt32(8), UInt64.max)
        let end = try LoadEnd(decoding: payload)
        #expect(end.rows == .max)
    }
}
