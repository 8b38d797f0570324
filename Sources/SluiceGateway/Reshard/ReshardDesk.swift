internal import Foundation
internal import SluiceCore

/// What a move is and how far it has come, as the database keeps it.
struct ReshardState: Hashable, Sendable, Codable {
    var layout: ReshardLayout
    var record: ReshardRecord
}

/// A connection to the first old shard that has the lock of a collection's moves, and keeps their record.
struct ReshardDesk: Sendable {
    let site: ReshardSite

    /// Of whoever works on it.
    private static func lock(_ role: String, _ collection: String) -> String { "sluice reshard \(role) \(collection)" }

    /// - Throws: if another process works on this collection.
    init(_ site: ReshardSite, collection: String) async throws(ReshardProblem) {
        self.site = site
        let isFree = try await site.waitForLock(Self.lock("run", collection), tries: 15) {}
        guard isFree else {
            throw ReshardProblem(.wrong, "another `sluice reshard` works on \(collection) just now")
        }
    }

    // MARK: The record

    /// What these shards have kept of the collection's last move.
    static func find(
        _ collection: String, at sites: [ReshardSite]
    ) async throws(ReshardProblem) -> (site: ReshardSite, state: ReshardState)? {
        var last: (site: ReshardSite, state: ReshardState)?
        for site in sites {
            guard try await site.value(ReshardStatements.isThere, [ReshardStatements.state]) == "t",
                let text = try await site.value(ReshardStatements.readState, [collection])
            else { continue }
            guard let state = try? JSONDecoder().decode(ReshardState.self, from: Data(text.utf8)) else {
                throw ReshardProblem(
                    .wrong, "\(site.name): what \(ReshardStatements.state) keeps of \(collection) cannot be understood")
            }
            // One that is done, and whose old tables are kept, may be on another shard.
            if state.layout.epoch > last?.state.layout.epoch ?? 0 { last = (site, state) }
        }
        return last
    }

    func save(_ layout: ReshardLayout, _ record: ReshardRecord) async throws(ReshardProblem) {
        let state = ReshardState(layout: layout, record: record)
        guard let data = try? JSONEncoder().encode(state) else {
            throw ReshardProblem(.failed, "the move's record cannot be written")
        }
        let texts = [layout.collection, record.phase.rawValue, String(decoding: data, as: UTF8.self)]
        try await site.run([(ReshardStatements.writeState, texts)])
    }

    func forget(_ collection: String) async throws(ReshardProblem) {
        try await site.run([(ReshardStatements.forgetState, [collection])])
    }

    /// What every database of a move has, and the table of records.
    func makeOwnHouse() async throws(ReshardProblem) {
        try await makeHouse(on: site)
        try await site.change([ReshardStatements.makeState])
    }

    func makeHouse(on site: ReshardSite) async throws(ReshardProblem) {
        for part in ReshardStatements.houseParts where try await site.value(part.question) != "t" {
            try await site.change(part.statements)
        }
    }

    // MARK: The shards

    /// Connections to the old and the new shards, once nobody else works there: the server goes on for a while with
    /// what it was asked by a process that has been killed.
    func connect(
        _ layout: ReshardLayout, _ connector: ReshardConnector, _ report: ReshardRun.Report
    ) async throws(ReshardProblem) -> (sources: [ReshardSite], targets: [ReshardSite]) {
        let primaries = try await connector.primaries(of: layout.shards)
        var (sources, targets): ([ReshardSite], [ReshardSite]) = ([], [])
        for shard in layout.old.shards {
            guard let site = primaries.first(where: { $0.shard == shard }) else { continue }
            sources.append(site)
        }
        for shard in layout.new.shards {
            guard let site = primaries.first(where: { $0.shard == shard }) else { continue }
            targets.append(layout.old.shards.contains(shard) ? try await connector.another(site) : site)
        }
        for (role, sites) in [("source", sources), ("target", targets)] {
            for site in sites {
                let lock = Self.lock(role, layout.collection)
                let isFree = try await site.waitForLock(lock, tries: 3_000) {
                    report(
                        ReshardProgress(
                            phase: "wait", text: "\(site.shard) is busy still with what the last run asked of it"))
                }
                guard isFree else {
                    throw ReshardProblem(.failed, "\(site.name): a former run is at work there still; try again later")
                }
            }
        }
        return (sources, targets)
    }
}

extension ReshardSite {
    /// Takes a lock that is free again when its connection ends.
    /// - Returns: false if it was not free at any of the tries, which are 200 ms apart.
    fileprivate func waitForLock(
        _ name: String, tries: Int, onWait: () -> Void
    ) async throws(ReshardProblem) -> Bool {
        for attempt in 1...max(1, tries) {
            if try await value(ReshardStatements.lock, [name]) == "t" { return true }
            onWait()
            guard attempt < tries, (try? await Task.sleep(for: .milliseconds(200))) != nil else { return false }
        }
        return false
    }
}
