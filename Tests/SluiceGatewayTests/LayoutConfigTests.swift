import SluiceCore
import SluiceGateway
import Testing

/// `collections[].epoch` and `.next`: what they may say, and what is served by them.
@Suite struct LayoutConfigTests {
    static func text(_ more: String, table: String = "packages", shards: String = "[s0, s1]") -> String {
        """
        shards:
          - {name: s0, replicas: [{dsn: host=127.0.0.1 port=1}]}
          - {name: s1, replicas: [{dsn: host=127.0.0.1 port=2}]}
          - {name: s2, replicas: [{dsn: host=127.0.0.1 port=3}]}
        collections:
          - {name: packages, table: \(table), metric: l2, dimensions: 3, shards: \(shards)\(more)}
        """
    }

    static let next = ", next: {table: packages_e2, shards: [s0, s1, s2]}"

    static func config(
        _ more: String, table: String = "packages", shards: String = "[s0, s1]"
    ) throws -> GatewayConfig {
        try GatewayConfig.parse(text(more, table: table, shards: shards), file: "f", environment: [:])
    }

    @Test func theFirstEpochIsOneAndThereIsNoNext() throws {
        let collection = try Self.config("").collections[0]
        #expect(collection.epoch == 1 && collection.next == nil && collection.serving == .current)
        #expect(collection.asServed == collection)
    }

    @Test func aNextLayoutHasATableAndShards() throws {
        let config = try Self.config(", epoch: 7\(Self.next)")
        #expect(config.hasNextLayouts && config.collections[0].epoch == 7)
        #expect(config.collections[0].next == .init(table: "packages_e2", shards: ["s0", "s1", "s2"]))
        let other = try Self.config(", next: {table: moved.packages, shards: [s2]}").collections[0]
        #expect(other.next == .init(schema: "moved", table: "packages", shards: ["s2"]))
    }

    @Test func whatIsServedIsTheCollectionsOwnTheNextOrNothing() throws {
        let config = try Self.config(Self.next)
        func served(_ serving: LayoutChoice.Serving) -> GatewayConfig.Collection {
            config.choosing(["packages": LayoutChoice(epoch: 1, serving: serving)]).collections[0].asServed
        }
        let own = try Self.config("").collections[0]
        #expect(served(.current) == own)
        #expect(served(.next).layout == config.collections[0].next)
        #expect(served(.next).epoch == 2 && served(.next).next == nil && served(.next).serving == .current)
        #expect(served(.unknown).serving == .unknown)
        #expect(config.choosing([:]).collections[0].serving == .unknown, "nobody has chosen")
        #expect(try Self.config("").choosing([:]).collections[0].serving == .current)
    }

    /// What the operator writes once the rows have been moved is what is served already.
    @Test func theNextLayoutAsTheCollectionsOwnIsTheSame() throws {
        let moved = try Self.config(Self.next).choosing(["packages": LayoutChoice(epoch: 1, serving: .next)])
        let own = try Self.config(", epoch: 2", table: "packages_e2", shards: "[s0, s1, s2]")
        #expect(moved.collections[0].asServed == own.collections[0])
    }

    @Test(arguments: [
        (", epoch: 0", "f:6: collections[0].epoch: "),
        (", epoch: -1", "f:6: collections[0].epoch: "),
        (", epoch: 1000000001", "f:6: collections[0].epoch: "),
        (", epoch: x", "f:6: collections[0].epoch: must be a whole number, not \"x\""),
        (", next: packages_e2", "f:6: collections[0].next: must be a table of keys, not a single value"),
        (", next: {table: other}", "f:6: collections[0].next.shards: is missing"),
        (", next: {shards: [s2]}", "f:6: collections[0].next.table: is missing"),
        (", next: {table: a.b.c, shards: [s2]}", "f:6: collections[0].next.table: must be TABLE or SCHEMA.TABLE"),
        (", next: {table: \"\", shards: [s2]}", "f:6: collections[0].next.table: must be TABLE or SCHEMA.TABLE"),
        (", next: {table: other, shards: []}", "f:6: collections[0].next.shards: must not be empty"),
        (", next: {table: other, shards: [s3]}", "f:6: collections[0].next.shards[0]: there is no shard \"s3\""),
        (", next: {table: packages, shards: [s2]}", "f:6: collections[0].next.table: is the collection's own table"),
        (", next: {table: public.packages, shards: [s2]}", "collections[0].next.table: is the collection's own table"),
        (", next: {table: other, shards: [s2], epoch: 3}", "f:6: collections[0].next.epoch: unknown key"),
    ]) func whatIsWrongIsNamed(more: String, problem: String) {
        let problems = ConfigErrorTests.problems(Self.text(more))
        #expect(problems.count == 1 && problems.first?.contains(problem) == true, "\(problems)")
    }

    @Test func checkShowsWhatIsBeingMoved() throws {
        #expect(CheckSummary(try Self.config("")).moves.isEmpty)
        let summary = CheckSummary(try Self.config(", epoch: 3\(Self.next)"))
        #expect(summary.moves.map(\.line) == ["packages: epoch 3 on s0, s1; next, epoch 4, on s0, s1, s2"])
    }
}
