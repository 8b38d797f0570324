/// What `EXPLAIN (FORMAT JSON)` says, without any of the data that a statement is about: the kinds of steps, which are
/// PostgreSQL's own words, the names of indexes, and estimates. Conditions and sort keys quote vectors and filters'
/// values; they are skipped as they are read.
public struct QueryPlan: Hashable, Sendable {
    /// The planner's estimates for all of it.
    public private(set) var rows = 0.0
    public private(set) var cost = 0.0
    /// Some scan reads an index in the order of what is asked for, as a search for the nearest does.
    public private(set) var isOrderedByIndex = false
    /// Some scan reads an index, for whatever.
    public private(set) var readsIndex = false
    /// The steps from the last to the first, like `Limit > Index Scan using programs_embedding_hnsw`. The inputs of one
    /// step are joined by ` + `; what comes after the first few is left out.
    public private(set) var steps = ""
    private var stepCount = 0

    /// - Parameter json: nil comes of what is no plan, or is nested too deeply to be one.
    public init?(json: some Sequence<UInt8>) {
        var reader = PlanReader(Array(json))
        guard let root = reader.plan(into: &self), let rows = root.rows else { return nil }
        self.rows = rows
        cost = root.cost
        if stepCount > Self.mostSteps { steps += " and \(stepCount - Self.mostSteps) more" }
    }

    private static let mostSteps = 12
    /// An identifier's (NAMEDATALEN - 1), in bytes.
    private static let longestName = 63

    fileprivate mutating func note(_ step: PlanReader.Step, isBelow: Bool) {
        if let index = step.index {
            readsIndex = true
            if step.isOrdered { isOrderedByIndex = true }
            add(step.kind + " using " + Self.shown(index), isBelow: isBelow)
        } else {
            add(step.kind, isBelow: isBelow)
        }
    }

    private mutating func add(_ text: String, isBelow: Bool) {
        stepCount += 1
        guard stepCount <= Self.mostSteps else { return }
        if !steps.isEmpty { steps += isBelow ? " > " : " + " }
        steps += text
    }

    /// On one line, whatever it is.
    private static func shown(_ name: [UInt8]) -> String {
        let text = String(decoding: name.prefix(longestName), as: UTF8.self)
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.isShown ? $0 : "?" }))
    }
}

extension Unicode.Scalar {
    fileprivate var isShown: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
        default: true
        }
    }
}

/// Reads the JSON of a plan once, from left to right, and keeps only what it knows to be harmless.
private struct PlanReader {
    struct Step {
        var kind = PlanReader.unknownKind
        /// As the server spells it.
        var index: [UInt8]?
        var isOrdered = false
        var rows: Double?
        var cost = 0.0
    }

    /// PostgreSQL's names of the kinds of nodes (ExplainNode in explain.c).
    private static let kinds: Set<String> = [
        "Result", "ProjectSet", "ModifyTable", "Append", "Merge Append", "Recursive Union", "BitmapAnd", "BitmapOr",
        "Nested Loop", "Merge Join", "Hash Join", "Seq Scan", "Sample Scan", "Gather", "Gather Merge", "Index Scan",
        "Index Only Scan", "Bitmap Index Scan", "Bitmap Heap Scan", "Tid Scan", "Tid Range Scan", "Subquery Scan",
        "Function Scan", "Table Function Scan", "Values Scan", "CTE Scan", "Named Tuplestore Scan", "WorkTable Scan",
        "Foreign Scan", "Custom Scan", "Materialize", "Memoize", "Sort", "Incremental Sort", "Group", "Aggregate",
        "WindowAgg", "Unique", "SetOp", "LockRows", "Limit", "Hash",
    ]
    static let unknownKind = "another step"
    /// Levels of JSON: two for each level of a plan.
    private static let deepest = 200

    private let bytes: [UInt8]
    private var place = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// A list with one object, whose `Plan` is the last step.
    mutating func plan(into plan: inout QueryPlan) -> Step? {
        guard take("["), take("{") else { return nil }
        var root: Step?
        let isWhole = eachMember { reader, key in
            guard key == "Plan", root == nil else { return reader.skip(depth: 0) }
            root = reader.step(into: &plan, isBelow: true, depth: 0)
            return root != nil
        }
        return isWhole && take("]") && isAtEnd ? root : nil
    }

    /// - Parameter isBelow: it is the first input of the step before it.
    private mutating func step(into plan: inout QueryPlan, isBelow: Bool, depth: Int) -> Step? {
        guard depth < Self.deepest, take("{") else { return nil }
        var step = Step()
        var isNoted = false
        let isWhole = eachMember { reader, key in
            switch key {
            case "Node Type":
                guard let kind = reader.string() else { return false }
                let name = String(decoding: kind, as: UTF8.self)
                step.kind = Self.kinds.contains(name) ? name : Self.unknownKind
                return true
            case "Index Name":
                step.index = reader.string()
                return step.index != nil
            case "Order By":
                step.isOrdered = true
                return reader.skip(depth: depth)
            case "Plan Rows":
                step.rows = reader.number()
                return step.rows != nil
            case "Total Cost":
                guard let cost = reader.number() else { return false }
                step.cost = cost
                return true
            case "Plans" where !isNoted:
                // The last of a step's members: all that is known of it is known now.
                isNoted = true
                plan.note(step, isBelow: isBelow)
                return reader.steps(into: &plan, depth: depth + 1)
            default: return reader.skip(depth: depth)
            }
        }
        guard isWhole else { return nil }
        if !isNoted { plan.note(step, isBelow: isBelow) }
        return step
    }

    private mutating func steps(into plan: inout QueryPlan, depth: Int) -> Bool {
        guard take("[") else { return false }
        if take("]") { return true }
        var isFirst = true
        repeat {
            guard step(into: &plan, isBelow: isFirst, depth: depth + 1) != nil else { return false }
            isFirst = false
        } while take(",")
        return take("]")
    }

    // MARK: JSON (RFC 8259)

    /// After its `{`, up to its `}`.
    private mutating func eachMember(_ value: (inout PlanReader, String) -> Bool) -> Bool {
        if take("}") { return true }
        repeat {
            skipSpace()
            guard let key = string(), take(":"), value(&self, String(decoding: key, as: UTF8.self)) else {
                return false
            }
        } while take(",")
        return take("}")
    }

    private mutating func skip(depth: Int) -> Bool {
        guard depth < Self.deepest else { return false }
        skipSpace()
        guard let first = peek else { return false }
        switch first {
        case UInt8(ascii: "\""): return skipString() != nil
        case UInt8(ascii: "{"):
            place += 1
            return eachMember { reader, _ in reader.skip(depth: depth + 1) }
        case UInt8(ascii: "["):
            place += 1
            if take("]") { return true }
            repeat { guard skip(depth: depth + 1) else { return false } } while take(",")
            return take("]")
        default: return !word().isEmpty
        }
    }

    private mutating func number() -> Double? {
        skipSpace()
        return Double(String(decoding: word(), as: UTF8.self)).flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
    }

    /// A number, `true`, `false` or `null`.
    private mutating func word() -> ArraySlice<UInt8> {
        let start = place
        while let byte = peek, Self.isOfWord(byte) { place += 1 }
        return bytes[start..<place]
    }

    private static func isOfWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "E"),
            UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    /// Its bytes; of escapes only those that a name needs are undone, the others are shown as `?`.
    private mutating func string() -> [UInt8]? {
        skipSpace()
        guard let range = skipString() else { return nil }
        var text: [UInt8] = []
        var place = range.lowerBound
        while place < range.upperBound {
            guard bytes[place] == UInt8(ascii: "\\"), place + 1 < range.upperBound else {
                text.append(bytes[place])
                place += 1
                continue
            }
            let escaped = bytes[place + 1]
            let isItself = [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/")].contains(escaped)
            text.append(isItself ? escaped : UInt8(ascii: "?"))
            place += escaped == UInt8(ascii: "u") ? 6 : 2
        }
        return text
    }

    /// Where it is, without its quotes; nil if it has no end.
    private mutating func skipString() -> Range<Int>? {
        guard peek == UInt8(ascii: "\"") else { return nil }
        let start = place + 1
        var end = start
        while end < bytes.count, bytes[end] != UInt8(ascii: "\"") {
            end += bytes[end] == UInt8(ascii: "\\") ? 2 : 1
        }
        guard end < bytes.count else { return nil }
        place = end + 1
        return start..<end
    }

    private var peek: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || (0x09...0x0D).contains(byte) { place += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard peek == UInt8(ascii: character) else { return false }
        place += 1
        return true
    }

    private var isAtEnd: Bool {
        mutating get {
            skipSpace()
            return place == bytes.count
        }
    }
}
