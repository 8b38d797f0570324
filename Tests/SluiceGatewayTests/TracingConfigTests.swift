import SluiceGateway
import Testing

@Suite struct TracingConfigTests {
    private static let rest = """
        shards: [{name: s0, replicas: [{dsn: host=nowhere}]}]
        collections: [{name: a, table: a, metric: cosine, dimensions: 3}]

        """

    private func read(_ tracing: String, _ environment: [String: String] = [:]) throws -> GatewayConfig.Tracing {
        try GatewayConfig.parse(
            Self.rest + "tracing: \(tracing)\n", file: "gateway.yaml", environment: environment
        ).tracing
    }

    private func complaints(_ tracing: String, _ environment: [String: String] = [:]) -> [String] {
        do throws(ConfigErrors) {
            _ = try GatewayConfig.parse(
                Self.rest + "tracing: \(tracing)\n", file: "gateway.yaml", environment: environment)
            return []
        } catch {
            return error.lines
        }
    }

    @Test func nothingIsTracedUnlessThereIsAnEndpoint() throws {
        let config = try GatewayConfig.parse(Self.rest, file: "gateway.yaml", environment: [:])
        #expect(config.tracing.endpoint == nil && config.tracing.sample == 0)
        #expect(try read("{sample: 0.5}").endpoint == nil)
    }

    @Test func everythingIsRead() throws {
        let tracing = try read(
            """
            {endpoint: "https://collector.example:4318/custom", headers: {api-key: "${KEY}"}, sample: 0.01,
              max_spans_per_second: 50, service_name: shop-search}
            """, ["KEY": "canary"])
        #expect(tracing.endpoint == TraceEndpoint("https://collector.example:4318/custom"))
        #expect(tracing.headers.mapValues(\.revealed) == ["api-key": "canary"])
        #expect(tracing.sample == 0.01 && tracing.maxSpansPerSecond == 50 && tracing.serviceName == "shop-search")
        #expect(!"\(tracing)".contains("canary"))
    }

    @Test func endpointsAreWhatTheyLookLike() throws {
        let plain = try #require(TraceEndpoint("http://127.0.0.1:4318"))
        #expect(!plain.isEncrypted && plain.host == "127.0.0.1" && plain.port == 4_318 && plain.path == "/v1/traces")
        let named = try #require(TraceEndpoint("https://collector/"))
        #expect(named.isEncrypted && named.host == "collector" && named.port == 443 && named.path == "/v1/traces")
        let six = try #require(TraceEndpoint("http://[::1]/a/b?c=d"))
        #expect(six.host == "::1" && six.port == 80 && six.path == "/a/b?c=d")
    }

    @Test(arguments: [
        "", "collector:4318", "grpc://collector:4317", "http://", "http:///v1/traces",
        "http://user:word@host/v1/traces",
        "http://host:0/", "http://host:99999/", "http://ho st/", "http://host/a\r\nX: y", "http://host?x",
        "http://host/#a",
    ])
    func anEndpointThatIsNoneIsRefused(url: String) {
        #expect(TraceEndpoint(url) == nil)
    }

    @Test func whatIsWrongIsSaidWithoutAHeadersValue() {
        #expect(complaints("{endpoint: \"http://u:canary@host/\"}").count == 1)
        for headers in [
            "{\"a b\": canary}", "{Host: canary}", "{content-length: canary}", "{a: \"canary\\nb: c\"}",
            "{a: \"${KEY}\"}", "{a: [canary]}",
        ] {
            let lines = complaints(
                "{endpoint: \"http://host/\", headers: \(headers)}", ["KEY": "canary\u{7}"])
            #expect(lines.count == 1 && !lines[0].contains("canary"), "\(headers): \(lines)")
        }
        #expect(complaints("{endpoint: \"http://host/\", sample: 2, max_spans_per_second: 0}").count == 2)
        #expect(complaints("{endpoint: \"http://host/\", endpiont: x}").count == 1)
    }
}
