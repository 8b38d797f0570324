internal import Foundation
package import SluiceGateway

/// What `sluice top` shows: a pure picture of two frames and of what the user has chosen. No line is longer than the
/// screen, and there are no more of them than it has.
package struct TopScreen: Hashable, Sendable {
    package enum Order: String, CaseIterable, Hashable, Sendable {
        case name
        case uses
        case leased
        case waiting
        case latency
        case lag
    }

    package enum Key: Hashable, Sendable {
        case up
        case down
        case enter
        case back
        case sort
        case reverse
    }

    package struct Row: Hashable, Sendable {
        package var shard: String
        package var replica: GatewayState.Replica
        /// Uses of a connection, a second; nil before the second frame.
        package var uses: Double?
        package var name: String { "\(shard)/\(replica.name)" }
    }

    package var width = 80
    package var height = 24
    package private(set) var order = Order.name
    package private(set) var isReversed = false
    /// The row that is marked, by its name: it stays marked when the order changes.
    package private(set) var marked: String?
    package private(set) var isDetailed = false
    private var frame: LiveFrame?
    private var before: LiveFrame?

    package init() {}

    package mutating func take(_ frame: LiveFrame) {
        before = self.frame
        self.frame = frame
        if marked == nil { marked = rows.first?.name }
    }

    package mutating func press(_ key: Key) {
        switch key {
        case .up: move(by: -1)
        case .down: move(by: 1)
        case .enter: isDetailed = true
        case .back: isDetailed = false
        case .sort:
            let all = Order.allCases
            order = all[((all.firstIndex(of: order) ?? 0) + 1) % all.count]
        case .reverse: isReversed.toggle()
        }
    }

    private mutating func move(by step: Int) {
        let names = rows.map(\.name)
        guard !names.isEmpty else { return }
        let place = marked.flatMap(names.firstIndex) ?? 0
        marked = names[min(max(place + step, 0), names.count - 1)]
    }

    // MARK: Rows

    /// In the order that was chosen: by name upwards, by numbers downwards, or the other way round.
    package var rows: [Row] {
        guard let frame else { return [] }
        let rows = frame.state.shards.flatMap { shard in
            shard.replicas.map { Row(shard: shard.name, replica: $0, uses: uses(of: $0, in: shard.name)) }
        }
        let sorted = rows.sorted { left, right in
            let (first, second) = (value(left), value(right))
            return first == second ? left.name < right.name : first > second
        }
        return isReversed ? sorted.reversed() : sorted
    }

    private func value(_ row: Row) -> Double {
        switch order {
        case .name: 0
        case .uses: row.uses ?? 0
        case .leased: Double(row.replica.pool.leased)
        case .waiting: Double(row.replica.pool.waiting)
        case .latency: row.replica.latency ?? 0
        case .lag: row.replica.lag ?? 0
        }
    }

    private func uses(of replica: GatewayState.Replica, in shard: String) -> Double? {
        guard let frame, let before, let earlier = before.replica(replica.name, of: shard) else { return nil }
        let new = Double(replica.pool.leases) - Double(earlier.pool.leases)
        return max(0, new) / max(0.001, frame.at - before.at)
    }

    // MARK: Lines

    package var lines: [String] {
        guard let frame else { return [cut("no answer yet")] }
        let sources = frame.state.shards.compactMap(SourceLine.init)
        // What is wrong stands where nothing can push it out.
        let body =
            isDetailed
            ? details(frame)
            : sources.filter(\.isDoubtful).map(\.text) + table
                + sources.filter { !$0.isDoubtful }.map(\.text)
        let room = max(0, height - 4)
        var lines = head(frame) + [""]
        lines += body.prefix(room)
        let hidden = body.count - room
        if hidden > 0, let last = lines.indices.last {
            lines[last] = "… \(hidden + 1) more lines; make the window higher"
        }
        lines += Array(repeating: "", count: max(0, height - 1 - lines.count))
        lines.append(foot)
        return lines.prefix(height).map(cut)
    }

    private func head(_ frame: LiveFrame) -> [String] {
        let state = frame.state
        let missing = state.collections.filter { !$0.isReady }.map(\.name)
        let readiness =
            state.isDraining ? "draining" : missing.isEmpty ? "ready" : "NOT WHOLE: \(missing.joined(separator: ", "))"
        let rates = before.map { TopRates(frame, since: $0) }
        let speed = rates.map { "\(Shown.number($0.requests)) requests/s, \(Shown.number($0.failures)) not answered/s" }
        var second = "p50 \(rates?.quantile(0.5) ?? "-"), p99 \(rates?.quantile(0.99) ?? "-")"
        if let admission = state.admission {
            second += "  running \(admission.running)/\(admission.limit), waiting \(admission.waiting)"
        }
        second += "  sessions \(state.clients.sessions)"
        second += "  memory \(state.process.residentBytes.map(Shown.bytes) ?? "?")"
        var lines = [
            "sluice \(state.process.version), up \(Shown.age(state.process.uptime)), \(readiness): \(speed ?? "…")",
            second,
        ]
        let moving = state.collections.filter { $0.move != nil }
        if !moving.isEmpty {
            let names = moving.map { "\($0.name) (epoch \($0.epoch.map(String.init) ?? "?"))" }
            lines.append("moving \(names.joined(separator: ", "))")
        }
        return lines
    }

    private var table: [String] {
        let title = Self.columns(
            "  SHARD/REPLICA", "ROLE", "STATE", "USES/S", "LEASED", "IDLE", "WAIT", "LATENCY", "LAG")
        return [title]
            + rows.map { row in
                let replica = row.replica
                return Self.columns(
                    (row.name == marked ? "> " : "  ") + row.name, replica.role, Self.condition(replica),
                    row.uses.map(Shown.number) ?? "-", "\(replica.pool.leased)/\(replica.pool.limit)",
                    "\(replica.pool.idle)", "\(replica.pool.waiting)", Shown.seconds(replica.latency),
                    replica.role == "primary" ? "-" : Shown.seconds(replica.lag))
            }
    }

    private static func condition(_ replica: GatewayState.Replica) -> String {
        if !replica.isReachable { return "DOWN" }
        if replica.isDrained { return "drained" }
        switch replica.breaker {
        case .closed: return "serving"
        case .open: return "BREAKER"
        case .halfOpen: return "probing"
        }
    }

    private static func versions(_ replica: GatewayState.Replica) -> String {
        guard let versions = replica.versions else { return "not known: it was never connected to" }
        return "PostgreSQL \(versions.postgresql), " + (versions.pgvector.map { "pgvector \($0)" } ?? "no pgvector")
    }

    private static func columns(_ texts: String...) -> String {
        let widths = [22, 8, 8, 7, 7, 5, 5, 8, 8]
        return zip(texts, widths).enumerated().map { place, pair in
            let (text, width) = pair
            let short = String(text.prefix(width))
            let space = String(repeating: " ", count: width - short.count)
            return place < 3 ? short + space : space + short
        }.joined()
    }

    private func details(_ frame: LiveFrame) -> [String] {
        guard let row = rows.first(where: { $0.name == marked }) else { return ["no such replica any more"] }
        let (replica, pool) = (row.replica, row.replica.pool)
        let cause = replica.breakerCause.map { " (\($0))" } ?? ""
        let events = frame.events.filter { $0.shard == row.shard && ($0.replica.isEmpty || $0.replica == replica.name) }
        var lines = [
            "\(row.name): \(replica.role), \(Self.condition(replica))",
            "versions     \(Self.versions(replica))",
            "breaker      \(replica.breaker.rawValue)\(cause)",
            "lag          \(Shown.seconds(replica.lag)), \(replica.lagBytes.map { "\($0) bytes" } ?? "? bytes")",
            "latency      \(Shown.seconds(replica.latency)); \(replica.inFlight) in flight, "
                + "\(replica.settling) settling",
            "pool         \(pool.leased) leased, \(pool.idle) idle, \(pool.dialling) dialling, "
                + "\(pool.closing) closing, limit \(pool.limit)",
            "waiting      \(pool.waiting) now; \(pool.waits) have waited, \(pool.expired) too long, "
                + "\(pool.refused) refused",
            "connections  \(pool.dials) dialled, \(pool.dialFailures) in vain; used \(pool.leases) times",
        ]
        lines += SourceLine.details(of: frame.state.shards.first { $0.name == row.shard }?.topology)
        lines += ["", "events:"]
        return lines
            + (events.isEmpty ? ["  none"] : events.suffix(8).reversed().map { "  \(Shown.clock($0.at)) \($0.text)" })
    }

    private var foot: String {
        isDetailed
            ? "Esc back   j k other replica   q quit"
            : "q quit   j k move   Enter details   s sort (by \(order.rawValue))   "
                + "r \(isReversed ? "as usual" : "reverse")"
    }

    private func cut(_ line: String) -> String { String(line.prefix(max(0, width))) }
}

/// What happened between two frames.
struct TopRates {
    let requests: Double
    let failures: Double
    private let counts: [Double]
    private let bounds: [Double]

    init(_ frame: LiveFrame, since before: LiveFrame) {
        let time = max(0.001, frame.at - before.at)
        func rate(_ result: String) -> Double {
            max(0, (frame.requests.results[result] ?? 0) - (before.requests.results[result] ?? 0)) / time
        }
        requests = frame.requests.results.keys.reduce(0) { $0 + rate($1) }
        failures = requests - rate("ok")
        bounds = frame.requests.bounds
        counts = frame.requests.counts.enumerated().map { place, count in
            max(0, count - (before.requests.counts.indices.contains(place) ? before.requests.counts[place] : 0))
        }
    }

    /// The bound of the bucket that this share of the requests lies in; nil without requests.
    func quantile(_ share: Double) -> String? {
        let total = counts.reduce(0, +)
        guard total > 0 else { return nil }
        var seen = 0.0
        for (place, count) in counts.enumerated() {
            seen += count
            guard seen >= share * total else { continue }
            return bounds.indices.contains(place)
                ? "≤ \(Shown.seconds(bounds[place]))" : "> \(Shown.seconds(bounds.last))"
        }
        return nil
    }
}

extension LiveFrame {
    func replica(_ name: String, of shard: String) -> GatewayState.Replica? {
        state.shards.first { $0.name == shard }?.replicas.first { $0.name == name }
    }
}

/// Numbers for people.
enum Shown {
    static func number(_ value: Double) -> String {
        value >= 1e6
            ? String(format: "%.1fM", value / 1e6)
            : value >= 1e4
                ? String(format: "%.1fk", value / 1e3)
                : String(format: value >= 100 || value == 0 ? "%.0f" : "%.1f", value)
    }

    static func seconds(_ value: Double?) -> String {
        guard let value else { return "?" }
        if value >= 1 { return String(format: value < 10 ? "%.1f s" : "%.0f s", value) }
        return value >= 1e-3
            ? String(format: value < 1e-2 ? "%.1f ms" : "%.0f ms", value * 1e3) : String(format: "%.0f us", value * 1e6)
    }

    static func bytes(_ value: Int) -> String {
        value >= 1 << 30
            ? String(format: "%.1f GiB", Double(value) / 1_073_741_824)
            : String(format: "%.0f MiB", Double(value) / 1_048_576)
    }

    static func age(_ value: Double) -> String {
        value < 120
            ? String(format: "%.0f s", value)
            : value < 7_200
                ? String(format: "%.0f min", value / 60)
                : value < 172_800
                    ? String(format: "%.0f h", value / 3_600) : String(format: "%.0f days", value / 86_400)
    }

    /// In UTC.
    static func clock(_ at: Double) -> String {
        let seconds = Int(clamping: Int64(max(0, min(at, 4e9)))) % 86_400
        return String(format: "%02d:%02d:%02d", seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }
}
