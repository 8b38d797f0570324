package import SluiceCore

/// What a server calls the connections of gateways that share its budget: `sluice/ID` those of pools,
/// `sluice/ID/CLAIM/WANT` the one by which a gateway looks.
package enum FleetName {
    /// Another one for each process and backend, so that a gateway that was started anew is not taken for the last one.
    package static func newID() -> String { String(UInt64.random(in: .min ... .max), radix: 36) }

    package static func pool(_ id: String) -> String { "sluice/\(id)" }

    package static func claim(_ id: String, claim: Int, want: Int) -> String { "sluice/\(id)/\(claim)/\(want)" }

    /// What rows of names and counts show: one sighting for each gateway.
    /// - Parameter rows: name, connections, and whether it is this session's own, or `t` for the gateway's own row of
    ///   the table. What is not of a gateway is left out.
    package static func sightings(_ rows: [[String?]], own id: String) -> [FleetShare.Sighting] {
        var found: [String: FleetShare.Sighting] = [:]
        for row in rows {
            guard row.count == 3, let parts = row[0]?.split(separator: "/", omittingEmptySubsequences: false),
                parts.count == 2 || parts.count == 4, parts[0] == "sluice", !parts[1].isEmpty
            else { continue }
            let name = String(parts[1])
            var sighting = found[name] ?? .init(id: name, claim: nil, connections: 0)
            let count = row[1].flatMap { Int32($0) }.map(Int.init) ?? 0
            let (claim, want) = parts.count == 4 ? (Int32(parts[2]).map(Int.init), Int32(parts[3])) : (nil, nil)
            // An earlier connection of this gateway's may be there still; its claim is not the one that is shown.
            let isShown = name != id || row[2] == "t"
            let shown = isShown ? [sighting.claim, claim].compactMap(\.self).max() : sighting.claim
            sighting = .init(
                id: name, claim: shown, want: max(sighting.want, want.map(Int.init) ?? 0),
                connections: sighting.connections + count)
            found[name] = sighting
        }
        return found.values.sorted { $0.id < $1.id }
    }
}
