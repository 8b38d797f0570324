/// What else is different between two measurements: a change may come from there.
extension Comparison {
    static func differences(_ before: Measurement, _ after: Measurement) -> [String] {
        machines(before.machine, after.machine)
            + names("version of", before.versions, after.versions)
            + names("setting", before.settings, after.settings)
            + faults(before, after) + load("the first", before) + load("the second", after)
            + interruptions("the first", before) + interruptions("the second", after)
            + (before.runs.isEmpty ? ["the first has no run"] : [])
            + (after.runs.isEmpty ? ["the second has no run"] : [])
    }

    private static func machines(_ before: Measurement.Machine, _ after: Measurement.Machine) -> [String] {
        let facts = [
            ("processor", before.processor, after.processor), ("cores", "\(before.cores)", "\(after.cores)"),
            ("memory", Figures.bytes(before.memoryBytes), Figures.bytes(after.memoryBytes)),
            ("system", before.system, after.system),
        ]
        return facts.filter { $0.1 != $0.2 }.map { "another machine: \($0.0) \($0.1) → \($0.2)" }
    }

    private static func names(_ what: String, _ before: [String: String], _ after: [String: String]) -> [String] {
        Set(before.keys).union(after.keys).sorted().filter { before[$0] != after[$0] }.map { name in
            "another \(what) \(name): \(before[name] ?? "none") → \(after[name] ?? "none")"
        }
    }

    private static func faults(_ before: Measurement, _ after: Measurement) -> [String] {
        let kinds = [before, after].map { measurement in
            Set(measurement.runs.flatMap(\.faults).map { "\($0.kind) \($0.replica)" }).sorted()
                .joined(separator: ", ")
        }
        guard kinds[0] != kinds[1] else { return [] }
        let words = kinds.map { $0.isEmpty ? "none" : $0 }
        return ["other faults: \(words[0]) → \(words[1])"]
    }

    private static func interruptions(_ which: String, _ measurement: Measurement) -> [String] {
        let count = measurement.runs.count { $0.isInterrupted == true }
        return count > 0 ? ["\(Figures.some(count, "run")) of \(which) ended before the time"] : []
    }

    /// Half of the cores busy with something else is noise that repeats do not show.
    private static func load(_ which: String, _ measurement: Measurement) -> [String] {
        let load = measurement.machine.loadAverage
        guard load.isFinite, load > Double(measurement.machine.cores) / 2 else { return [] }
        return ["the machine was busy when \(which) began: load \(Figures.plain(load))"]
    }
}
