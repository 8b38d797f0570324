internal import Foundation
internal import SluiceCore

/// When the requests of an open loop are due, counted from its start: whatever is answered, and whenever.
package struct ArrivalSchedule: Sendable {
    package enum Spacing: String, Sendable, CaseIterable {
        /// Independent of one another, as the requests of many users are.
        case poisson
        case even
    }

    private let rate: Double
    private let spacing: Spacing
    private let end: Duration
    private var random: SplitMix64
    /// Nanoseconds since the start. Rounded only when given out, so that no rate drifts.
    private var due = 0.0

    /// - Parameters:
    ///   - rate: arrivals a second, above 0.
    ///   - end: none is due then or later.
    package init(rate: Double, spacing: Spacing, until end: Duration, seed: UInt64) {
        self.rate = rate
        self.spacing = spacing
        self.end = end
        random = SplitMix64(seed: seed)
        if spacing == .poisson { due = gap() }
    }

    /// The next arrival; nil after the last.
    package mutating func next() -> Duration? {
        let arrival = Duration.nanoseconds(Int64(clamping: due))
        guard arrival < end else { return nil }
        due += gap()
        return arrival
    }

    private mutating func gap() -> Double {
        let mean = 1e9 / rate
        // Never the logarithm of 0.
        return spacing == .even ? mean : -log(1 - Double.random(in: 0..<1, using: &random)) * mean
    }
}

extension Int64 {
    /// A number of nanoseconds that may be too large, or none.
    fileprivate init(clamping number: Double) {
        self = number.isNaN || number >= 9e18 ? .max : number <= -9e18 ? .min : Int64(number)
    }
}
