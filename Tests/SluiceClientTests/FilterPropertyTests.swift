import SluiceClient
import SluiceWire
import Testing

/// A small seeded generator, so that a failing case can be run again.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}

@Suite struct FilterPropertyTests {
    @Test func whatIsPrintedIsReadAsTheSame() throws {
        var random = SplitMix64(seed: 12)
        for _ in 0..<10_000 {
            let filter = Filter.random(depth: Int.random(in: 1...5, using: &random), using: &random)
            let text = filter.description
            do {
                let again = try Filter(parsing: text)
                #expect(again == filter, "\(text)")
                #expect(again.description == text)
            } catch { Issue.record("\(error)") }
        }
    }

    private static let pieces = [
        "and", "or", "not", "in", "between", "is", "null", "like", "true", "false", "timestamp", "uuid", "array",
        "overlaps", "(", ")", "[", "]", ",", "=", "!=", "<>", "<", "<=", ">", ">=", "&&", "'a'", "'a%'", "\"b\"", "c",
        "5",
        "-1.5", "1e9", "'", "\"", "\\", "%", ";", "é", "\n", "\0", "'2024-01-31'", "--", "&", "!", ".", "-", "e", "👩‍👩‍👧",
    ]

    /// What a text comes to does not matter; that it ends, and that an error points into it, does.
    private func check(_ text: String) {
        do {
            let filter = try Filter(parsing: text)
            #expect((try? Filter(parsing: filter.description)) == filter, "\(text)")
        } catch {
            let isWithin = error.offset >= 0 && error.offset <= text.count && error.line >= 1 && error.column >= 1
            #expect(isWithin && !error.expected.isEmpty && !error.found.isEmpty, "\(text)")
        }
    }

    @Test func anyTextIsReadOrRefused() {
        var random = SplitMix64(seed: 20_261_125)
        for _ in 0..<100_000 {
            let words = (0..<Int.random(in: 0...12, using: &random)).map { _ in
                Self.pieces.randomElement(using: &random) ?? ""
            }
            check(words.joined(separator: Bool.random(using: &random) ? " " : ""))
        }
    }

    @Test func changedFiltersAreReadOrRefused() {
        var random = SplitMix64(seed: 20_261_126)
        for _ in 0..<100_000 {
            var scalars = Array(Filter.random(depth: 2, using: &random).description.unicodeScalars)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: scalars.indices, using: &random)
                switch Int.random(in: 0...2, using: &random) {
                case 0 where scalars.count > 1: scalars.remove(at: place)
                case 1:
                    let piece = Self.pieces.randomElement(using: &random) ?? ""
                    scalars.insert(contentsOf: piece.unicodeScalars, at: place)
                default: scalars[place] = Unicode.Scalar(UInt8.random(in: 0...127, using: &random))
                }
            }
            check(String(String.UnicodeScalarView(scalars)))
        }
    }
}

extension Filter {
    /// Any filter at most so deep that can be built, with names and texts of the nastier kind.
    static func random(depth: Int, using random: inout SplitMix64) -> Filter {
        let column = Filter.column(String.random(1...8, using: &random))
        switch Int.random(in: depth > 1 ? 0...9 : 3...9, using: &random) {
        case 0: return .and(list(1...4, using: &random) { .random(depth: depth - 1, using: &$0) })
        case 1: return .or(list(1...4, using: &random) { .random(depth: depth - 1, using: &$0) })
        case 2: return !.random(depth: depth - 1, using: &random)
        case 3: return column == .random(using: &random)
        case 4: return column <= .random(using: &random)
        case 5: return column.in(list(0...4, using: &random) { .random(using: &$0) })
        case 6: return column.between(.random(using: &random), .random(using: &random))
        case 7: return column.isNull
        case 8: return column.hasPrefix(.random(0...6, using: &random))
        default: return column.overlaps(list(0...4, using: &random) { .random(0...6, using: &$0) })
        }
    }

    fileprivate static func list<Element>(
        _ count: ClosedRange<Int>, using random: inout SplitMix64, _ element: (inout SplitMix64) -> Element
    ) -> [Element] {
        (0..<Int.random(in: count, using: &random)).map { _ in element(&random) }
    }
}

extension Filter.Value {
    static func random(using random: inout SplitMix64) -> Filter.Value {
        switch Int.random(in: 0...7, using: &random) {
        case 0: return .bool(.random(using: &random))
        case 1: return .int([.min, -1, 0, .max].randomElement(using: &random) ?? 0)
        case 2: return .double(.random(in: -1e6...1e6, using: &random))
        case 3: return .double([0, -0.0, 1e300, .leastNonzeroMagnitude, 5].randomElement(using: &random) ?? 0)
        case 4: return .text(.random(0...6, using: &random))
        case 5:
            return .timestamp(microsecondsSince2000: .random(in: FilterExpression.timestamps, using: &random))
        case 6: return Filter.Value(.uuid(high: random.next(), low: random.next()))
        default: return .textArray(Filter.list(0...4, using: &random) { .random(0...6, using: &$0) })
        }
    }
}

extension String {
    private static let letters: [Unicode.Scalar] = [
        "a", "B", "_", "7", " ", "'", "\"", "%", "\\", "\n", "\r", "é", "漢", "😀", "\u{301}",
    ]
    private static let words = ["and", "NOT", "null", "Timestamp", "in", "section"]

    static func random(_ count: ClosedRange<Int>, using random: inout SplitMix64) -> String {
        if Int.random(in: 0...4, using: &random) == 0 { return words.randomElement(using: &random) ?? "" }
        var scalars = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: count, using: &random) {
            scalars.append(letters.randomElement(using: &random) ?? "a")
        }
        return String(scalars)
    }
}
