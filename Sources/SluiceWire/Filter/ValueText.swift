// The gateway reads these texts too (SluiceCore/Filter/ValueText.swift), but the core stands without the protocol.

/// A UUID as 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
package enum UUIDText {
    /// Its first and last eight bytes, big-endian; nil if the text is not one.
    package static func parse(_ text: String) -> (high: UInt64, low: UInt64)? {
        var words: [UInt64] = [0, 0]
        var digits = 0
        for (place, byte) in text.utf8.enumerated() {
            if [8, 13, 18, 23].contains(place) {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard digits < 32, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
            words[digits / 16] = words[digits / 16] << 4 | UInt64(digit)
            digits += 1
        }
        return digits == 32 ? (words[0], words[1]) : nil
    }

    package static func format(high: UInt64, low: UInt64) -> String {
        let digits = [high, low].flatMap { word in
            stride(from: 60, through: 0, by: -4).map { String(word >> UInt64($0) & 15, radix: 16) }
        }
        let groups = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32]
        return groups.map { digits[$0].joined() }.joined(separator: "-")
    }
}

/// A time as ISO 8601 writes it: `2024-01-31`, `2024-01-31T12:30:05.25Z`, `2024-01-31 12:30+01:00`. Without a zone it
/// is UTC; the years are 0001 to 9999, a fraction has at most six digits.
package enum TimestampText {
    /// In microseconds since 2000-01-01 UTC; nil if the text is not a time.
    package static func microseconds(_ text: String) -> Int64? {
        var rest = text.utf8[...]
        guard let day = day(&rest) else { return nil }
        if rest.isEmpty { return day * 86_400_000_000 }
        guard rest.take("T") || rest.take("t") || rest.take(" "), let time = time(&rest), let zone = zone(&rest),
            rest.isEmpty
        else { return nil }
        return day * 86_400_000_000 + time - zone
    }

    /// Nil for a year that is not 0001 to 9999.
    package static func format(_ microseconds: Int64) -> String? {
        let remainder = microseconds % 86_400_000_000
        let time = remainder < 0 ? remainder + 86_400_000_000 : remainder
        let day = (microseconds - remainder) / 86_400_000_000 - (remainder < 0 ? 1 : 0)
        guard let date = date(day + days(2_000, 1, 1)) else { return nil }
        let seconds = time / 1_000_000
        let clock = [seconds / 3_600, seconds / 60 % 60, seconds % 60].map { padded($0, 2) }.joined(separator: ":")
        let fraction = time % 1_000_000 == 0 ? "" : "." + padded(time % 1_000_000, 6)
        return "\(date)T\(clock)\(fraction)Z"
    }

    /// The inverse of `days`. Source: the same, civil_from_days.
    private static func date(_ day: Int64) -> String? {
        guard day >= days(1, 1, 1), day <= days(9_999, 12, 31) else { return nil }
        let era = day / 146_097
        let rest = day % 146_097
        let years = (rest - rest / 1_460 + rest / 36_524 - rest / 146_096) / 365
        let dayOfYear = rest - (365 * years + years / 4 - years / 100)
        let months = (5 * dayOfYear + 2) / 153
        let month = (months + 2) % 12 + 1
        let year = era * 400 + years + (month <= 2 ? 1 : 0)
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(dayOfYear - (153 * months + 2) / 5 + 1, 2))"
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func day(_ rest: inout Substring.UTF8View) -> Int64? {
        guard let year = rest.number(digits: 4), year >= 1, rest.take("-"), let month = rest.number(digits: 2),
            rest.take("-"), let day = rest.number(digits: 2), (1...12).contains(month),
            (1...length(ofMonth: month, year)).contains(day)
        else { return nil }
        return days(year, month, day) - days(2_000, 1, 1)
    }

    private static func length(ofMonth month: Int64, _ year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days since 0000-03-01: a year that begins in March has its leap day at its end, and then
    /// (153 * month + 2) / 5 are the days before a month.
    ///
    /// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let years = month <= 2 ? year - 1 : year
        let months = (month + 9) % 12
        return years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 1
    }

    private static func time(_ rest: inout Substring.UTF8View) -> Int64? {
        guard let hour = rest.number(digits: 2), hour < 24, rest.take(":"), let minute = rest.number(digits: 2),
            minute < 60
        else { return nil }
        var microseconds = (hour * 60 + minute) * 60_000_000
        guard rest.take(":") else { return microseconds }
        guard let second = rest.number(digits: 2), second < 60 else { return nil }
        microseconds += second * 1_000_000
        guard rest.take(".") else { return microseconds }
        guard let fraction = fraction(&rest) else { return nil }
        return microseconds + fraction
    }

    private static func fraction(_ rest: inout Substring.UTF8View) -> Int64? {
        var scale: Int64 = 1_000_000
        var microseconds: Int64 = 0
        while let digit = rest.number(digits: 1) {
            scale /= 10
            guard scale > 0 else { return nil }
            microseconds += digit * scale
        }
        return scale < 1_000_000 ? microseconds : nil
    }

    /// How far its clocks are ahead of UTC, in microseconds; at most 15:59, as in PostgreSQL.
    private static func zone(_ rest: inout Substring.UTF8View) -> Int64? {
        if rest.isEmpty || rest.take("Z") || rest.take("z") { return 0 }
        let isAhead = rest.take("+")
        guard isAhead || rest.take("-"), let hours = rest.number(digits: 2), hours < 16 else { return nil }
        var minutes: Int64 = 0
        if rest.take(":") || !rest.isEmpty {
            guard let number = rest.number(digits: 2), number < 60 else { return nil }
            minutes = number
        }
        return (isAhead ? 1 : -1) * (hours * 60 + minutes) * 60_000_000
    }
}

extension Substring.UTF8View {
    /// True if it began with the character, which is then gone.
    fileprivate mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let first, first == UInt8(ascii: character) else { return false }
        removeFirst()
        return true
    }

    /// Nil, and nothing is gone, if there are not so many digits.
    fileprivate mutating func number(digits: Int) -> Int64? {
        let head = prefix(digits)
        guard head.count == digits, head.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            return nil
        }
        removeFirst(digits)
        return head.reduce(0) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
    }
}
