internal import Glibc

/// The file that holds the tokens' hashes. It is replaced as a whole, so a reader never finds half of it.
package enum TokenFile {
    package struct Problem: Error, Sendable, CustomStringConvertible {
        package var path: String
        package var message: String

        package var description: String { "\(path): \(message)" }
    }

    private static let maximumBytes = 32 << 20

    /// - Returns: an empty table if there is no such file: then no token is valid.
    package static func read(_ path: String) throws(Problem) -> TokenTable {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if errno == ENOENT { return TokenTable() }
            throw Problem(path: path, message: "it cannot be read: \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & S_IWOTH == 0 else {
            throw Problem(path: path, message: "everybody may write to it; take that right away (chmod o-w)")
        }
        let text: String
        do throws(ConfigFile.Problem) {
            text = try ConfigFile.text(path: path, maximumBytes: maximumBytes)
        } catch {
            throw Problem(path: path, message: error.message)
        }
        do throws(TokenTable.Problem) {
            return try TokenTable(parsing: text)
        } catch {
            throw Problem(path: path, message: error.description)
        }
    }

    /// Changes the file while nobody else does. A new one is its owner's alone; an old one's owner and rights stay.
    package static func update<Result>(
        _ path: String, _ change: (inout TokenTable) throws(Problem) -> Result
    ) throws(Problem) -> Result {
        let lock = open(path + ".lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw failure(path, "its lock cannot be made") }
        defer { close(lock) }
        guard flock(lock, LOCK_EX) == 0 else { throw failure(path, "its lock cannot be had") }
        var table = try read(path)
        let result = try change(&table)
        try replace(path, with: table.text)
        return result
    }

    private static func replace(_ path: String, with text: String) throws(Problem) {
        let temporary = path + ".new"
        unlink(temporary)
        let descriptor = open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure(path, "a new version of it cannot be made") }
        var isDone = false
        defer {
            close(descriptor)
            if !isDone { unlink(temporary) }
        }
        var old = stat()
        if stat(path, &old) == 0 {
            guard fchown(descriptor, old.st_uid, old.st_gid) == 0, fchmod(descriptor, old.st_mode & 0o777) == 0 else {
                throw failure(path, "its owner and rights cannot be kept")
            }
        }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else {
                if count < 0, errno == EINTR { continue }
                throw failure(path, "a new version of it cannot be written")
            }
            bytes = bytes.dropFirst(count)
        }
        guard fsync(descriptor) == 0, rename(temporary, path) == 0 else {
            throw failure(path, "a new version of it cannot take its place")
        }
        isDone = true
    }

    private static func failure(_ path: String, _ what: String) -> Problem {
        Problem(path: path, message: "\(what): \(String(cString: strerror(errno)))")
    }
}
