import SluiceCore
import SluiceEngine
import SluiceReactor
import Synchronization
import Testing

/// Collections that are being moved to another list of shards.
@Suite(.timeLimit(.minutes(1))) struct LayoutTests {
    private let slice = PoolMachine.Configuration(minSize: 1, maxSize: 2, maxWaiting: 10)

    /// What servers were asked, in its order.
    private final class Script: Sendable {
        let commands = Mutex<[[WriteCommand]]>([])

        var writes: [[WriteCommand]] { commands.withLock { $0.filter { $0.count > 2 } } }
    }

    /// A primary with the collections' tables.
    /// - Parameters:
    ///   - layouts: the rows of `sluice_layouts`; nil without such a table.
    ///   - refusal: with what it refuses writes.
    private static func primary(
        _ shard: String, layouts: [[String?]]? = nil, refusal: String? = nil, _ script: Script = Script()
    ) -> ScriptedBackend {
        ScriptedBackend(
            shard: shard, replica: "\(shard)-a", .rows([(1, 0.5)]),
            facts: { BackendFacts(role: .primary, timeline: 1, estimatedRows: []) },
            runs: { commands throws(BackendFailure) in
                script.commands.withLock { $0.append(commands) }
                let sql = commands[0].statement.sql(vectorSchema: "")
                if commands.count > 2 {
                    if let refusal {
                        var failure = BackendFailure(.statement, sqlState: refusal, detail: "scripted")
                        failure.place = .init(command: commands.count - 1)
                        throw failure
                    }
                    return commands.dropLast().map { _ in WriteResult() } + [WriteResult(rows: [["7"]])]
                }
                if sql == LayoutTable.isThere { return [WriteResult(rows: [[layouts == nil ? "f" : "t"]])] }
                if sql == LayoutTable.read {
                    guard let layouts else { throw BackendFailure(.statement, sqlState: "42P01", detail: "scripted") }
                    return [WriteResult(rows: layouts)]
                }
                guard sql.contains("relkind") else { return [WriteResult(rows: [["42"]])] }
                return [
                    WriteResult(rows: [
                        ["r", "f", "t", "id", "20", "bigint", "int8recv", "t", "f"],
                        ["r", "f", "t", "embedding", "99", "vector", nil, "f", "f"],
                    ])
                ]
            })
    }

    /// Serves the same with other collections.
    private func serve(_ shared: SharedState, _ change: (inout SluiceEngine.Collection) -> Void) async {
        let earlier = shared.topology
        var collections = earlier.catalogue.numbered
        for place in collections.indices { change(&collections[place]) }
        let catalogue = Catalogue(
            shards: earlier.catalogue.shards, collections: collections, after: earlier.catalogue)
        let next = Topology(
            after: earlier, catalogue: catalogue, backends: earlier.backends, shards: earlier.shards, cache: .init())
        await shared.serve(
            next,
            configuration: .init(
                plans: PlanLimits(maximumK: 100), acquireTimeout: .seconds(5), connectTimeout: .seconds(5),
                maximumLegBytes: 1_000_000)
        ) { _ in earlier.backends.map { _ in .keep } }
    }

    private func delete(
        _ ids: [Int64], key: WriteKey? = nil, _ lane: SearchLane, _ shared: SharedState
    ) async throws -> Result<WriteAnswer, SearchError> {
        for shard in shared.catalogue.shards { await shared.lookAgain(at: shard.name) }
        let now = Instant(nanoseconds: Reactor.now())
        let deadline = now.advanced(by: .seconds(20))
        let ticket = try shared.arrived(.interactive, deadline: deadline, now: now)
        let order = WriteOrder(collection: "a", columns: [], rows: [], deletes: ids, deadline: deadline, key: key)
        return await lane.write(order, admittedBy: ticket).result
    }

    private static func error(_ result: Result<some Any, SearchError>) -> SearchError? {
        if case .failure(let error) = result { error } else { nil }
    }

    private static func failure(_ report: LayoutReport?) -> String? {
        if case .failed(let reason) = report?.answer { reason } else { nil }
    }

    // MARK: Asking

    @Test func everyServerOfTheShardsIsAskedAndNoOther() async throws {
        let shards = [
            Self.primary("s0", layouts: [["a", "2"], ["b", "1"]]), Self.primary("s1"), Self.primary("s2"),
            ScriptedBackend(
                shard: "s3", replica: "s3-a",
                runs: { _ throws(BackendFailure) in
                    throw BackendFailure(.statement, sqlState: "42501", detail: "scripted")
                }),
        ]
        try await withLanes(shards.map { [$0] }, slices: [slice, slice]) { _, shared in
            let reports = await shared.layouts(on: ["s0", "s1", "s3", "nowhere"]).sorted { $0.shard < $1.shard }
            #expect(reports.map(\.replica) == ["s0-a", "s1-a", "s3-a"])
            #expect(reports.map(\.answer).prefix(2) == [.epochs(["a": 2, "b": 1]), .epochs([:])])
            #expect(Self.failure(reports.last)?.contains("42501") == true)
        }
        #expect(shards[2].seen.withLock(\.runs).isEmpty)
        #expect(shards[1].seen.withLock(\.runs) == [1], "a table that is not there is not read")
    }

    @Test func aServerThatCannotBeReachedHasFailed() async throws {
        let shards = [[ScriptedBackend(isUp: false)], [Self.primary("s1", layouts: [["a", "2"]])]]
        try await withLanes(shards, slices: [slice], acquireTimeout: .milliseconds(50)) { _, shared in
            let reports = await shared.layouts(on: ["s0", "s1"]).sorted { $0.shard < $1.shard }
            #expect(reports.last?.answer == .epochs(["a": 2]))
            #expect(Self.failure(reports.first) != nil)
        }
    }

    @Test func withoutAConnectionOneIsMade() async throws {
        let backend = Self.primary("s0", layouts: [["a", "2"]])
        let empty = PoolMachine.Configuration(minSize: 0, maxSize: 1, maxWaiting: 10)
        try await withLanes([[backend]], slices: [empty]) { _, shared in
            #expect(backend.seen.withLock(\.dials) == 0)
            #expect(await shared.layouts(on: ["s0"]).map(\.answer) == [.epochs(["a": 2])])
        }
    }

    // MARK: Writes

    @Test func aWriteToATableThatIsBeingMovedIsToldToComeAgain() async throws {
        let script = Script()
        let backend = Self.primary("s0", refusal: LayoutTable.fencedState, script)
        try await withLanes([[backend]], slices: [slice]) { lanes, shared in
            let error = Self.error(try await delete([7], lanes[0], shared))
            #expect(error?.code == .busy && error?.retryAfter == .milliseconds(250))
            #expect(error?.message.contains("nothing was done") == true)
            #expect(script.writes.count == 1, "it is the client's to repeat")
            #expect(shared.moved.takeRefused() == ["a"] && shared.moved.takeRefused() == [])
            var doubts = shared.moved.doubts.stream.makeAsyncIterator()
            let doubt: Void? = await doubts.next()
            #expect(doubt != nil)
            #expect(shared.topology.shards[0].snapshot.replicas.allSatisfy { $0.breaker.position == .closed })
        }
    }

    @Test func anotherRefusalIsNoDoubt() async throws {
        let backend = Self.primary("s0", refusal: "23514")
        try await withLanes([[backend]], slices: [slice]) { lanes, shared in
            let answer = try await delete([7], lanes[0], shared).get()
            #expect(answer.shards.first?.sqlState == "23514")
            #expect(shared.moved.takeRefused() == [])
        }
    }

    /// One shard's table took the write before it was closed for writes.
    @Test func aWriteThatOneShardTookSaysWhichDidNot() async throws {
        let placement = try #require(HashPlacement(shardCount: 2))
        let ids = try (0..<2).map { shard in try #require((1..<100).first { placement.shard(of: $0) == shard }) }
        let shards = [[Self.primary("s0")], [Self.primary("s1", refusal: LayoutTable.fencedState)]]
        try await withLanes(shards, slices: [slice]) { lanes, shared in
            let answer = try await delete(ids, lanes[0], shared).get()
            #expect(answer.shards.map(\.outcome) == [.committed, .notApplied])
            #expect(answer.shards.map(\.sqlState) == [nil, LayoutTable.fencedState])
            #expect(answer.shards.last?.message?.contains("is being moved") == true)
            #expect(answer.deletes.last == .notApplied, "no row is at fault")
            #expect(shared.moved.takeRefused() == ["a"])
        }
    }

    /// A shard of the old layout has noted a key for the rows that it had there.
    @Test func aKeyIsAnotherOneInAnotherLayout() async throws {
        let script = Script()
        let key = WriteKey(high: 1, low: 2)
        try await withLanes([[Self.primary("s0", script)]], slices: [slice]) { lanes, shared in
            for epoch in [1, 2, 3, 2] {
                await serve(shared) { $0.epoch = epoch }
                _ = try await delete([7], key: key, lanes[0], shared).get()
            }
        }
        let noted = script.writes.compactMap { commands -> String? in
            guard commands.count == 4, case .texts(let texts) = commands[2].values else { return nil }
            return texts.first ?? nil
        }
        #expect(noted.count == 4 && noted[0] == "00000000-0000-0001-0000-000000000002")
        #expect(Set(noted).count == 3 && noted[1] == noted[3])
    }

    // MARK: A collection of which it is not known where it lies

    @Test func nothingIsServedOfItAndTheOthersAre() async throws {
        let script = Script()
        try await withLanes([[Self.primary("s0", script)]], slices: [slice]) { (lanes, shared) async throws in
            await serve(shared) { $0.isHeld = $0.name == "a" }
            let error = Self.error(await lanes[0].search(.of(["a"])).result)
            #expect(error?.code == .unavailable && error?.message.contains("is being moved") == true)
            #expect(Self.error(await lanes[0].search(.of(["b", "a"])).result)?.code == .unavailable)
            #expect(try await lanes[0].search(.of(["b"])).result.get().hits.map(\.id) == [1])
            #expect(Self.error(try await delete([7], lanes[0], shared))?.code == .unavailable)
            #expect(script.writes.isEmpty)
            await serve(shared) { $0.isHeld = false }
            #expect(try await lanes[0].search(.of(["a"])).result.get().hits.map(\.id) == [1])
        }
    }
}
