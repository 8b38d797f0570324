import Foundation
import NIOCore
import SluiceWire
import Testing

@Suite struct FilterCodecTests {
    private func encoded(_ filter: FilterExpression) throws -> ByteBuffer {
        var buffer = ByteBuffer()
        try filter.encode(into: &buffer)
        return buffer
    }

    private func leaf(_ number: Int = 0) -> FilterExpression { .isNull(column: "c\(number)") }

    /// A filter is refused in the same way, whether it is written or read.
    private func encodingError(_ filter: FilterExpression) -> WireError? {
        var buffer = ByteBuffer(string: "before")
        do {
            try filter.encode(into: &buffer)
            return nil
        } catch {
            #expect(buffer == ByteBuffer(string: "before"))
            return error
        }
    }

    private func decodingError(_ bytes: [UInt8]) -> WireError? {
        do {
            _ = try FilterExpression(decoding: ByteBuffer(bytes: bytes))
            return nil
        } catch { return error }
    }

    @Test func theSpecificationsExample() throws {
        let file = GoldenVector.folder.deletingLastPathComponent().appending(path: "PROTOCOL.md")
        let text = try String(contentsOf: file, encoding: .utf8)
        let section = try #require(text.components(separatedBy: "### Filter\n").dropFirst().first)
        let example = try #require(section.components(separatedBy: "```").dropFirst().first)
        let bytes = example.split(separator: "\n").flatMap { line in
            line.prefix(50).split(separator: " ").compactMap { UInt8($0, radix: 16) }
        }
        let filter = FilterExpression.and([
            .compare(column: "section", .equal, .text("net")),
            .not(.compare(column: "installed_kib", .less, .int(5_000))),
        ])
        #expect(try Array(encoded(filter).readableBytesView) == bytes)
        #expect(try FilterExpression(decoding: ByteBuffer(bytes: bytes)) == filter)
    }

    @Test func randomFiltersComeBack() throws {
        var random = SplitMix64(seed: 4)
        for _ in 0..<5_000 {
            let filter = FilterExpression.random(depth: Int.random(in: 1...5, using: &random), using: &random)
            let bytes = try encoded(filter)
            #expect(try FilterExpression(decoding: bytes) == filter)
        }
    }

    // MARK: Limits, at the edge and one beyond

    @Test func depth() throws {
        func nested(_ depth: Int) -> FilterExpression { (1..<depth).reduce(leaf()) { filter, _ in .not(filter) } }
        #expect(try FilterExpression(decoding: encoded(nested(16))) == nested(16))
        let error = WireError(.invalidArgument, "filter: it is more than 16 levels deep")
        #expect(encodingError(nested(17)) == error)
        #expect(decodingError(Array(repeating: 3, count: 16) + [7, 1, 0x61]) == error)
        // However deep it is, neither goes deeper than that.
        #expect(encodingError(nested(5_000)) == error)
        #expect(decodingError(Array(repeating: 3, count: 65_536)) == error)
    }

    @Test func nodes() throws {
        let most = FilterExpression.and((0..<1_023).map(leaf))
        #expect(try FilterExpression(decoding: encoded(most)) == most)
        let error = WireError(.invalidArgument, "filter: it has more than 1024 nodes")
        #expect(encodingError(.or((0..<1_024).map(leaf))) == error)
        #expect(encodingError(.or([.not(leaf())] + (0..<1_022).map(leaf))) == error)
        let leaves = (0..<1_024).flatMap { _ in [7, 1, 0x61] as [UInt8] }
        #expect(decodingError([1, 4, 0] + leaves) == error)
        #expect(decodingError([1, 3, 0xFF, 3] + leaves) == error)
        #expect(decodingError([1, 3, 0xFF] + leaves.dropLast(3)) == nil)
    }

    @Test func valuesInAList() throws {
        let texts = Array(repeating: "", count: 10_000)
        let lists: [([String]) -> FilterExpression] = [
            { .overlaps(column: "c", $0) }, { .compare(column: "c", .equal, .textArray($0)) },
            { .oneOf(column: "c", $0.map { .text($0) }) },
        ]
        let error = WireError(.invalidArgument, "filter: a list has 10001 values; at most 10000 may be")
        for list in lists {
            let most = list(texts)
            #expect(try FilterExpression(decoding: encoded(most)) == most)
            #expect(encodingError(list(texts + [""])) == error)
            #expect(try FilterExpression(decoding: encoded(list([]))) == list([]))
        }
        let flags = Array(repeating: [1, 1] as [UInt8], count: 10_001).flatMap { $0 }
        #expect(decodingError([5, 1, 0x61, 0x27, 0x11] + flags) == error)
        let empty = Array(repeating: 0 as UInt8, count: 40_004)
        #expect(decodingError([9, 1, 0x61, 0x27, 0x11] + empty) == error)
        #expect(decodingError([4, 1, 0x61, 1, 7, 0x27, 0x11] + empty) == error)
    }

    @Test func bytes() throws {
        // Kind, column "c" and the text's length take seven bytes.
        let most = FilterExpression.hasPrefix(column: "c", String(repeating: "x", count: 65_529))
        let bytes = try encoded(most)
        #expect(bytes.readableBytes == 65_536)
        #expect(try FilterExpression(decoding: bytes) == most)
        let error = WireError(.invalidArgument, "filter: it has more than 65536 bytes")
        #expect(encodingError(.hasPrefix(column: "c", String(repeating: "x", count: 65_530))) == error)
        #expect(encodingError(.not(most)) == error)
        #expect(decodingError([3] + bytes.readableBytesView) == error)
    }

    @Test func columnNames() throws {
        let longest = String(repeating: "ä", count: 31) + "x"
        #expect(try FilterExpression(decoding: encoded(.isNull(column: longest))) == .isNull(column: longest))
        for (name, count) in [("", 0), (longest + "x", 64), (String(repeating: "x", count: 70_000), 70_000)] {
            let message = "filter: a column's name has \(count) bytes; it must have 1 to 63"
            #expect(encodingError(.isNull(column: name)) == WireError(.invalidArgument, message))
        }
        #expect(decodingError([7, 0])?.code == .invalidArgument)
        #expect(decodingError([7, 64] + Array(repeating: 0x61, count: 64))?.code == .invalidArgument)
    }

    @Test(arguments: [Double.nan, .signalingNaN, .infinity, -.infinity])
    func numbersAreFinite(number: Double) {
        let error = WireError(.invalidArgument, "filter: a number is NaN or infinite")
        #expect(encodingError(.oneOf(column: "c", [.int(1), .double(number)])) == error)
        var bytes = ByteBuffer(bytes: [4, 1, 0x61, 1, 3])
        bytes.writeInteger(number.bitPattern)
        #expect(decodingError(Array(bytes.readableBytesView)) == error)
    }

    @Test func timestampsAreWhatPostgreSQLHolds() throws {
        let range = FilterExpression.timestamps
        for edge in [range.lowerBound, range.upperBound - 1] {
            let filter = FilterExpression.compare(column: "c", .less, .timestamp(edge))
            #expect(try FilterExpression(decoding: encoded(filter)) == filter)
        }
        for beyond in [range.lowerBound - 1, range.upperBound, .min, .max] {
            #expect(encodingError(.compare(column: "c", .less, .timestamp(beyond)))?.code == .invalidArgument)
            var bytes = ByteBuffer(bytes: [4, 1, 0x61, 1, 5])
            bytes.writeInteger(beyond)
            #expect(decodingError(Array(bytes.readableBytesView))?.code == .invalidArgument)
        }
    }

    @Test func operands() {
        let error = WireError(
            .invalidArgument, "filter: an \"and\" or \"or\" has no operand; it must have at least one")
        #expect(encodingError(.and([])) == error)
        #expect(encodingError(.not(.or([]))) == error)
        #expect(decodingError([1, 0, 0]) == error)
        #expect(decodingError([3, 2, 0, 0]) == error)
    }

    @Test func textsHaveNoNUL() {
        let filters: [FilterExpression] = [
            .isNull(column: "a\0"), .hasPrefix(column: "c", "\0"), .overlaps(column: "c", ["a", "\0"]),
            .compare(column: "c", .equal, .text("a\0b")),
        ]
        for filter in filters {
            #expect(encodingError(filter) == WireError(.invalidArgument, "filter: a text contains NUL"))
        }
    }

    // MARK: Bytes that are no filter

    @Test(
        arguments: [
            ([], "it is cut short"), ([0], "there is no kind of node 0"),
            ([10, 1, 0x61], "there is no kind of node 10"),
            ([3], "it is cut short"), ([7, 2, 0x61], "it is cut short"), ([1, 0, 2, 7, 1, 0x61], "it is cut short"),
            ([1, 0xFF, 0xFF, 7, 1, 0x61], "it is cut short"), ([5, 1, 0x61, 0xFF, 0xFF, 1, 1], "it is cut short"),
            ([9, 1, 0x61, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF], "it is cut short"),
            ([8, 1, 0x61, 0, 0, 0], "it is cut short"),
            ([4, 1, 0x61, 0, 1, 1], "there is no comparison 0"), ([4, 1, 0x61, 7, 1, 1], "there is no comparison 7"),
            ([4, 1, 0x61, 1, 0, 1], "there is no kind of value 0"),
            ([4, 1, 0x61, 1, 8, 1], "there is no kind of value 8"),
            ([4, 1, 0x61, 1, 1, 2], "a bool must be 0 or 1"), ([7, 1, 0xFF], "a text must be UTF-8 without NUL"),
            ([7, 1, 0], "a text must be UTF-8 without NUL"),
            ([8, 1, 0x61, 0, 0, 0, 2, 0xC3, 0x28], "a text must be UTF-8 without NUL"),
            ([7, 1, 0x61, 0], "1 bytes follow after its end"),
        ] as [([UInt8], String)])
    func malformed(bytes: [UInt8], message: String) {
        #expect(decodingError(bytes) == WireError(.malformed, "filter: \(message)"))
    }

    @Test func aFilterCutAtEveryByteIsNotOne() throws {
        var random = SplitMix64(seed: 8)
        for _ in 0..<300 {
            let bytes = try encoded(.random(depth: 3, using: &random))
            for length in 0..<bytes.readableBytes {
                let error = decodingError(Array(bytes.readableBytesView.prefix(length)))
                #expect(error != nil)
            }
        }
    }

    @Test func mutatedAndRandomBytesNeverTrap() throws {
        var random = SplitMix64(seed: 20_261_124)
        for _ in 0..<50_000 {
            var bytes = Array(try encoded(.random(depth: 3, using: &random)).readableBytesView)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = .random(in: 0...255, using: &random)
            }
            check(bytes)
            check(
                (0..<Int.random(in: 0...60, using: &random)).map { _ in
                    // Small numbers are likelier to be plausible kinds and lengths.
                    Bool.random(using: &random)
                        ? .random(in: 0...9, using: &random) : .random(in: 0...255, using: &random)
                })
        }
    }

    /// What can be read can be written, and is the same when it is read again.
    private func check(_ bytes: [UInt8]) {
        guard let filter = try? FilterExpression(decoding: ByteBuffer(bytes: bytes)) else { return }
        #expect(throws: Never.self) {
            let again = try encoded(filter)
            #expect(Array(again.readableBytesView) == bytes)
        }
    }
}
