/// One metric with all its label values, as it is written for Prometheus.
public struct MetricFamily: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        case counter
        case gauge
        case histogram
    }

    public struct Label: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public struct Sample: Hashable, Sendable {
        /// What the family's name is followed by: `_bucket`, `_sum` and `_count` of a histogram, else nothing.
        public var suffix: String
        public var labels: [Label]
        public var value: Double

        public init(_ value: Double, _ labels: [Label] = [], suffix: String = "") {
            self.suffix = suffix
            self.labels = labels
            self.value = value
        }
    }

    /// Letters, digits, `_` and `:`. That of a counter without the `_total` which it is written with.
    public var name: String
    public var kind: Kind
    public var help: String
    public var samples: [Sample]

    public init(_ name: String, _ kind: Kind, _ help: String, _ samples: [Sample] = []) {
        self.name = name
        self.kind = kind
        self.help = help
        self.samples = samples
    }

    /// Of a metric's name or a label's: what Prometheus does not allow is an underscore.
    static func cleaned(_ name: String) -> String {
        let clean = name.map { character in
            character.isASCII && (character.isLetter || character.isNumber || character == "_" || character == ":")
                ? character : "_"
        }
        return clean.first.map { $0.isNumber ? "_" : "" }.map { $0 + String(clean) } ?? "_"
    }
}

/// How metrics are written.
public enum MetricFormat: Hashable, Sendable {
    /// Prometheus' text format 0.0.4, which everything reads.
    case prometheus
    /// OpenMetrics 1.0: https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
    case openMetrics

    public var mediaType: String {
        switch self {
        case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// What a scraper that sends this `Accept` wants.
    public init(accepting header: String?) {
        self = header?.contains("application/openmetrics-text") == true ? .openMetrics : .prometheus
    }

    public func text(_ families: [MetricFamily]) -> String {
        var text = ""
        for family in families where !family.samples.isEmpty { write(family, to: &text) }
        if self == .openMetrics { text += "# EOF\n" }
        return text
    }

    private func write(_ family: MetricFamily, to text: inout String) {
        let total = family.kind == .counter ? "_total" : ""
        // The older format knows a counter by the name of its sample.
        let described = self == .openMetrics ? family.name : family.name + total
        text += "# HELP \(described) \(Self.escaped(family.help, quotes: self == .openMetrics))\n"
        text += "# TYPE \(described) \(family.kind.rawValue)\n"
        for sample in family.samples {
            text += family.name
            text += sample.suffix
            text += total
            Self.write(sample.labels, to: &text)
            text += " "
            text += Self.number(sample.value)
            text += "\n"
        }
    }

    private static func write(_ labels: [MetricFamily.Label], to text: inout String) {
        guard !labels.isEmpty else { return }
        text += "{"
        for (place, label) in labels.enumerated() {
            if place > 0 { text += "," }
            text += "\(label.name)=\"\(escaped(label.value, quotes: true))\""
        }
        text += "}"
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        guard text.unicodeScalars.contains(where: { $0 == "\\" || $0 == "\n" || $0 == "\"" }) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Whole numbers without a fraction, as far as a double holds them all.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), abs(value) < 9_007_199_254_740_992 { return String(Int64(value)) }
        return String(value)
    }
}
