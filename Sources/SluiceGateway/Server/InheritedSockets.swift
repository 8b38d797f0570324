internal import Glibc
internal import NIOCore

/// Listening sockets that whoever started the gateway has opened for it, as sd_listen_fds(3) has it: systemd, or what
/// starts a new version that takes over while the old one drains. Clients find the place occupied all the time.
///
/// Their names in `LISTEN_FDNAMES` say what they are for: `tcp`, `tls` or `unix`.
package struct InheritedSockets: Sendable {
    package struct Unusable: Error, CustomStringConvertible {
        let reason: String
        package var description: String { "the sockets that LISTEN_FDS announces cannot be used: \(reason)" }
    }

    /// SD_LISTEN_FDS_START.
    package static let firstDescriptor: Int32 = 3
    private static let most = 16

    private var descriptors: [ListenerKind: Int32] = [:]

    /// None.
    package init() {}

    /// - Parameters:
    ///   - environment: the process's.
    ///   - process: its id; sockets that are meant for another one are left alone.
    ///   - first: the first descriptor.
    package init(
        environment: [String: String], process: Int32 = getpid(), first: Int32 = Self.firstDescriptor
    ) throws(Unusable) {
        guard environment["LISTEN_PID"].flatMap({ Int32($0) }) == process, let announced = environment["LISTEN_FDS"]
        else { return }
        guard let count = Int(announced), (0...Self.most).contains(count) else {
            throw Unusable(reason: "it is not a number from 0 to \(Self.most)")
        }
        let names = (environment["LISTEN_FDNAMES"] ?? "").split(separator: ":", omittingEmptySubsequences: false)
        for place in 0..<count {
            guard names.indices.contains(place), let kind = ListenerKind(rawValue: String(names[place])) else {
                throw Unusable(reason: "LISTEN_FDNAMES has to name each of them: tcp, tls or unix")
            }
            guard descriptors[kind] == nil else { throw Unusable(reason: "two of them are named \(kind.rawValue)") }
            let descriptor = first + Int32(place)
            try Self.check(descriptor, kind)
            descriptors[kind] = descriptor
        }
    }

    subscript(kind: ListenerKind) -> Int32? { descriptors[kind] }

    /// Where the gateway listens if it was given any: there, and nowhere else.
    package var addresses: GatewayConfig.Listen? {
        guard !descriptors.isEmpty else { return nil }
        return .init(tcp: descriptors[.tcp].map(Self.hostPort), tls: descriptors[.tls].map(Self.hostPort))
    }

    /// - Throws: if one is for TLS, and there is no certificate to show there.
    func check(_ config: GatewayConfig) throws(Unusable) {
        guard descriptors[.tls] == nil || config.tls != nil else {
            throw Unusable(reason: "one is for TLS, and the configuration has no `tls` with a certificate")
        }
    }

    private static func check(_ descriptor: Int32, _ kind: ListenerKind) throws(Unusable) {
        guard option(SO_ACCEPTCONN, of: descriptor) == 1, option(SO_TYPE, of: descriptor) == Int32(SOCK_STREAM.rawValue)
        else { throw Unusable(reason: "the one named \(kind.rawValue) is no stream socket that listens") }
        let isUnix = option(SO_DOMAIN, of: descriptor) == AF_UNIX
        guard isUnix == (kind == .unix) else {
            throw Unusable(reason: "the one named \(kind.rawValue) is \(isUnix ? "a Unix" : "no Unix") socket")
        }
        // Nothing that this process starts is to have it.
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    private static func option(_ name: Int32, of descriptor: Int32) -> Int32? {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, name, &value, &size) == 0 ? value : nil
    }

    /// An address that cannot be read counts as one that everybody reaches.
    private static func hostPort(_ descriptor: Int32) -> GatewayConfig.HostPort {
        var storage = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let address = withUnsafeMutablePointer(to: &storage) { pointer -> SocketAddress? in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> SocketAddress? in
                guard getsockname(descriptor, address, &size) == 0 else { return nil }
                switch Int32(address.pointee.sa_family) {
                case AF_INET:
                    return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { SocketAddress($0.pointee) }
                case AF_INET6:
                    return address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { SocketAddress($0.pointee) }
                default: return nil
                }
            }
        }
        return .init(host: address?.ipAddress ?? "::", port: address?.port ?? 0)
    }
}
