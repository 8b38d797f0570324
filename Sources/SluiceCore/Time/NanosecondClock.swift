// Whole nanoseconds for the hot path: a `Duration` costs a 128-bit division wherever every leg passes.

extension Instant {
    /// Nanoseconds since an earlier instant: 0 if that one is later, saturated at `Int64.max`.
    func elapsedNanoseconds(since earlier: Instant) -> Int64 {
        if earlier >= self { return 0 }
        let (difference, overflow) = nanoseconds.subtractingReportingOverflow(earlier.nanoseconds)
        return overflow ? .max : difference
    }

    /// Saturates. A negative number of nanoseconds counts as none.
    func later(byNanoseconds nanoseconds: Int64) -> Instant {
        let (sum, overflow) = self.nanoseconds.addingReportingOverflow(max(0, nanoseconds))
        return Instant(nanoseconds: overflow ? .max : sum)
    }
}

extension Double {
    /// From 0 to 1; not a number counts as 0.
    var clampedShare: Double { isNaN ? 0 : Swift.min(Swift.max(self, 0), 1) }

    /// Nanoseconds, 0...2^62: within `Int64` with room for arithmetic; not a number counts as 0.
    var clampedNanoseconds: Int64 { isNaN ? 0 : Int64(Swift.min(Swift.max(self, 0), 0x1p62)) }
}
