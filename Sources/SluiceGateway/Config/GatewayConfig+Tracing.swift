extension GatewayConfig {
    /// What is told of requests to a tracing system.
    package struct Tracing: Hashable, Sendable {
        /// Nil: nothing is.
        package var endpoint: TraceEndpoint?
        /// Sent with every batch of spans, by name.
        package var headers: [String: Secret] = [:]
        /// The share of the requests without a trace of their own that get one.
        package var sample = 0.0
        package var maxSpansPerSecond = 1_000
        package var serviceName = "sluice"
    }
}

/// Where spans are sent by OTLP over HTTP.
package struct TraceEndpoint: Hashable, Sendable {
    package var isEncrypted: Bool
    package var host: String
    package var port: Int
    package var path: String

    /// - Parameter url: `http://HOST:PORT/PATH`, or `https`; without a path it is OTLP's own. Nil for anything else.
    package init?(_ url: String) {
        guard let scheme = ["http://", "https://"].first(where: { url.hasPrefix($0) }),
            url.utf8.allSatisfy({ (0x21...0x7e).contains($0) }), !url.contains("#")
        else { return nil }
        let rest = url.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let path = rest.dropFirst(authority.count)
        guard !authority.contains("@"), !path.hasPrefix("?") else { return nil }
        isEncrypted = scheme == "https://"
        let hasPort = authority.last != "]" && authority.contains(":")
        let text = hasPort ? String(authority) : "\(authority):\(isEncrypted ? 443 : 80)"
        guard let address = GatewayConfig.HostPort(text), address.port > 0, !address.host.isEmpty else { return nil }
        (host, port) = (address.host, address.port)
        self.path = path.isEmpty || path == "/" ? "/v1/traces" : String(path)
    }
}

/// What the gateway's configuration says to whoever sends its spans.
public struct TracingSettings: Sendable {
    public var host: String
    public var port: Int
    public var path: String
    public var isEncrypted: Bool
    /// They may be secret.
    public var headers: [(name: String, value: String)]
    public var serviceName: String
}

extension GatewayConfig.Tracing {
    /// Nil if nothing is traced.
    var settings: TracingSettings? {
        endpoint.map { endpoint in
            TracingSettings(
                host: endpoint.host, port: endpoint.port, path: endpoint.path, isEncrypted: endpoint.isEncrypted,
                headers: headers.sorted { $0.key < $1.key }.map { ($0.key, $0.value.revealed) },
                serviceName: serviceName)
        }
    }
}
