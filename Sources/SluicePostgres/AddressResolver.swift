internal import Glibc
internal import SluiceReactor

/// Looks names up away from the reactors: libpq would block in DNS (10 s were seen with a dead resolver).
struct AddressResolver: Sendable {
    let workers: BlockingWorkers

    static func isNumeric(_ host: String) -> Bool {
        var address = in6_addr()
        return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
    }

    /// The numeric addresses of a name in the system's order of preference; empty if there are none.
    func addresses(of host: String) async throws(PostgresFailure) -> [String] {
        guard let found = await workers.run({ Self.lookUp(host) }) else {
            throw PostgresFailure(.unreachable, "too many name look-ups are under way")
        }
        return found
    }

    private static func lookUp(_ host: String) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [String] = []
        var next = list
        while let entry = next {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let result = getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            if result == 0 {
                let address = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                if !found.contains(address) { found.append(address) }
            }
            next = entry.pointee.ai_next
        }
        return found
    }
}
