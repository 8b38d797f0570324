internal import Foundation

extension Measurement.Machine {
    /// This one, now.
    package static func current() -> Measurement.Machine {
        let load = text("/proc/loadavg").split(separator: " ").first.flatMap { Double($0) } ?? 0
        return Measurement.Machine(
            processor: value(of: "model name", in: text("/proc/cpuinfo")) ?? "unknown",
            cores: ProcessInfo.processInfo.activeProcessorCount,
            memoryBytes: Int(clamping: ProcessInfo.processInfo.physicalMemory),
            system: "\(system), Linux \(text("/proc/sys/kernel/osrelease").filter { !$0.isWhitespace })",
            loadAverage: load)
    }

    private static var system: String {
        let release = text("/etc/os-release").split(separator: "\n")
        let name = release.first { $0.hasPrefix("PRETTY_NAME=") }
        return name.map { String($0.dropFirst("PRETTY_NAME=".count)).replacing("\"", with: "") } ?? "unknown"
    }

    private static func text(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }

    /// Of lines like `name : value`.
    private static func value(of name: String, in text: String) -> String? {
        let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
        return line?.split(separator: ":", maxSplits: 1).last.map { $0.trimmingCharacters(in: .whitespaces) }
    }
}
