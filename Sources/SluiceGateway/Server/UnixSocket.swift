internal import Glibc

/// The file of a Unix socket: whether another gateway listens on it, and whether it is still the one we bound.
struct UnixSocket: Sendable {
    struct Taken: Error, CustomStringConvertible {
        let path: String
        var description: String { "another process listens on \(path); stop it, or give this gateway another path" }
    }

    private struct Identity: Hashable {
        var device: UInt64
        var inode: UInt64
    }

    let path: String
    private let identity: Identity?

    /// After it was bound.
    init(bound path: String) {
        self.path = path
        identity = Self.identity(of: path)
    }

    /// Removes the file, unless somebody else has put another one there since.
    func remove() {
        guard let identity, Self.identity(of: path) == identity else { return }
        unlink(path)
    }

    /// - Throws: `Taken` if somebody accepts connections there. A file that a dead process left is no hindrance.
    static func checkIsFree(_ path: String) throws(Taken) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        if result == 0 { throw Taken(path: path) }
    }

    private static func identity(of path: String) -> Identity? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }
}
