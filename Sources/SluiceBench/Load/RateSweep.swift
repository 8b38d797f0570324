internal import Foundation

/// Rates to try one after another, each by the same factor above the last, until one is too much.
package struct RateSweep: Sendable, Equatable {
    package struct Problem: Error, Equatable, CustomStringConvertible {
        package let description: String
    }

    /// Rising.
    package let rates: [Double]

    package static let defaultSteps = 8
    private static let range = 0.1...1_000_000

    /// - Parameter text: `FROM:TO` or `FROM:TO:STEPS`.
    package init(parsing text: String) throws(Problem) {
        let words = text.split(separator: ":", omittingEmptySubsequences: false)
        guard (2...3).contains(words.count), let from = Double(words[0]), let to = Double(words[1]),
            let steps = words.count == 3 ? Int(words[2]) : Self.defaultSteps
        else { throw Problem(description: "it is FROM:TO or FROM:TO:STEPS, like 500:8000:9, not \"\(text)\"") }
        guard Self.range.contains(from), Self.range.contains(to), from < to else {
            throw Problem(description: "FROM must be below TO, and both from 0.1 to 1000000 requests a second")
        }
        guard (2...100).contains(steps) else { throw Problem(description: "STEPS must be from 2 to 100") }
        rates = (0..<steps).map { step in
            step == steps - 1 ? to : from * pow(to / from, Double(step) / Double(steps - 1))
        }
    }
}

/// What says that a rate was too much.
package struct KneeRule: Sendable, Equatable {
    /// The least share of the requests that began which must be answered in the time.
    package static let leastAnswered = 0.98
    /// The most of them that may fail.
    package static let mostFailed = 0.01

    /// Microseconds.
    package var mostP99: Int?

    package init(mostP99: Int? = nil) { self.mostP99 = mostP99 }

    /// Why a rate was too much; nil if it was kept up with. Of several runs, more than half must have kept up.
    package func objection(to runs: [Measurement.Run]) -> String? {
        let objections = runs.compactMap(objection)
        return objections.count * 2 < runs.count ? nil : objections.first ?? "it was not measured"
    }

    package func objection(to run: Measurement.Run) -> String? {
        let failed = run.errors.values.reduce(0, +)
        let asked = run.asked
        guard asked > 0 else { return "nothing was asked" }
        if Double(failed) > Self.mostFailed * Double(asked) {
            let share = 100 * Double(failed) / Double(asked)
            return String(format: "%.1f %% of the requests failed", share)
        }
        // By the rate that there was, since arrivals are random.
        let rate = run.askedPerSecond ?? run.rate ?? 0
        if run.throughput < Self.leastAnswered * rate {
            return String(format: "%.0f/s were answered of %.0f/s", run.throughput, rate)
        }
        if let mostP99, run.latency.p99 > mostP99 {
            return "p99 was \(Figures.count(run.latency.p99)) µs, above \(Figures.count(mostP99)) µs"
        }
        return nil
    }

    /// The highest rate that was kept up with before the first that was not.
    /// - Parameter runs: of each rate, rising.
    package func knee(_ runs: [(rate: Double, runs: [Measurement.Run])]) -> Measurement.Knee? {
        var highest: Double?
        for (rate, ofRate) in runs {
            if let objection = objection(to: ofRate) {
                let reason = String(format: "at %.0f/s ", rate) + objection
                return highest.map { Measurement.Knee(rate: $0, reason: reason) }
            }
            highest = rate
        }
        return highest.map { Measurement.Knee(rate: $0, reason: "no rate of the sweep was too much") }
    }
}
