import SluiceCore
import SluiceEngine
import Testing

/// Rows that are copied without a lane.
@Suite struct BlockLoadTests {
    private static func catalogue(placement: Placement = .hash) -> Catalogue {
        var collection = Collection(
            name: "docs", schema: "public", table: "doc table", idColumn: "id", vectorColumn: "embedding", metric: .l2,
            dimensions: 2, columns: [], shards: [0, 1])
        collection.placement = placement
        return Catalogue(
            shards: (0..<2).map { Catalogue.Shard(name: "s\($0)", replicas: [.init(name: "a", backend: $0)]) },
            collections: [collection])
    }

    /// What a primary says of a table with these columns.
    private static func described(idType: String = "int8recv", vectorIsRequired: Bool = false) -> [WriteResult] {
        let table: [String?] = ["r", "f", "t"]
        return [
            WriteResult(rows: [
                table + ["id", "20", "bigint", idType, "t", "f"],
                table + ["embedding", "16385", "vector(2)", "vector_recv", vectorIsRequired ? "t" : "f", "f"],
            ])
        ]
    }

    private static func load(_ answers: [[WriteResult]] = [Self.described(), Self.described()]) throws -> BlockLoad {
        try BlockLoad(BlockLoad.Question("docs", in: catalogue()), answers)
    }

    private static func big<Integer: FixedWidthInteger>(_ integer: Integer) -> [UInt8] {
        withUnsafeBytes(of: integer.bigEndian) { Array($0) }
    }

    /// A packed row with a vector of so many dimensions.
    private static func row(_ id: Int64, dimensions: Int = 2) -> [UInt8] {
        let components = [[UInt8]](repeating: big(Float(1).bitPattern), count: dimensions)
        let vector = big(Int16(dimensions)) + big(Int16(0)) + components.joined()
        let body = big(id) + big(UInt32(vector.count)) + vector
        return big(UInt32(body.count)) + body
    }

    /// The ids of a binary COPY's rows.
    private static func ids(_ part: BlockLoad.Part) -> [Int64] {
        let bytes = Array(part.copy.joined())
        #expect(bytes.starts(with: RowFormat.copyHeader) && Array(bytes.suffix(2)) == RowFormat.copyTrailer)
        // Count of fields, length and id; length and vector.
        let (header, row) = (RowFormat.copyHeader.count, 2 + 4 + 8 + 4 + 12)
        return stride(from: header, to: bytes.count - 2, by: row).map { start in
            bytes[start + 6..<start + 14].reduce(Int64(0)) { $0 << 8 | Int64($1) }
        }
    }

    @Test func rowsGoToTheShardsThatAGatewayWouldPutThemOn() throws {
        let placement = try #require(HashPlacement(shardCount: 2))
        let parts = try Self.load().parts(of: (1...50).flatMap { Self.row($0) })
        #expect(parts.map(\.shard) == [0, 1] && parts.map(\.rowCount).reduce(0, +) == 50)
        for part in parts {
            #expect(Self.ids(part) == (1...50).filter { placement.shard(of: $0) == part.shard })
        }
        let alone = try Self.load().parts(of: Self.row(1))
        #expect(alone.map(\.shard) == [placement.shard(of: 1)])
        #expect(try Self.load().parts(of: []).isEmpty)
    }

    @Test func rowsAreDeletedWhereTheyWerePut() throws {
        let placement = try #require(HashPlacement(shardCount: 2))
        let deletes = try Self.load().deletes(Array(1...50))
        #expect(Set(deletes.map(\.shard)) == [0, 1] && deletes.count == 2)
        #expect(try Self.load().deletes([7]).map(\.shard) == [placement.shard(of: 7)])
    }

    @Test func rowsThatAreNoneOfTheCollectionsAreRefused() throws {
        let load = try Self.load()
        #expect { try load.parts(of: Self.row(1) + Self.row(2, dimensions: 3)) } throws: {
            ($0 as? SearchError)?.code == .badRow
        }
        #expect { try load.parts(of: Array(Self.row(1).dropLast())) } throws: {
            ($0 as? SearchError)?.code == .malformed
        }
    }

    @Test func tablesThatCannotBeLoadedIntoAreRefused() throws {
        #expect(throws: SearchError.self) { try BlockLoad.Question("none", in: Self.catalogue()) }
        #expect(throws: SearchError.self) { try BlockLoad.Question("docs", in: Self.catalogue(placement: .any)) }
        #expect(throws: SearchError.self) { try Self.load([Self.described(), [WriteResult()]]) }
        #expect(throws: SearchError.self) { try Self.load([Self.described(idType: "textrecv"), Self.described()]) }
        // Unlike each other.
        #expect(throws: SearchError.self) {
            try Self.load([Self.described(), Self.described(vectorIsRequired: true)])
        }
    }
}
