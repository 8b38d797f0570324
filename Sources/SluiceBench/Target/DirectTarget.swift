internal import NIOCore
package import SluiceClient
internal import SluiceCore
internal import SluiceEngine
package import SluiceGateway
internal import SluiceReactor
internal import SluiceWire
internal import Synchronization

/// The replicas themselves, by the code and the statements that a gateway would use, and nothing else of it: no
/// retries, hedges, breakers or admission. What the difference to a gateway is, the gateway costs.
package final class DirectTarget: BenchTarget {
    private let replicas: DirectReplicas
    private let lanes: [DirectLane]
    private let shares: Mutex<LaneShares>
    /// Nil if nothing is loaded.
    private let blocks: BlockLoad?

    /// Makes the connections.
    /// - Parameters:
    ///   - connections: to each shard, spread over its replicas.
    ///   - loaded: a collection that rows are loaded into; its shards' primaries get as many connections for that.
    package init(
        _ config: GatewayConfig, connections: Int, loadingInto loaded: String? = nil
    ) async throws(BenchFailure) {
        let reactors: [Reactor]
        do {
            reactors = try (0..<max(1, min(config.laneCount, connections))).map { try Reactor(name: "bench-\($0)") }
            replicas = try DirectReplicas(config, on: reactors)
        } catch {
            throw BenchFailure("invalid_argument", "\(error)")
        }
        let numbers = LaneShares.split(connections, over: reactors.count)
        shares = Mutex(LaneShares(connections: numbers.map(\.count)))
        var lanes: [DirectLane] = []
        for (index, reactor) in reactors.enumerated() {
            lanes.append(
                DirectLane(
                    replicas, index: index, on: reactor, connections: numbers[index],
                    seed: .random(in: .min ... .max)))
        }
        self.lanes = lanes
        do throws(BenchFailure) {
            blocks = try await Self.connect(lanes, replicas.catalogue, loadingInto: loaded)
        } catch {
            await Self.close(lanes)
            throw error
        }
    }

    private static func connect(
        _ lanes: [DirectLane], _ catalogue: Catalogue, loadingInto loaded: String?
    ) async throws(BenchFailure) -> BlockLoad? {
        guard let loaded else {
            for lane in lanes { try await lane.connect(loaded: []) }
            return nil
        }
        let question: BlockLoad.Question
        do throws(SearchError) { question = try BlockLoad.Question(loaded, in: catalogue) } catch {
            throw BenchFailure(error)
        }
        for lane in lanes { try await lane.connect(loaded: Set(question.shards)) }
        return try await lanes.first?.prepare(question)
    }

    package var name: String { "direct" }

    private func onLane<Answer>(
        _ ask: (DirectLane) async throws(BenchFailure) -> Answer
    ) async throws(BenchFailure) -> Answer {
        let number = shares.withLock { $0.begin() }
        defer { shares.withLock { $0.end(number) } }
        return try await ask(lanes[number])
    }

    private func run(_ request: SearchRequest) async throws(BenchFailure) -> [DirectLane.Found] {
        try await onLane { lane throws(BenchFailure) in try await lane.run(request) }
    }

    private func run(_ request: GetRequest) async throws(BenchFailure) -> [DirectLane.Found] {
        try await onLane { lane throws(BenchFailure) in try await lane.run(request) }
    }

    package func versions() async -> [String: String] { ServerVersionNames.versions(of: replicas.servers) }

    package func collections() async throws(BenchFailure) -> [DescribedCollection] {
        replicas.collections.map { DescribedCollection($0) }
    }

    package func search(_ query: SearchQuery) async throws(BenchFailure) -> BenchAnswer {
        let found = try await run(try request(query))
        _ = merged(found, k: query.k)
        return BenchAnswer(legs: found.map(\.leg), isPartial: false)
    }

    package func batch(
        _ vectors: [SearchQuery.Vector], _ query: SearchQuery
    ) async throws(BenchFailure) -> BenchAnswer {
        let found = try await run(try request(query, batch: vectors))
        for subject in vectors.indices { _ = merged(found, subject: subject, k: query.k) }
        return BenchAnswer(legs: found.map(\.leg), isPartial: false)
    }

    package func nearest(_ query: SearchQuery) async throws(BenchFailure) -> [Neighbour] {
        let names = replicas.catalogue.listed.map(\.name)
        return merged(try await run(try request(query)), k: query.k).map {
            Neighbour(collection: names[$0.collection], id: $0.id, distance: $0.distance)
        }
    }

    package func get(
        _ collection: String, ids: [Int64], deadline: Duration?
    ) async throws(BenchFailure) -> BenchAnswer {
        let found = try await run(GetRequest(collection: collection, ids: ids, deadline: deadline))
        return BenchAnswer(legs: found.map(\.leg), isPartial: false)
    }

    package func rows(
        _ collection: String, ids: [Int64], columns: [String]
    ) async throws(BenchFailure) -> [DrawnRow] {
        let found = try await run(
            GetRequest(collection: collection, ids: ids, columns: columns, withVector: true))
        let form = replicas.collections.first { $0.name == collection }?.vectorForm ?? .vector
        return found.flatMap { leg in
            leg.rows.ids.indices.map { Self.row($0, of: leg.rows, columns, form) }
        }
    }

    /// Its cells are those of the columns, then the vector.
    private static func row(
        _ row: Int, of rows: LegRows, _ columns: [String], _ form: SluiceWire.VectorForm
    ) -> DrawnRow {
        var cells = ByteBuffer(bytes: rows.cells(of: row))
        var drawn = DrawnRow(id: rows.ids[row], vector: nil)
        for (name, type) in zip(columns, rows.columnTypes) {
            drawn.columns[name] = Value(cell(&cells), typeOID: type)
        }
        drawn.vector = cell(&cells).flatMap { SearchQuery.Vector($0, form: form) }
        return drawn
    }

    /// An Int32 length, -1 for null, and as many bytes.
    private static func cell(_ cells: inout ByteBuffer) -> ByteBuffer? {
        guard let length = cells.readInteger(as: Int32.self), length >= 0 else { return nil }
        return cells.readSlice(length: Int(length))
    }

    package func close() async { await Self.close(lanes) }

    private static func close(_ lanes: [DirectLane]) async {
        for lane in lanes {
            await lane.close()
            lane.reactor.stop()
        }
    }

    private func request(
        _ query: SearchQuery, batch: [SearchQuery.Vector]? = nil
    ) throws(BenchFailure) -> SearchRequest {
        do throws(SluiceError) {
            var request = try query.request(batch: batch)
            request.deadline = query.deadline
            return request
        } catch {
            throw BenchFailure(error)
        }
    }

    /// As a gateway merges.
    private func merged(_ found: [DirectLane.Found], subject: Int = 0, k: Int) -> [Candidate] {
        var merge = TopKMerge(k: k)
        for (number, leg) in found.enumerated() {
            let rows = leg.rows.of(subject: subject)
            for row in rows.ids.indices {
                merge.offer(
                    Candidate(
                        distance: rows.distances[row], collection: leg.statement.collectionRank, id: rows.ids[row],
                        leg: number, row: row))
            }
        }
        return merge.finish()
    }

    // MARK: Rows that are written

    private func loading() throws(BenchFailure) -> BlockLoad {
        guard let blocks else { throw BenchFailure("not_supported", "nothing was to be loaded") }
        return blocks
    }

    package func load(_ collection: String, _ rows: LoadBlock) async throws(BenchFailure) {
        let blocks = try loading()
        try await onLane { lane throws(BenchFailure) in try await lane.load(rows.packed, by: blocks) }
    }

    package func delete(_ collection: String, ids: [Int64]) async throws(BenchFailure) {
        let blocks = try loading()
        try await onLane { lane throws(BenchFailure) in try await lane.delete(ids, by: blocks) }
    }

    // MARK: What only a gateway does

    package func ping() async throws(BenchFailure) {
        throw BenchFailure("not_supported", "a ping only goes through a gateway")
    }
}
