internal import SluiceCore
internal import Synchronization

/// What a server says of where collections lie.
public enum LayoutAnswer: Hashable, Sendable {
    /// By the collection's name; empty where the table is not there.
    case epochs([String: Int])
    /// Why it does not say.
    case failed(String)
}

public struct LayoutReport: Hashable, Sendable {
    public var shard: String
    public var replica: String
    public var answer: LayoutAnswer

    public init(shard: String, replica: String, _ answer: LayoutAnswer) {
        self.shard = shard
        self.replica = replica
        self.answer = answer
    }
}

/// Collections that a server has refused a write to because they are being moved.
public final class MovedCollections: Sendable {
    private let refused = Mutex<Set<String>>([])
    /// Something may be served elsewhere by now.
    public let doubts = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    init() {}

    func writeRefused(to collection: String) {
        refused.withLock { _ = $0.insert(collection) }
        doubts.continuation.yield()
    }

    /// Those since it was asked last.
    public func takeRefused() -> Set<String> {
        refused.withLock { refused in
            defer { refused = [] }
            return refused
        }
    }
}

extension SharedState {
    /// Asks all servers of these shards that are served where collections lie, side by side, over connections of their
    /// pools. One that does not answer within half a second has failed.
    public func layouts(on shards: Set<String>) async -> [LayoutReport] {
        let catalogue = catalogue
        let lanes = allLanes
        return await withTaskGroup(of: LayoutReport.self) { group in
            var asked: Set<Int> = []
            for shard in catalogue.shards where shards.contains(shard.name) {
                for replica in shard.replicas where asked.insert(replica.backend).inserted {
                    group.addTask {
                        LayoutReport(
                            shard: shard.name, replica: replica.name, await Self.ask(replica.backend, lanes))
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// On the first lane that has a connection; one is made if none has.
    private static func ask(_ backend: Int, _ lanes: [SearchLane]) async -> LayoutAnswer {
        for mayDial in [false, true] {
            for lane in lanes {
                let answer = await withTaskExecutorPreference(lane.executor) {
                    await lane.layouts(on: backend, mayDial: mayDial)
                }
                if let answer { return answer }
            }
        }
        return .failed("it is not served")
    }
}

extension SearchLane {
    private static var layoutPatience: Duration { .milliseconds(500) }
    private static let hasLayouts = WriteCommand(LayoutTable.isThere)
    private static let layouts = WriteCommand(LayoutTable.read)

    /// - Parameter mayDial: without a connection that is up, one is waited for.
    /// - Returns: nil if nobody was asked.
    func layouts(on backend: Int, mayDial: Bool) async -> LayoutAnswer? {
        guard backends.indices.contains(backend) else { return nil }
        let occupancy = backends[backend].machine.occupancy
        guard mayDial || occupancy.idle + occupancy.leased > 0 else { return nil }
        let limit = executor.now().advanced(by: Self.layoutPatience)
        let held: Lease
        do throws(BackendFailure) {
            held = try await lease(backend, until: limit, for: nil)
        } catch {
            return .failed(error.words)
        }
        do throws(BackendFailure) {
            var rows: [[String?]] = []
            if try await held.connection.run([Self.hasLayouts], deadline: limit).first?.firstValue == "t" {
                rows = try await held.connection.run([Self.layouts], deadline: limit).first?.rows ?? []
            }
            release(held)
            return .epochs(LayoutTable.epochs(rows))
        } catch {
            _ = settle(held)
            // It went between the two questions.
            return error.sqlState == "42P01" ? .epochs([:]) : .failed(error.words)
        }
    }
}

extension BackendFailure {
    /// The collection is being moved: nobody may write to its table just now, and nothing was done.
    var isFencedTable: Bool { sqlState == LayoutTable.fencedState }
}
