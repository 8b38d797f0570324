package import SluiceClient

/// A gateway, by its client.
package struct GatewayTarget: BenchTarget {
    private let client: SluiceClient

    package init(_ client: SluiceClient) { self.client = client }

    package var name: String { "gateway" }
    package var executors: [any TaskExecutor] { client.executors }

    private func told<Reply>(_ call: () async throws(SluiceError) -> Reply) async throws(BenchFailure) -> Reply {
        do throws(SluiceError) { return try await call() } catch { throw BenchFailure(error) }
    }

    package func collections() async throws(BenchFailure) -> [DescribedCollection] {
        try await told { () async throws(SluiceError) in try await client.collections() }
    }

    package func ping() async throws(BenchFailure) {
        do throws(SluiceError) { try await client.ping() } catch { throw BenchFailure(error) }
    }

    package func search(_ query: SearchQuery) async throws(BenchFailure) -> BenchAnswer {
        do throws(SluiceError) {
            let reply = try await client.search(query)
            return BenchAnswer(reply.legs, coverage: reply.coverage)
        } catch {
            throw BenchFailure(error)
        }
    }

    package func batch(
        _ vectors: [SearchQuery.Vector], _ query: SearchQuery
    ) async throws(BenchFailure) -> BenchAnswer {
        do throws(SluiceError) {
            let replies = try await client.searchBatch(vectors, query)
            return replies.first.map { BenchAnswer($0.legs, coverage: $0.coverage) } ?? .plain
        } catch {
            throw BenchFailure(error)
        }
    }

    package func get(
        _ collection: String, ids: [Int64], deadline: Duration?
    ) async throws(BenchFailure) -> BenchAnswer {
        do throws(SluiceError) {
            let reply = try await client.get(collection, ids: ids, deadline: deadline)
            return BenchAnswer(reply.legs, coverage: reply.coverage)
        } catch {
            throw BenchFailure(error)
        }
    }

    package func load(_ collection: String, _ rows: LoadBlock) async throws(BenchFailure) {
        _ = try await told { () async throws(SluiceError) in
            try await client.load(collection, blocks: OneBlock(block: rows))
        }
    }

    package func nearest(_ query: SearchQuery) async throws(BenchFailure) -> [Neighbour] {
        try await told { () async throws(SluiceError) in
            try await client.search(query).hits.map {
                Neighbour(collection: $0.collection, id: $0.id, distance: $0.distance)
            }
        }
    }

    package func rows(
        _ collection: String, ids: [Int64], columns: [String]
    ) async throws(BenchFailure) -> [DrawnRow] {
        try await told { () async throws(SluiceError) in
            try await client.get(collection, ids: ids, columns: columns, withVectors: true).rows.map {
                DrawnRow(id: $0.id, vector: $0.vector, columns: $0.columns)
            }
        }
    }

    package func delete(_ collection: String, ids: [Int64]) async throws(BenchFailure) {
        let report = try await told { () async throws(SluiceError) in try await client.delete(collection, ids: ids) }
        guard report.isDone else {
            throw BenchFailure("not_deleted", "some of the loaded rows are still in \"\(collection)\"")
        }
    }

    package func versions() async -> [String: String] {
        guard let servers = try? await client.servers(timeout: Self.versionTime) else { return [:] }
        var versions = ServerVersionNames.versions(of: servers)
        if let gateway = try? await client.server(timeout: Self.versionTime), !gateway.isEmpty {
            versions["gateway"] = gateway
        }
        return versions
    }

    /// A gateway that does not answer any more holds no report up.
    private static var versionTime: Duration { .seconds(2) }

    package func close() async { await client.close() }
}

extension BenchAnswer {
    fileprivate init(_ legs: [LegReport], coverage: Double) {
        self.init(
            legs: legs.map {
                Leg(
                    shard: $0.shard, attempts: $0.attempts, hedges: $0.hedges,
                    waiting: Double($0.wait.wholeMicroseconds), executing: Double($0.execute.wholeMicroseconds))
            },
            isPartial: coverage < 1)
    }
}

/// The blocks of a load that has one.
private struct OneBlock: AsyncSequence, Sendable {
    let block: LoadBlock

    func makeAsyncIterator() -> Iterator { Iterator(block: block) }

    struct Iterator: AsyncIteratorProtocol {
        var block: LoadBlock?

        mutating func next() async -> LoadBlock? { block.take() }
    }
}
