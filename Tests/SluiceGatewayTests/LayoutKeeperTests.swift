import Logging
import SluiceCore
import SluiceEngine
import SluiceGateway
import Testing

/// Which layouts are served as configurations come and the databases answer.
@Suite struct LayoutKeeperTests {
    private static let next = LayoutConfigTests.next

    private static func config(
        _ more: String = LayoutConfigTests.next, table: String = "packages", shards: String = "[s0, s1]"
    ) throws -> GatewayConfig {
        try LayoutConfigTests.config(more, table: table, shards: shards)
    }

    /// A keeper that has been told this by s0; and the configuration as it is served then.
    private static func served(
        _ config: GatewayConfig, _ answer: LayoutAnswer
    ) -> (keeper: LayoutKeeper, config: GatewayConfig) {
        let keeper = LayoutKeeper()
        keeper.adopt(keeper.prospect(of: config, after: nil))
        _ = keeper.heard([LayoutReport(shard: "s0", replica: "a", answer)], of: config)
        return (keeper, config.choosing(keeper.choices))
    }

    private static func serving(_ config: GatewayConfig) -> LayoutChoice.Serving { config.collections[0].serving }

    @Test func bothLayoutsShardsAreAsked() throws {
        let config = try Self.config(", next: {table: other, shards: [s1, s2]}", shards: "[s0, s1]")
        #expect(LayoutKeeper.shards(of: config) == ["s0", "s1", "s2"])
        #expect(LayoutKeeper.shards(of: try Self.config("")) == [])
    }

    @Test func atTheStartNothingIsServedBeforeADatabaseAnswers() throws {
        let config = try Self.config()
        #expect(Self.serving(Self.served(config, .failed("down")).config) == .unknown)
        #expect(Self.serving(Self.served(config, .epochs([:])).config) == .current)
        #expect(Self.serving(Self.served(config, .epochs(["other": 2])).config) == .current)
        #expect(Self.serving(Self.served(config, .epochs(["packages": 2])).config) == .next)
    }

    @Test func oneShardThatHasHeardOfItIsEnough() throws {
        let config = try Self.config()
        let (keeper, _) = Self.served(config, .epochs([:]))
        let reports = [
            LayoutReport(shard: "s0", replica: "a", .epochs(["packages": 1])),
            LayoutReport(shard: "s1", replica: "a", .failed("down")),
            LayoutReport(shard: "s2", replica: "b", .epochs(["packages": 2])),
        ]
        #expect(keeper.heard(reports, of: config) == [])
        #expect(keeper.choices["packages"]?.serving == .next)
    }

    @Test func aNextLayoutThatComesLeavesWhatIsServed() throws {
        let old = try Self.config("")
        let keeper = LayoutKeeper()
        let config = try Self.config()
        #expect(keeper.prospect(of: config, after: old)["packages"]?.serving == .current)
        // The same table on other shards is something else.
        let elsewhere = try Self.config("", shards: "[s0, s2]")
        #expect(keeper.prospect(of: config, after: elsewhere)["packages"]?.serving == .unknown)
    }

    @Test func theSameConfigurationReadAnewKeepsWhatWasChosen() throws {
        let config = try Self.config()
        let (keeper, served) = Self.served(config, .epochs(["packages": 2]))
        #expect(Self.serving(config.choosing(keeper.prospect(of: config, after: served))) == .next)
    }

    /// s2 is taken out of the next layout before it is served, and after.
    @Test func anotherNextLayoutIsNotServedBecauseThisOneWas() throws {
        let other = try Self.config(", next: {table: packages_e2, shards: [s0, s1]}")
        let (keeper, moved) = Self.served(try Self.config(), .epochs(["packages": 2]))
        #expect(Self.serving(other.choosing(keeper.prospect(of: other, after: moved))) == .unknown)
        let (earlier, current) = Self.served(try Self.config(), .epochs([:]))
        #expect(Self.serving(other.choosing(earlier.prospect(of: other, after: current))) == .current)
    }

    @Test func afterTheMoveAFurtherOneBeginsWithWhatIsServed() throws {
        let (keeper, moved) = Self.served(try Self.config(), .epochs(["packages": 2]))
        let own = try Self.config(", epoch: 2", table: "packages_e2", shards: "[s0, s1, s2]")
        let served = own.choosing(keeper.prospect(of: own, after: moved))
        #expect(served.collections[0].asServed == moved.collections[0].asServed)
        keeper.adopt(keeper.prospect(of: own, after: moved))
        #expect(keeper.choices == [:])
        let further = try Self.config(
            ", epoch: 2, next: {table: packages_e3, shards: [s2]}", table: "packages_e2", shards: "[s0, s1, s2]")
        keeper.adopt(keeper.prospect(of: further, after: served))
        #expect(keeper.choices["packages"] == LayoutChoice(epoch: 2, serving: .current))
        _ = keeper.heard([LayoutReport(shard: "s1", replica: "a", .epochs(["packages": 3]))], of: further)
        #expect(keeper.choices["packages"]?.served == 3)
    }

    @Test func whatIsUnclearIsSaidOnceAndWhenItEnds() throws {
        let config = try Self.config()
        let keeper = LayoutKeeper()
        keeper.adopt(keeper.prospect(of: config, after: nil))
        func hear(_ answer: LayoutAnswer) -> [LayoutKeeper.Complaint] {
            keeper.heard([LayoutReport(shard: "s0", replica: "a", answer)], of: config)
        }
        let refused = hear(.failed("the database role may not do this (SQLSTATE 42501)"))
        #expect(refused.count == 1 && refused[0].collection == "packages")
        #expect(refused[0].text?.contains("s0/a: the database role may not do this") == true)
        #expect(hear(.failed("the database role may not do this (SQLSTATE 42501)")) == [])
        #expect(keeper.complaints["packages"] == refused[0].text)
        #expect(hear(.epochs([:])).map(\.text) == [nil])
        #expect(keeper.complaints == [:])
        // Whatever is served goes on.
        let wrong = hear(.epochs(["packages": 9]))
        #expect(wrong.first?.text?.contains("say epoch 9") == true)
        #expect(keeper.choices["packages"]?.serving == .current)
        keeper.adopt([:])
        #expect(keeper.complaints == [:])
    }

    @Test func thatNobodyAnswersIsSaidWhateverIsServed() throws {
        let config = try Self.config()
        let (keeper, _) = Self.served(config, .epochs([:]))
        func hear(_ answer: LayoutAnswer) -> [LayoutKeeper.Complaint] {
            keeper.heard([LayoutReport(shard: "s0", replica: "a", answer)], of: config)
        }
        for _ in 1..<LayoutKeeper.mostSilences { #expect(hear(.failed("down")) == []) }
        let said = hear(.failed("down"))
        #expect(said.first?.text == "no server says which epoch is the true one (s0/a: down)")
        #expect(hear(.failed("down")) == [] && keeper.complaints["packages"] == said.first?.text)
        #expect(keeper.choices["packages"]?.serving == .current)
        #expect(hear(.epochs([:])).map(\.text) == [nil])
        #expect(hear(.failed("down")) == [])
    }

    // MARK: A gateway whose replicas cannot be reached

    private static func withGateway(_ more: String, _ body: (Gateway) async throws -> Void) async throws {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let gateway = try await Gateway.start(try listening(more), logger: logger)
        do { try await body(gateway) } catch { Issue.record(error) }
        await gateway.shutDown()
    }

    private static func listening(_ more: String) throws -> GatewayConfig {
        try GatewayConfig.parse(
            "listen: {tcp: \"127.0.0.1:0\"}\npool: {connect_timeout: 100ms}\n\(LayoutConfigTests.text(more))",
            file: "f", environment: [:])
    }

    @Test(.timeLimit(.minutes(1))) func aGatewayThatHearsNothingAtItsStartServesNeither() async throws {
        try await Self.withGateway(Self.next) { gateway in
            let collection = try #require(await gateway.state()?.collections.first)
            #expect(collection.epoch == nil && !collection.isReady)
            #expect(collection.move?.nextEpoch == 2 && collection.move?.nextShards == ["s0", "s1", "s2"])
            #expect(collection.move?.toldEpoch == nil && collection.move?.complaint?.contains("no server says") == true)
            #expect(await gateway.reload(try Self.listening("")) == [])
            let own = try #require(await gateway.state()?.collections.first)
            #expect(own.epoch == 1 && own.move == nil)
        }
    }

    @Test(.timeLimit(.minutes(1))) func oneThatServesGoesOnWhenANextLayoutComesAndNobodyAnswers() async throws {
        try await Self.withGateway("") { gateway in
            #expect(await gateway.reload(try Self.listening(Self.next)) == [])
            let collection = try #require(await gateway.state()?.collections.first)
            #expect(collection.epoch == 1 && collection.move?.nextEpoch == 2)
        }
    }
}
