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
    private let next = Atomic<Int>(0)

    /// Makes the connections.
    /// - Parameter connections: to each shard, spread over its replicas.
    package init(_ config: GatewayConfig, connections: Int) async throws(BenchFailure) {
        let reactors: [Reactor]
        do {
            reactors = try (0..<min(config.laneCount, connections)).map { try Reactor(name: "bench-\($0)") }
            replicas = try DirectReplicas(config, on: reactors)
        } catch {
            throw BenchFailure("invalid_argument", "\(error)")
        }
        var lanes: [DirectLane] = []
        for (index, reactor) in reactors.enumerated() {
            let share = connections / reactors.count + (index < connections % reactors.count ? 1 : 0)
            lanes.append(
                DirectLane(
                    replicas, index: index, of: reactors.count, on: reactor, connections: share,
                    seed: .random(in: .min ... .max)))
        }
        self.lanes = lanes
        for lane in lanes {
            if let reason = await lane.connect().reason {
                await close()
                throw BenchFailure("unavailable", reason.message, isUnreached: true)
            }
        }
    }

    package var name: String { "direct" }

    /// Requests take the lanes in turn.
    private var lane: DirectLane {
        let turn = next.wrappingAdd(1, ordering: .relaxed).oldValue
        return lanes[Int(UInt(bitPattern: turn) % UInt(lanes.count))]
    }

    package func collections() async throws(BenchFailure) -> [DescribedCollection] {
        replicas.collections.map { DescribedCollection($0) }
    }

    package func search(_ query: SearchQuery) async throws(BenchFailure) -> BenchAnswer {
        let found = try await lane.run(try request(query))
        _ = merged(found, k: query.k)
        return BenchAnswer(legs: found.map(\.leg), isPartial: false)
    }

    package func batch(
        _ vectors: [SearchQuery.Vector], _ query: SearchQuery
    ) async throws(BenchFailure) -> BenchAnswer {
        let found = try await lane.run(try request(query, batch: vectors))
        for subject in vectors.indices { _ = merged(found, subject: subject, k: query.k) }
        return BenchAnswer(legs: found.map(\.leg), isPartial: false)
    }

    package func nearest(_ query: SearchQuery) async throws(BenchFailure) -> [Neighbour] {
        let names = replicas.catalogue.listed.map(\.name)
        return merged(try await lane.run(try request(query)), k: query.k).map {
            Neighbour(collection: names[$0.collection], id: $0.id, distance: $0.distance)
        }
    }

    package func get(
        _ collection: String, ids: [Int64], deadline: Duration?
    ) async throws(BenchFailure) -> BenchAnswer {
        let found = try await lane.run(GetRequest(collection: collection, ids: ids, deadline: deadline))
        return BenchAnswer(legs: found.map(\.leg), isPartial: false)
    }

    /// Without the values of columns.
    package func rows(
        _ collection: String, ids: [Int64], columns: [String]
    ) async throws(BenchFailure) -> [DrawnRow] {
        let found = try await lane.run(GetRequest(collection: collection, ids: ids, withVector: true))
        let form = replicas.collections.first { $0.name == collection }?.vectorForm ?? .vector
        return found.flatMap { leg in
            leg.rows.ids.indices.map { row in
                DrawnRow(id: leg.rows.ids[row], vector: Self.vector(leg.rows.cells(of: row), form))
            }
        }
    }

    /// - Parameter cell: an Int32 length, -1 for null, and as many bytes.
    private static func vector(_ cell: ArraySlice<UInt8>, _ form: SluiceWire.VectorForm) -> SearchQuery.Vector? {
        var bytes = ByteBuffer(bytes: cell)
        guard let length = bytes.readInteger(as: Int32.self), length >= 0,
            let vector = bytes.readSlice(length: Int(length))
        else { return nil }
        return SearchQuery.Vector(vector, form: form)
    }

    package func close() async {
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

    // MARK: What only a gateway does

    private static func unsupported(_ what: String) -> BenchFailure {
        BenchFailure("not_supported", "\(what) only goes through a gateway")
    }

    package func ping() async throws(BenchFailure) { throw Self.unsupported("a ping") }

    package func load(_ collection: String, _ rows: LoadBlock) async throws(BenchFailure) {
        throw Self.unsupported("a load")
    }

    package func delete(_ collection: String, ids: [Int64]) async throws(BenchFailure) {
        throw Self.unsupported("a delete")
    }
}
