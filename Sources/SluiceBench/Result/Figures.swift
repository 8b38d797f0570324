internal import Foundation

/// Numbers as people read them. None of them traps, whatever the number.
package enum Figures {
    /// "530 µs", "1.25 ms", "2.10 s".
    package static func time(_ microseconds: Double) -> String {
        switch abs(microseconds) {
        case ..<999.5: "\(plain(microseconds)) µs"
        case ..<999_500: "\(plain(microseconds / 1e3)) ms"
        default: "\(plain(microseconds / 1e6)) s"
        }
    }

    package static func rate(_ perSecond: Double) -> String { plain(perSecond) + "/s" }

    /// "0.25 %"; what is not nothing is never shown as 0.
    package static func percent(_ share: Double) -> String {
        share > 0 && share < 0.000_005 ? "below 0.001 %" : "\(plain(share * 100)) %"
    }

    /// "+3.1 %", "-12 %".
    package static func change(_ share: Double) -> String {
        guard share.isFinite else { return "–" }
        return format(share * 100, decimals: abs(share) < 0.0995 ? 1 : 0, sign: true) + " %"
    }

    /// Three digits that count, and all of those before the point: "0.125", "5.3", "1,638".
    package static func plain(_ value: Double) -> String {
        guard value.isFinite else { return "–" }
        let size = abs(value)
        let decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3
        let text = format(value, decimals: decimals, sign: false)
        guard text.contains(".") else { return grouped(text) }
        let short = text.reversed().drop { $0 == "0" }.drop { $0 == "." }
        return String(String(short).reversed())
    }

    package static func count(_ number: Int) -> String { grouped(String(number)) }

    package static func bytes(_ count: Int) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var (size, unit) = (Double(count), 0)
        while abs(size) >= 1_024, unit < units.count - 1 { (size, unit) = (size / 1_024, unit + 1) }
        return "\(plain(size)) \(units[unit])"
    }

    /// "1 run", "5 runs".
    package static func some(_ number: Int, _ noun: String) -> String {
        "\(count(number)) \(noun)\(number == 1 ? "" : "s")"
    }

    private static func format(_ value: Double, decimals: Int, sign: Bool) -> String {
        let text = String(format: "%\(sign ? "+" : "").\(decimals)f", value)
        return text.contains { ("1"..."9").contains($0) }
            ? text : text.replacing("-", with: "").replacing("+", with: "")
    }

    private static func grouped(_ digits: String) -> String {
        var text = ""
        for (place, digit) in digits.reversed().enumerated() {
            if place > 0, place.isMultiple(of: 3), digit.isNumber { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }
}
