package import SluiceDNS

/// Where the gateways of a client are: a list of addresses, or a name whose SRV records list them.
package enum GatewaySource: Hashable, Sendable {
    case fixed([Address])
    case service(ServiceName, isTLS: Bool)

    package static let mostGateways = 256

    /// - Parameter text: one address, several with commas between them, of which the first has the scheme, or
    ///   `sluice+srv://_sluice._tcp.example.org` (`sluice+tls+srv://` for TLS).
    package init(_ text: String) throws(SluiceError) { try self.init([text]) }

    /// - Parameter texts: each as `init(_:)` takes one; a name with SRV records stands alone.
    package init(_ texts: [String]) throws(SluiceError) {
        if texts.count == 1, let text = texts.first, let service = try Self.service(text) {
            self = service
            return
        }
        var addresses: [Address] = []
        for text in texts {
            for part in Self.parts(of: text) {
                let address = try Address(part)
                if !addresses.contains(address) { addresses.append(address) }
            }
        }
        guard (1...Self.mostGateways).contains(addresses.count) else {
            throw SluiceError(
                .invalidArgument,
                "\(addresses.count) addresses of a gateway are given; it must be from 1 to \(Self.mostGateways)")
        }
        self = .fixed(addresses)
    }

    private static func service(_ text: String) throws(SluiceError) -> GatewaySource? {
        for (scheme, isTLS) in [("sluice+srv://", false), ("sluice+tls+srv://", true)] where text.hasPrefix(scheme) {
            let name = text.dropFirst(scheme.count)
            guard let name = ServiceName(name.hasSuffix("/") ? name.dropLast() : name) else {
                throw SluiceError(
                    .invalidArgument,
                    "\"\(text.prefix(200))\" is not an address of a gateway: a name with SRV records is like "
                        + "\(scheme)_sluice._tcp.example.org")
            }
            return .service(name, isTLS: isTLS)
        }
        return nil
    }

    /// Each with its scheme. The path of a socket may have commas of its own.
    private static func parts(of text: String) -> [String] {
        guard !text.hasPrefix("sluice+unix://"), let mark = text.firstRange(of: "://") else { return [text] }
        return text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            part.contains("://") ? String(part) : String(text[..<mark.upperBound]) + part
        }
    }
}
