package import NIOCore

/// What /etc/resolv.conf says of whom to ask.
package struct NameServers: Hashable, Sendable {
    /// As many as a resolver looks at.
    private static let most = 3
    private static let port = 53

    package var servers: [SocketAddress]
    /// How long each may take.
    package var timeout: TimeAmount
    /// How often they are gone through.
    package var attempts: Int

    package init(servers: [SocketAddress], timeout: TimeAmount = .seconds(2), attempts: Int = 2) {
        self.servers = servers
        self.timeout = timeout
        self.attempts = attempts
    }

    /// Lines that are not understood are skipped, as resolvers do. Without a server it is the one on this machine.
    package init(configuration text: String) {
        self.init(servers: [])
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace)
            if words.first == "nameserver", words.count >= 2, servers.count < Self.most {
                if let server = try? SocketAddress(ipAddress: String(words[1]), port: Self.port) {
                    servers.append(server)
                }
            } else if words.first == "options" {
                for word in words.dropFirst() { takeOption(word) }
            }
        }
        if servers.isEmpty, let local = try? SocketAddress(ipAddress: "127.0.0.1", port: Self.port) {
            servers = [local]
        }
    }

    private mutating func takeOption(_ word: Substring) {
        let parts = word.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, let value = Int(parts[1]) else { return }
        switch parts[0] {
        // Patience of a command line's kind would be too much for whoever has deadlines.
        case "timeout": timeout = .seconds(Int64(min(max(1, value), 5)))
        case "attempts": attempts = min(max(1, value), 3)
        default: break
        }
    }
}
