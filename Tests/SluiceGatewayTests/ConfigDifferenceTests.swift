import SluiceGateway
import Testing

@Suite struct ConfigDifferenceTests {
    private func config(
        _ password: String = "first", weight: Int = 1, collections: [String] = ["a"], more: String = ""
    ) throws -> GatewayConfig {
        let text = """
            shards:
              - name: s0
                replicas:
                  - {name: s0-a, dsn: "host=h password=\(password)", weight: \(weight)}
            collections:
            \(collections.map { "  - {name: \($0), table: t, metric: l2, dimensions: 3}\n" }.joined())
            \(more)
            """
        return try GatewayConfig.parse(text, file: "test.yaml", environment: [:])
    }

    @Test func nothingDiffersFromItself() throws {
        #expect(ConfigDifference(try config(), try config()).lines == [])
    }

    @Test func whatDiffersIsSaidByItsPath() throws {
        let more = "limits: {max_k: 7}\nlog: {slow_search: 2s}\n"
        let lines = ConfigDifference(try config(), try config(weight: 3, more: more)).lines
        #expect(
            lines == [
                "limits.max_k: 1000 -> 7", "shards.s0.replicas.s0-a.weight: 1 -> 3",
                "slow_search: 0.5 seconds -> 2.0 seconds",
            ])
    }

    @Test func whatComesAndGoesIsSaid() throws {
        let lines = ConfigDifference(try config(), try config(collections: ["b"])).lines
        #expect(lines.contains("collections.a.table: gone, was t"))
        #expect(lines.contains("collections.b.table: new, t"))
    }

    @Test func aSecretDiffersWithoutBeingSaid() throws {
        let lines = ConfigDifference(try config("first"), try config("second")).lines
        #expect(lines == ["shards.s0.replicas.s0-a.dsn: <secret> -> <secret>"])
    }

    @Test func whatNeedsARestartStays() throws {
        let more = "listen: {tcp: \"127.0.0.1:9\"}\nreactors: 3\ncursors: {ttl: 9s}\nlimits: {max_k: 7}\n"
        let (old, new) = (try config(), try config(more: more))
        let (taken, left) = old.taking(new)
        #expect(left == ["listen", "reactors", "cursors"])
        #expect(taken.listen == old.listen && taken.cursors == old.cursors && taken.limits.maxK == 7)
    }
}
