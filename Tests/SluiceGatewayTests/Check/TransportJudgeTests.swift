import SluiceGateway
import SluicePostgres
import Testing

@Suite struct TransportJudgeTests {
    private static let now: Int64 = 1_800_000_000
    private static let day: Int64 = 86_400

    private func finding(_ transport: TransportFacts) -> Finding? {
        TransportJudge.finding(transport, shard: "s0", replica: "s0-a", now: Self.now)
    }

    private func encrypted(until expiry: Int64) -> TransportFacts {
        TransportFacts(
            isLocal: false,
            encryption: .init(
                version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384",
                certificate: .init(subject: "CN=db", expiry: expiry), usesChannelBinding: nil))
    }

    @Test func plainIsFineOnThisMachineOnly() throws {
        #expect(finding(TransportFacts(isLocal: true)) == nil)
        let found = try #require(finding(TransportFacts(isLocal: false)))
        #expect(found.severity == .warning && found.message.contains("sslmode=verify-full"))
    }

    @Test(arguments: [
        (21 * day, nil, nil), (21 * day - 1, Finding.Severity.warning, "in 20 days"), (0, .warning, "in 0 days"),
        (-1, .error, "1 days ago"), (-day, .error, "1 days ago"), (-day - 1, .error, "2 days ago"),
    ])
    func aCertificateThatEndsSoonIsToldOf(left: Int64, severity: Finding.Severity?, words: String?) {
        let found = finding(encrypted(until: Self.now + left))
        #expect(found?.severity == severity)
        if let words { #expect(found?.message.contains(words) == true, "\(found?.message ?? "")") }
    }
}
