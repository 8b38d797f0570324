import SluiceCore
import Testing

@Suite struct RowFormatTests {
    private static let kinds = ColumnKind.allCases
    private static let format = RowFormat(
        idKind: .int8, form: .vector, dimensions: 2,
        columns: kinds.map { RowFormat.Column(name: $0.rawValue, kind: $0) })

    private func big<Integer: FixedWidthInteger>(_ integer: Integer) -> [UInt8] {
        withUnsafeBytes(of: integer.bigEndian) { Array($0) }
    }

    private func vector(_ components: [Float]) -> [UInt8] {
        big(Int16(components.count)) + big(Int16(0)) + components.flatMap { big($0.bitPattern) }
    }

    private func packed(_ id: Int64, _ vector: [UInt8]?, _ values: [[UInt8]]) -> [UInt8] {
        let cell = vector.map { big(UInt32($0.count)) + $0 } ?? big(UInt32.max)
        let body = big(id) + cell + values.flatMap(\.self)
        return big(UInt32(body.count)) + body
    }

    private func text(_ text: String) -> [UInt8] { [4] + big(UInt32(text.utf8.count)) + Array(text.utf8) }

    private func encoded(_ bytes: [UInt8], _ format: RowFormat) throws -> [UInt8] {
        var rows: [UInt8] = []
        try bytes.withUnsafeBytes { bytes in
            var packed = PackedRows(bytes)
            while let row = try packed.next() { try format.append(row, of: bytes, to: &rows) }
        }
        return rows
    }

    private func column(_ kind: ColumnKind, isRequired: Bool = false) -> RowFormat {
        RowFormat(
            idKind: .int8, form: .vector, dimensions: 2,
            columns: [.init(name: "c", kind: kind, isRequired: isRequired)])
    }

    private func cell(_ value: [UInt8], _ kind: ColumnKind) throws -> [UInt8] {
        // Count of fields, id, vector.
        Array(try encoded(packed(7, vector([1, 2]), [value]), column(kind)).dropFirst(2 + 12 + 16))
    }

    @Test func aRowHasTheFormOfABinaryCopy() throws {
        let row = try encoded(packed(7, vector([1, 2]), [text("ab")]), column(.text))
        let cells = big(Int32(8)) + big(Int64(7)) + big(Int32(12)) + vector([1, 2]) + big(Int32(2)) + Array("ab".utf8)
        #expect(row == big(Int16(3)) + cells)
    }

    @Test func valuesAreConvertedToTheColumnsType() throws {
        let integer = [2] + big(Int64(-3))
        #expect(try cell(integer, .int2) == big(Int32(2)) + big(Int16(-3)))
        #expect(try cell(integer, .int4) == big(Int32(4)) + big(Int32(-3)))
        #expect(try cell(integer, .float8) == big(Int32(8)) + big(Double(-3).bitPattern))
        #expect(try cell(integer, .text) == big(Int32(2)) + Array("-3".utf8))
        #expect(try cell(text("-3"), .int8) == big(Int32(8)) + big(Int64(-3)))
        #expect(try cell(text("yes"), .bool) == big(Int32(1)) + [1])
        #expect(try cell(text("{}"), .jsonb) == big(Int32(3)) + [1] + Array("{}".utf8))
        #expect(try cell(text("2000-01-02"), .date) == big(Int32(4)) + big(Int32(1)))
        #expect(try cell(text("1999-12-31"), .date) == big(Int32(4)) + big(Int32(-1)))
        #expect(try cell(text("2000-01-01T00:00:01Z"), .timestamp) == big(Int32(8)) + big(Int64(1_000_000)))
        #expect(try cell([0], .int4) == big(Int32(-1)))
        let uuid = Array(UInt8(0)..<16)
        #expect(try cell(text("00010203-0405-0607-0809-0a0b0c0d0e0f"), .uuid) == big(Int32(16)) + uuid)
        #expect(try cell([6] + uuid, .uuid) == big(Int32(16)) + uuid)
        let texts = [7] + big(UInt16(1)) + big(UInt32(1)) + Array("x".utf8)
        let array = big(Int32(1)) + big(Int32(0)) + big(UInt32(25)) + big(Int32(1)) + big(Int32(1)) + big(Int32(1))
        #expect(try cell(texts, .textArray) == big(Int32(25)) + array + Array("x".utf8))
    }

    @Test func whatDoesNotFitIsRefused() {
        func problem(_ bytes: [UInt8], _ format: RowFormat) -> RowProblem? {
            do { _ = try encoded(bytes, format) } catch { return error as? RowProblem }
            return nil
        }
        let good = vector([1, 2])
        #expect(problem(packed(1, vector([1]), [[0]]), column(.text)) == .dimensions(found: 1, expected: 2))
        #expect(problem(packed(1, vector([1, .nan]), [[0]]), column(.text)) == .notFinite)
        #expect(problem(packed(1, vector([-.infinity, 1]), [[0]]), column(.text)) == .notFinite)
        #expect(problem(packed(1, [0, 2], [[0]]), column(.text)) == .notAVector)
        #expect(problem(packed(1, good, [[0]]), column(.text, isRequired: true)) == .null(column: "c"))
        #expect(problem(packed(1, good, [text("x")]), column(.int4)) == .type(column: "c", expected: "an integer"))
        let huge = [2] + big(Int64.max)
        #expect(problem(packed(1, good, [huge]), column(.int4)) == .outOfRange(column: "c", type: "int4"))
        #expect(problem(packed(1, good, []), column(.text)) == .shape(columns: 1))
        #expect(problem(packed(1, good, [[0], [0]]), column(.text)) == .shape(columns: 1))
        #expect(problem(packed(1, good, [text("a\0b")]), column(.text)) == .type(column: "c", expected: "a text"))
        var small = column(.text)
        small.idKind = .int2
        #expect(problem(packed(40_000, good, [[0]]), small) == .idOutOfRange)
        small.isVectorRequired = true
        #expect(problem(packed(4, nil, [[0]]), small) == .noVector)
    }

    /// Whatever the bytes are: rows or an error, never a trap; and a bad row leaves nothing behind.
    @Test func hostileBytesAreNoTrap() {
        var random = SplitMix64(seed: 5)
        let values: [[UInt8]] = Self.kinds.map { _ in text("1") }
        let good = packed(7, vector([1, 2]), values)
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            bytes.removeLast(Int.random(in: 0...8, using: &random))
            var rows: [UInt8] = [42]
            bytes.withUnsafeBytes { bytes in
                var packed = PackedRows(bytes)
                while let row = try? packed.next() {
                    let before = rows.count
                    do { try Self.format.append(row, of: bytes, to: &rows) } catch { #expect(rows.count == before) }
                }
            }
        }
    }

    @Test func creditIsNeverOverdrawn() {
        var ledger = CreditLedger(initial: 10)
        var answers = [ledger.received(10), ledger.received(1)]
        ledger.granted(5)
        answers += [ledger.received(6), ledger.received(-1), ledger.received(5)]
        #expect(answers == [true, false, false, false, true])
        ledger.granted(.max)
        ledger.granted(.max)
        #expect(ledger.left == .max)
    }

    /// What is used comes back, in portions.
    @Test func usedCreditComesBack() {
        var random = SplitMix64(seed: 3)
        var credit = CreditReturn(window: 1_000)
        var (used, granted) = (0, 0)
        for _ in 0..<1_000 {
            let bytes = Int.random(in: 0...60, using: &random)
            used += bytes
            granted += credit.used(bytes) ?? 0
            #expect(granted <= used && used - granted < 125)
        }
    }
}
