internal import Glibc

/// Notices that files have changed, by looking at them now and then: what rotates certificates may write, rename or
/// swap a link (as Kubernetes does), and every one of these shows in what `stat` says of the path.
package struct FileWatch: Sendable {
    private struct Stamp: Hashable {
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int
    }

    private var stamps: [String: Stamp?] = [:]

    package init(_ paths: [String]) {
        for path in paths { stamps[path] = Self.stamp(of: path) }
    }

    /// These, too, as they are now.
    package mutating func watch(_ paths: [String]) {
        for path in paths where stamps[path] == nil { stamps[path] = .some(Self.stamp(of: path)) }
    }

    /// The files that are not what they were when they were looked at last.
    package mutating func changes() -> Set<String> {
        var changed: Set<String> = []
        for (path, known) in stamps {
            let found = Self.stamp(of: path)
            guard found != known else { continue }
            changed.insert(path)
            stamps[path] = .some(found)
        }
        return changed
    }

    private static func stamp(of path: String) -> Stamp? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Stamp(
            inode: UInt64(status.st_ino), size: Int64(status.st_size), seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec)
    }
}
