/// Where a source is asked, as `http://HOST:PORT` or `https://HOST:PORT`.
package struct HTTPEndpoint: Hashable, Sendable, CustomStringConvertible {
    package var isEncrypted: Bool
    package var host: String
    package var port: Int

    package init?(_ text: String) {
        let rest: Substring
        if text.hasPrefix("http://") {
            (isEncrypted, rest) = (false, text.dropFirst("http://".count))
        } else if text.hasPrefix("https://") {
            (isEncrypted, rest) = (true, text.dropFirst("https://".count))
        } else {
            return nil
        }
        let (host, port) = Self.split(rest.hasSuffix("/") ? rest.dropLast() : rest)
        guard MemberText.isHost(host), let port = UInt16(port), port > 0 else { return nil }
        (self.host, self.port) = (host, Int(port))
    }

    /// `HOST:PORT`, `[IPv6]:PORT`, or without the port.
    static func split(_ authority: Substring) -> (host: String, port: String) {
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            let rest = authority[authority.index(after: end)...]
            return (String(authority.dropFirst()[..<end]), rest.hasPrefix(":") ? String(rest.dropFirst()) : "")
        }
        guard let colon = authority.firstIndex(of: ":") else { return (String(authority), "") }
        return (String(authority[..<colon]), String(authority[authority.index(after: colon)...]))
    }

    /// What one is called where no addresses are shown: by its place in the configuration.
    static func name(_ place: Int) -> String { "endpoints[\(place)]" }

    package var description: String {
        "\(isEncrypted ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
}
