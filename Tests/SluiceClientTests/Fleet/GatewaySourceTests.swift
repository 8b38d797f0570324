import SluiceClient
import SluiceDNS
import Testing

@Suite struct GatewaySourceTests {
    @Test(arguments: [
        ("sluice://a", [Address.tcp(host: "a", port: 7_411)]),
        (
            "sluice://a:1,b,[::1]:3",
            [.tcp(host: "a", port: 1), .tcp(host: "b", port: 7_411), .tcp(host: "::1", port: 3)]
        ),
        ("sluice+tls://a,b:9", [.tls(host: "a", port: 7_413), .tls(host: "b", port: 9)]),
        ("sluice://a,sluice+tls://b", [.tcp(host: "a", port: 7_411), .tls(host: "b", port: 7_413)]),
        ("sluice://a,a", [.tcp(host: "a", port: 7_411)]), ("sluice+unix:///a,b", [.unix(path: "/a,b")]),
    ])
    func listsAreRead(text: String, addresses: [Address]) throws {
        #expect(try GatewaySource(text) == .fixed(addresses))
    }

    @Test func anArrayIsAListToo() throws {
        let source = try GatewaySource(["sluice+unix:///a", "sluice://b,c"])
        #expect(
            source == .fixed([.unix(path: "/a"), .tcp(host: "b", port: 7_411), .tcp(host: "c", port: 7_411)]))
    }

    @Test func namesWithRecordsAreRead() throws {
        let name = try #require(ServiceName("_sluice._tcp.example.org"))
        #expect(try GatewaySource("sluice+srv://_Sluice._tcp.Example.org./") == .service(name, isTLS: false))
        #expect(try GatewaySource("sluice+tls+srv://_sluice._tcp.example.org") == .service(name, isTLS: true))
        #expect(name.domain == "example.org" && name.isHome(of: "a.example.org") && name.isHome(of: "example.org"))
        #expect(!name.isHome(of: "badexample.org") && !name.isHome(of: "example.org.evil.net"))
    }

    @Test(arguments: [
        "sluice://a,", "sluice://,a", "sluice://a,,b", "sluice+srv://", "sluice+srv://example.org",
        "sluice+srv://_sluice._tcp", "sluice+srv://_sluice._tcp.example.org:53", "sluice+srv://_a._b..c",
        "sluice+srv://_a._b.c,_d._e.f", "sluice://a,sluice+srv://_a._b.c",
        "sluice+srv://_a._b.\(String(repeating: "c", count: 64))",
    ])
    func whatIsNoListIsRefused(text: String) async {
        #expect(await failureCode { _ = try await SluiceClient.connect(text) } == .invalidArgument)
    }

    @Test func thereIsAtLeastOneAddressAndNotTooMany() async {
        #expect(await failureCode { _ = try await SluiceClient.connect([]) } == .invalidArgument)
        let many = (1...257).map { "sluice://a:\($0)" }
        #expect(await failureCode { _ = try await SluiceClient.connect(many) } == .invalidArgument)
    }

    /// A forged answer must not lead a TLS client to a stranger who has a good certificate of his own.
    @Test func withTLSAHostHasToBeInTheServicesDomain() throws {
        let name = try #require(ServiceName("_sluice._tcp.example.org"))
        let records = ["g1.example.org", "g.evil.net", ""].map {
            ServiceRecord(priority: 1, weight: 2, port: 3, host: $0)
        }
        let own = [GatewayTarget(.tls(host: "g1.example.org", port: 3), priority: 1, weight: 2)]
        #expect(try GatewayTarget.targets(of: records, service: name, isTLS: true, serverName: nil) == own)
        #expect(try GatewayTarget.targets(of: records, service: name, isTLS: true, serverName: "x").count == 2)
        #expect(try GatewayTarget.targets(of: records, service: name, isTLS: false, serverName: nil).count == 2)
        #expect(throws: SluiceError.self) {
            try GatewayTarget.targets(of: [records[1]], service: name, isTLS: true, serverName: nil)
        }
        #expect(throws: SluiceError.self) {
            try GatewayTarget.targets(of: [records[2]], service: name, isTLS: false, serverName: nil)
        }
    }
}
