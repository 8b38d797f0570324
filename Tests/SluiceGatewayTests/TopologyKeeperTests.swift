import Foundation
import Logging
import SluiceCore
import SluiceGateway
import SluiceTopology
import Testing

/// What is followed as configurations come and go. Nobody answers at the sources; a state file says what was known.
@Suite struct TopologyKeeperTests {
    private static let members = [MemberPlace(name: "n1", host: "h", port: 1)]

    private static func config(stateFile: String?) throws -> GatewayConfig {
        var config = try GatewayConfig.parse(
            """
            shards:
              - name: s0
                source: {type: patroni, endpoints: ["http://127.0.0.1:1"], replica: {dsn: dbname=v user=u}}
            \(ConfigErrorTests.collections)
            """, file: "folder/f", environment: [:])
        config.shards[0].source?.settings.stateFile = stateFile
        return config
    }

    private static func keeper(_ body: (TopologyKeeper) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "keeper-\(UUID()).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try StateFile(path: path, shard: "s0").write(.init(timeline: 7, members: members))
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let keeper = TopologyKeeper(try config(stateFile: path), logger: logger)
        defer { keeper.stop() }
        #expect(keeper.watch("s0")?.memory == .init(timeline: 7, members: members))
        try body(keeper)
    }

    @Test func aShardThatHadNoSourceForAWhileKeepsItsTimelineAndMembers() throws {
        try Self.keeper { keeper in
            var withoutSource = try Self.config(stateFile: nil)
            withoutSource.shards[0].source = nil
            keeper.adopt(keeper.prospect(of: withoutSource))
            #expect(keeper.watch("s0") == nil)
            keeper.adopt(keeper.prospect(of: try Self.config(stateFile: nil)))
            #expect(keeper.watch("s0")?.memory == .init(timeline: 7, members: Self.members))
        }
    }

    @Test func whatFollowsAnswersWhileAnotherIsJudgedAndAfterItWasRefused() throws {
        try Self.keeper { keeper in
            let watch = try #require(keeper.watch("s0"))
            let prospect = keeper.prospect(of: try Self.config(stateFile: nil))
            #expect(prospect.places == ["s0": Self.members])
            #expect(keeper.watch("s0") === watch)
            keeper.discard(prospect)
            #expect(keeper.watch("s0") === watch)
            keeper.adopt(keeper.prospect(of: try Self.config(stateFile: nil)))
            #expect(keeper.watch("s0") !== watch && keeper.watch("s0")?.memory.timeline == 7)
        }
    }

    @Test func anotherThatIsTakenKnowsWhatWasSeenMeanwhile() throws {
        try Self.keeper { keeper in
            let prospect = keeper.prospect(of: try Self.config(stateFile: nil))
            keeper.watch("s0")?.remember(.init(timeline: 9))
            keeper.adopt(prospect)
            #expect(keeper.watch("s0")?.memory.timeline == 9)
        }
    }
}
