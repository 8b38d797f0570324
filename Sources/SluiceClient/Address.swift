/// Where a gateway listens: `sluice://host:port` (port 7411 if none is named), `sluice+tls://host:port` (7413) or
/// `sluice+unix:///path`.
package enum Address: Hashable, Sendable {
    case tcp(host: String, port: Int)
    case tls(host: String, port: Int)
    case unix(path: String)

    static let defaultPort = 7_411
    static let defaultTLSPort = 7_413

    package init(_ text: String) throws(SluiceError) {
        if let path = Self.rest(of: text, after: "sluice+unix://") {
            guard path.hasPrefix("/") else { throw Self.invalid(text, "the path of a socket must be absolute") }
            self = .unix(path: path)
        } else if let authority = Self.rest(of: text, after: "sluice://") {
            let (host, port) = try Self.place(authority, text, Self.defaultPort)
            self = .tcp(host: host, port: port)
        } else if let authority = Self.rest(of: text, after: "sluice+tls://") {
            let (host, port) = try Self.place(authority, text, Self.defaultTLSPort)
            self = .tls(host: host, port: port)
        } else {
            throw Self.invalid(text, "it must begin with sluice://, sluice+tls:// or sluice+unix://")
        }
    }

    private static func place(
        _ authority: String, _ text: String, _ defaultPort: Int
    ) throws(SluiceError) -> (host: String, port: Int) {
        let trimmed = authority.hasSuffix("/") ? String(authority.dropLast()) : authority
        var host = trimmed
        var port: Int? = defaultPort
        if let colon = trimmed.lastIndex(of: ":"), !trimmed[colon...].contains("]") {
            host = String(trimmed[..<colon])
            port = Int(trimmed[trimmed.index(after: colon)...])
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
        } else if host.contains(":") {
            // "::1" would be a host ":" and the port 1.
            throw invalid(text, "an IPv6 address goes in brackets, like sluice://[::1]:7411")
        }
        guard !host.isEmpty, !host.contains(where: { "/@[]".contains($0) }) else {
            throw invalid(text, "it has no host, or more than a host and a port")
        }
        guard let port, (1...65_535).contains(port) else { throw invalid(text, "the port must be from 1 to 65535") }
        return (host, port)
    }

    private static func rest(of text: String, after scheme: String) -> String? {
        text.hasPrefix(scheme) ? String(text.dropFirst(scheme.count)) : nil
    }

    private static func invalid(_ text: String, _ why: String) -> SluiceError {
        SluiceError(.invalidArgument, "\"\(text.prefix(200))\" is not an address of a gateway: \(why)")
    }
}
