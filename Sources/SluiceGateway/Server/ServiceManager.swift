internal import Glibc

/// Tells whoever has started the gateway what it is doing: a datagram to the socket that `NOTIFY_SOCKET` names, as
/// sd_notify(3) has it. Without that variable nobody asked.
struct ServiceManager: Sendable {
    /// How long a manager may let it wait.
    private static let patienceSeconds = 1

    private let path: String?

    init(environment: [String: String]) { path = environment["NOTIFY_SOCKET"] }

    func isServing() { say("READY=1\nSTATUS=serving") }

    /// Until the next `isServing`.
    func isReloading() {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        say("RELOADING=1\nMONOTONIC_USEC=\(Int(now.tv_sec) * 1_000_000 + Int(now.tv_nsec) / 1_000)")
    }

    func isStopping() { say("STOPPING=1\nSTATUS=finishing what is in flight") }

    private func say(_ message: String) {
        guard let path, path.hasPrefix("/") || path.hasPrefix("@") else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { room in
            room.copyBytes(from: path.utf8)
            // An abstract name (unix(7)).
            if room[0] == UInt8(ascii: "@") { room[0] = 0 }
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var patience = timeval(tv_sec: Self.patienceSeconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        let length = MemoryLayout<sa_family_t>.size + path.utf8.count
        let bytes = Array(message.utf8)
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, socklen_t(length))
            }
        }
    }
}
