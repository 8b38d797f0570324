/// The name of a service's SRV records, as `_sluice._tcp.example.org`.
package struct ServiceName: Hashable, Sendable, CustomStringConvertible {
    /// Without the dot at its end, in lower case.
    package let text: String

    /// Nil if it is not one: labels of 1 to 63 letters, digits, `-` and `_`, in all at most 253, of which the first two
    /// begin with `_`.
    /// - Parameter anyLabels: those need not, as there are directories that give their names no such labels.
    package init?(_ text: some StringProtocol, anyLabels: Bool = false) {
        let text = text.hasSuffix(".") ? String(text.dropLast()) : String(text)
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 253,
            anyLabels || labels.count >= 3 && labels.prefix(2).allSatisfy({ $0.hasPrefix("_") }),
            labels.allSatisfy({ (1...63).contains($0.utf8.count) && $0.utf8.allSatisfy(DNSMessage.isOfHostName) })
        else { return nil }
        self.text = text.lowercased()
    }

    /// Whose service it is: the name without the service and the protocol.
    package var domain: String { text.split(separator: ".").dropFirst(2).joined(separator: ".") }

    /// Whether a host is the domain or in it.
    package func isHome(of host: String) -> Bool { host == domain || host.hasSuffix("." + domain) }

    package var description: String { text }
}

/// Where one instance of a service is (RFC 2782).
package struct ServiceRecord: Hashable, Sendable {
    package var priority: UInt16
    package var weight: UInt16
    package var port: UInt16
    /// In lower case, without the dot at its end.
    package var host: String

    package init(priority: UInt16, weight: UInt16, port: UInt16, host: String) {
        self.priority = priority
        self.weight = weight
        self.port = port
        self.host = host
    }
}
