import SluiceClient
import SluiceWire

/// Makes random filters over given columns. The same seed makes the same filters.
struct FilterGenerator<Random: RandomNumberGenerator> {
    struct Column {
        enum Kind {
            case bool
            case int
            case float
            case text
            case timestamp
            case uuid
            case textArray
        }

        var name: String
        var kind: Kind
        /// Values of the kind that rows have, at least one: a filter is to find something now and then. Of an array
        /// column, texts that are elements.
        var samples: [Filter.Value]
        /// Whether less and greater are asked: not of texts whose collation orders them otherwise than their bytes.
        var isOrdered: Bool

        init(_ name: String, _ kind: Kind, samples: [Filter.Value], isOrdered: Bool? = nil) {
            self.name = name
            self.kind = kind
            self.samples = samples
            self.isOrdered = isOrdered ?? (kind != .text && kind != .textArray)
        }
    }

    let columns: [Column]
    var random: Random

    /// Over the columns of the sample collections.
    init(ofSamples random: Random) {
        self.init(
            columns: [
                .init("section", .text, samples: ["net", "science", "libs", "libdevel"], isOrdered: true),
                .init("installed_kib", .int, samples: [156, 8_855, 0, 40]),
                .init("name", .text, samples: ["2ping", "lib", "python3-"], isOrdered: true),
                .init("priority", .text, samples: ["optional", "required"]),
            ], random: random)
    }

    /// - Parameter columns: at least one.
    init(columns: [Column], random: Random) {
        self.columns = columns
        self.random = random
    }

    /// A filter at most so many levels deep.
    mutating func filter(depth: Int = 4) -> Filter {
        switch depth > 1 ? Int.random(in: 0...4, using: &random) : 4 {
        case 0: return .and(operands(depth: depth - 1))
        case 1: return .or(operands(depth: depth - 1))
        case 2: return !filter(depth: depth - 1)
        default: return condition(on: columns[Int.random(in: columns.indices, using: &random)])
        }
    }

    private mutating func operands(depth: Int) -> [Filter] {
        var operands: [Filter] = []
        for _ in 0..<Int.random(in: 2...3, using: &random) { operands.append(filter(depth: depth)) }
        return operands
    }

    private mutating func condition(on column: Column) -> Filter {
        let name = Filter.column(column.name)
        switch Int.random(in: 0...9, using: &random) {
        case 0: return name.isNull
        case 1: return name.isNotNull
        case _ where column.kind == .textArray: return arrayCondition(on: name, column)
        case 2, 3: return name.in(values(of: column, 0...5))
        case 4...5 where column.isOrdered:
            return name.between(value(of: column), value(of: column))
        case 6...7 where column.kind == .text:
            return name.hasPrefix(prefix(of: column))
        default: return comparison(on: name, column)
        }
    }

    private mutating func comparison(on name: Filter.Column, _ column: Column) -> Filter {
        let value = value(of: column)
        switch Int.random(in: column.isOrdered ? 0...5 : 0...1, using: &random) {
        case 0: return name == value
        case 1: return name != value
        case 2: return name < value
        case 3: return name <= value
        case 4: return name > value
        default: return name >= value
        }
    }

    private mutating func arrayCondition(on name: Filter.Column, _ column: Column) -> Filter {
        let texts = values(of: column, 0...3).map(text)
        switch Int.random(in: 0...5, using: &random) {
        case 0: return name == .textArray(texts)
        case 1: return name != .textArray(texts)
        default: return name.overlaps(texts)
        }
    }

    // MARK: Values

    private mutating func values(of column: Column, _ count: ClosedRange<Int>) -> [Filter.Value] {
        var values: [Filter.Value] = []
        for _ in 0..<Int.random(in: count, using: &random) { values.append(value(of: column)) }
        return values
    }

    /// A sample, one beside it, or a number of the other kind.
    private mutating func value(of column: Column) -> Filter.Value {
        let sample = column.samples[Int.random(in: column.samples.indices, using: &random)]
        guard Int.random(in: 0...3, using: &random) == 0 else { return sample }
        switch sample.value {
        case .bool(let flag): return .bool(!flag)
        case .int(let integer):
            let near = Filter.Value(.int(integer &+ Int64.random(in: -2...2, using: &random)))
            return Bool.random(using: &random) ? near : .double(Double(integer) + 0.5)
        case .double(let number): return Filter.Value(.int(Int64(clamping: Int(exactly: number.rounded()) ?? 0)))
        case .text(let text): return .text(text + "x")
        case .timestamp(let microseconds): return .timestamp(microsecondsSince2000: microseconds &+ 1)
        case .uuid(let high, let low): return Filter.Value(.uuid(high: high, low: low ^ 1))
        case .textArray: return sample
        }
    }

    private mutating func prefix(of column: Column) -> String {
        let text = text(value(of: column))
        return String(text.prefix(Int.random(in: 0...max(1, text.count), using: &random)))
    }

    private func text(_ value: Filter.Value) -> String {
        if case .text(let text) = value.value { text } else { "" }
    }
}
