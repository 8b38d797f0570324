/// The runs that are repeats of each other: of one target, asked for the same.
package struct RunGroup: Sendable, Equatable {
    package var target: String
    /// Requests a second that were asked for; nil in a closed loop.
    package var rate: Double?
    /// Of a closed loop; nil where a rate was asked for, which may have any number in flight.
    package var inFlight: Int?
    /// Where runs differ in it.
    package var efSearch: Int?
    package var runs: [Measurement.Run]

    /// In the order of the rates, the targets as they come.
    package static func groups(of runs: [Measurement.Run]) -> [RunGroup] {
        var groups: [Key: RunGroup] = [:]
        var order: [Key] = []
        let isOfMany = Set(runs.map(\.efSearch)).count > 1
        for run in runs {
            let key = Key(
                target: run.target, rate: run.rate, inFlight: run.rate == nil ? run.inFlight : nil,
                efSearch: isOfMany ? run.efSearch : nil)
            if groups[key] == nil {
                groups[key] = RunGroup(
                    target: key.target, rate: key.rate, inFlight: key.inFlight, efSearch: key.efSearch, runs: [])
                order.append(key)
            }
            groups[key]?.runs.append(run)
        }
        let targets = order.map(\.target)
        return order.compactMap { groups[$0] }.sorted { one, other in
            let (left, right) = (targets.firstIndex(of: one.target) ?? 0, targets.firstIndex(of: other.target) ?? 0)
            if left != right { return left < right }
            return (one.rate ?? 0, one.inFlight ?? 0, one.efSearch ?? 0)
                < (other.rate ?? 0, other.inFlight ?? 0, other.efSearch ?? 0)
        }
    }

    /// Like "gateway, 500/s" or "direct, 16 in flight".
    package var name: String { "\(target), \(load)" }

    package var load: String {
        let load = rate.map { Figures.rate($0) } ?? inFlight.map { "\($0) in flight" } ?? ""
        return load + (efSearch.map { ", ef_search \($0)" } ?? "")
    }

    package func spread(_ value: (Measurement.Run) -> Double?) -> Spread? { Spread(runs.compactMap(value)) }

    private struct Key: Hashable {
        var target: String
        var rate: Double?
        var inFlight: Int?
        var efSearch: Int?
    }
}

/// What the repeats of one number came to. Never empty.
package struct Spread: Sendable, Equatable {
    /// From the least to the greatest.
    package let values: [Double]

    /// - Returns: nil without a value that is a number.
    package init?(_ values: [Double]) {
        let finite = values.filter(\.isFinite)
        guard !finite.isEmpty else { return nil }
        self.values = finite.sorted()
    }

    package var count: Int { values.count }
    package var least: Double { values.first ?? 0 }
    package var greatest: Double { values.last ?? 0 }
    package var width: Double { greatest - least }

    package var median: Double {
        let middle = values.count / 2
        return values.count % 2 == 1 ? values[middle] : values[middle - 1] / 2 + values[middle] / 2
    }
}

extension Measurement.Run {
    package var failed: Double { errors.values.reduce(0) { $0 + Double($1) } }

    /// The part of the requests that were not answered, from 0 to 1; nil if there were none.
    package var failedShare: Double? { share(failed, of: Double(answered) + failed) }
    package var lateShare: Double? { share(Double(late), of: Double(answered)) }
    package var partialShare: Double? { share(Double(partial), of: Double(answered)) }

    private func share(_ part: Double, of all: Double) -> Double? { all > 0 ? part / all : nil }
}
