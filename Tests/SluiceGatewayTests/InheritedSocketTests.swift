import Glibc
import SluiceGateway
import Testing

/// Sockets that are open before the gateway is.
@Suite struct InheritedSocketTests {
    private enum Kind { case listening, bound, datagram, unix }

    /// Closed with it.
    private final class Descriptor {
        let number: Int32
        private(set) var port = 0

        init(_ kind: Kind) throws {
            let type = Int32((kind == .datagram ? SOCK_DGRAM : SOCK_STREAM).rawValue)
            number = socket(kind == .unix ? AF_UNIX : AF_INET, type, 0)
            try #require(number >= 0)
            guard kind != .unix else {
                // An abstract name that the kernel chooses (unix(7)).
                var family = sockaddr_un()
                family.sun_family = sa_family_t(AF_UNIX)
                let result = withUnsafePointer(to: &family) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, 2) }
                }
                try #require(result == 0 && listen(number, 8) == 0)
                return
            }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let result = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(number, $0, size) == 0 && getsockname(number, $0, &size) == 0
                }
            }
            try #require(result)
            port = Int(UInt16(bigEndian: address.sin_port))
            if kind == .listening { try #require(listen(number, 8) == 0) }
        }

        deinit { close(number) }
    }

    private func sockets(
        _ first: Int32, _ names: String?, count: String = "1", process: String? = nil
    ) throws -> InheritedSockets {
        var environment = ["LISTEN_FDS": count, "LISTEN_PID": process ?? "\(getpid())"]
        environment["LISTEN_FDNAMES"] = names
        return try InheritedSockets(environment: environment, first: first)
    }

    @Test func theGatewayListensThereAndNowhereElse() throws {
        let (tcp, unix) = (try Descriptor(.listening), try Descriptor(.unix))
        let there = try #require(try sockets(tcp.number, "tcp").addresses)
        #expect(there.tcp == .init(host: "127.0.0.1", port: tcp.port))
        #expect(there.tls == nil && there.unixPath == nil)
        #expect(try sockets(tcp.number, "tls").addresses?.tls?.port == tcp.port)
        let file = try #require(try sockets(unix.number, "unix").addresses)
        #expect(file.tcp == nil && file.tls == nil && file.unixPath == nil)
    }

    @Test func whatIsForAnotherProcessIsLeftAlone() throws {
        let tcp = try Descriptor(.listening)
        #expect(try sockets(tcp.number, "tcp", process: "1").addresses == nil)
        #expect(try sockets(tcp.number, "tcp", process: "").addresses == nil)
        #expect(try sockets(tcp.number, nil, count: "0").addresses == nil)
        #expect(try InheritedSockets(environment: [:]).addresses == nil)
    }

    @Test func whatCannotBeUsedIsSaid() throws {
        let (tcp, bound, datagram, unix) = (
            try Descriptor(.listening), try Descriptor(.bound), try Descriptor(.datagram), try Descriptor(.unix)
        )
        for names in [nil, "", "http", "tcp2", ":tcp"] {
            #expect(throws: InheritedSockets.Unusable.self) { try sockets(tcp.number, names) }
        }
        for count in ["-1", "17", "99999999999999999999", "x", ""] {
            #expect(throws: InheritedSockets.Unusable.self) { try sockets(tcp.number, "tcp", count: count) }
        }
        for descriptor in [bound.number, datagram.number, unix.number, 1_000_000] {
            #expect(throws: InheritedSockets.Unusable.self) { try sockets(descriptor, "tcp") }
        }
        #expect(throws: InheritedSockets.Unusable.self) { try sockets(tcp.number, "unix") }
    }

    @Test func severalStandInARow() throws {
        let (tcp, tls) = (try Descriptor(.listening), try Descriptor(.listening))
        // Where nobody else's are.
        let first = fcntl(tcp.number, F_DUPFD, 900)
        let second = fcntl(tls.number, F_DUPFD, 900)
        defer {
            close(first)
            close(second)
        }
        try #require(second == first + 1)
        #expect(throws: InheritedSockets.Unusable.self) { try sockets(first, "tcp:tcp", count: "2") }
        #expect(throws: InheritedSockets.Unusable.self) { try sockets(first, "tcp", count: "2") }
        let there = try #require(try sockets(first, "tcp:tls", count: "2").addresses)
        #expect(there.tcp?.port == tcp.port && there.tls?.port == tls.port)
    }
}
