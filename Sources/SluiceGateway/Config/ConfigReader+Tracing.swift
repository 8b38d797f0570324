extension ConfigReader {
    /// Headers that the exporter writes itself.
    private static let ownHeaders: Set<String> = [
        "host", "connection", "content-length", "content-type", "transfer-encoding",
    ]

    func readTracing(_ node: ConfigNode) -> GatewayConfig.Tracing {
        let keys = node.table(["endpoint", "headers", "sample", "max_spans_per_second", "service_name"])
        var tracing = GatewayConfig.Tracing()
        if let endpoint = keys["endpoint"], let url = endpoint.text() {
            tracing.endpoint = TraceEndpoint(url)
            if tracing.endpoint == nil {
                endpoint.complain("must be http://HOST:PORT/v1/traces, or the same with https, and no user")
            }
        }
        if let headers = keys["headers"] { tracing.headers = readHeaders(headers) }
        keys["sample"].read(into: &tracing.sample) { $0.number(0...1, or: $1) }
        keys["max_spans_per_second"].read(into: &tracing.maxSpansPerSecond) { $0.integer(1...1_000_000, or: $1) }
        if let name = keys["service_name"], let text = name.text() {
            tracing.serviceName = text
            if !(1...255).contains(text.utf8.count) { name.complain("must have from 1 to 255 bytes") }
        }
        return tracing
    }

    private func readHeaders(_ node: ConfigNode) -> [String: Secret] {
        var headers: [String: Secret] = [:]
        for (name, value) in node.entries(1...32) {
            guard !name.isEmpty, name.utf8.allSatisfy(Self.isToken), name.utf8.count <= 128 else {
                value.complain("is no name of an HTTP header")
                continue
            }
            if Self.ownHeaders.contains(name.lowercased()) { value.complain("is written by the gateway itself") }
            guard let text = value.text() else { continue }
            guard text.utf8.count <= 8_192, text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else {
                value.complain("has a character that no HTTP header may have, or more than 8192 of them")
                continue
            }
            headers[name] = Secret(text)
        }
        return headers
    }

    /// RFC 9110's `tchar`.
    private static func isToken(_ byte: UInt8) -> Bool {
        let character = Character(UnicodeScalar(byte))
        return character.isASCII && (character.isLetter || character.isNumber || "!#$%&'*+-.^_`|~".contains(character))
    }
}
