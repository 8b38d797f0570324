/// What repeats come to where each has a curve or a timeline of its own: the median of them, and from the least to the
/// greatest.
enum Curves {
    /// A timeline of a day has more seconds than can be seen.
    static let mostTicks = 240

    /// The latency at each percentile; nothing of runs without an answer.
    static func percentiles(_ latencies: [Measurement.Latency]) -> [Plot.Point] {
        let curves = latencies.filter { $0.count > 0 }.map { latency in
            latency.curve.filter { $0.percentile.isFinite }.sorted { $0.percentile < $1.percentile }
        }.filter { !$0.isEmpty }
        guard let most = latencies.map(\.count).max(), !curves.isEmpty else { return [] }
        // Beyond that a percentile is the greatest of all.
        let last = Scale.tail.place(100 * (1 - 1 / Double(max(most, 10))))
        return stride(from: 0, through: last + 0.01, by: 0.05).compactMap { place in
            let percentile = Scale.percentile(at: place)
            let values = curves.compactMap { curve in
                (curve.first { $0.percentile >= percentile - 1e-9 } ?? curve.last).map {
                    Double(max(1, $0.microseconds))
                }
            }
            return Spread(values).map { point(percentile, $0) }
        }
    }

    /// A number of each second, over the repeats; several seconds in one where they are many.
    static func timeline(
        _ runs: [Measurement.Run], _ merge: ([Double]) -> Double, _ value: (Measurement.Tick) -> Double?
    ) -> [Plot.Point] {
        let seconds = runs.flatMap(\.timeline).map(\.second).filter { (0..<10_000_000).contains($0) }
        guard let last = seconds.max() else { return [] }
        let width = last / mostTicks + 1
        let repeats = runs.map { run in
            Dictionary(grouping: run.timeline.filter { (0...last).contains($0.second) }) { $0.second / width }
                .compactMapValues { ticks -> Double? in
                    let values = ticks.compactMap(value)
                    return values.isEmpty ? nil : merge(values)
                }
        }
        return (0...last / width).compactMap { slot in
            Spread(repeats.compactMap { $0[slot] }).map { point(Double(slot * width), $0) }
        }
    }

    static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(max(1, values.count)) }
    static func greatest(_ values: [Double]) -> Double { values.max() ?? 0 }

    static func point(_ x: Double, _ spread: Spread, label: String? = nil) -> Plot.Point {
        Plot.Point(
            x: x, y: spread.median, band: spread.count > 1 ? spread.least...spread.greatest : nil, label: label)
    }
}
