import SluiceGateway
import Testing

@Suite struct ListeningRuleTests {
    private func objections(_ listen: String, _ more: String = "") throws -> [String] {
        let text = ConfigErrorTests.right + "listen: \(listen)\n" + more
        let config = try GatewayConfig.parse(text, file: "f", environment: [:])
        return ListeningRule.objections(config.listen, config.admin, config.access)
    }

    private static let tls = "tls: {certificate: c, key: k}\n"
    private static let access = "access: {identities: [{name: a, collections: {\"*\": [search]}}]}\n"

    @Test(arguments: ["127.0.0.1:0", "127.9.8.7:7411", "localhost:7411", "\"[::1]:7411\""])
    func onLoopbackAnythingGoes(place: String) throws {
        #expect(try objections("{tcp: \(place)}") == [])
        #expect(try objections("{tls: \(place)}", Self.tls) == [])
    }

    @Test(arguments: ["0.0.0.0:7411", "10.0.0.1:7411", "\"[::]:7411\"", "gateway.example:7411", "127.0.0.1.nip.io:1"])
    func elsewhereThereMustBeTLSAndIdentities(place: String) throws {
        #expect(try objections("{tcp: \(place)}").count == 2)
        #expect(try objections("{tcp: \(place)}", Self.access).count == 1)
        #expect(try objections("{tls: \(place)}", Self.tls).count == 1)
        #expect(try objections("{tls: \(place)}", Self.tls + Self.access) == [])
    }

    @Test func whereOperatorsComeFromElsewhereThereMustBeIdentities() throws {
        let admin = "admin: {tcp: \"0.0.0.0:7412\"}\n"
        #expect(try objections("{unix: s}", admin).count == 1)
        #expect(try objections("{unix: s}", admin + Self.access) == [])
        #expect(try objections("{unix: s}", "admin: {tcp: \"0.0.0.0:7412\", enabled: false}\n") == [])
    }

    @Test func aUnixSocketNeedsNeither() throws { #expect(try objections("{unix: s}") == []) }
}
