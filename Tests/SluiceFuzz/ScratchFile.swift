import Foundation

/// A file in memory, for readers that take a path. It is written anew for each input and goes with the process.
final class ScratchFile {
    let path: String

    /// - Parameter ending: what readers tell the format by.
    init(ending: String) throws(FuzzFinding) {
        let folder = FileManager.default.fileExists(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
        path = "\(folder)/sluice-fuzz-\(getpid())-\(UUID().uuidString).\(ending)"
    }

    deinit { unlink(path) }

    func write(_ bytes: UnsafeRawBufferPointer) throws(FuzzFinding) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FuzzFinding("\(path) cannot be written") }
        defer { close(descriptor) }
        guard bytes.isEmpty || Glibc.write(descriptor, bytes.baseAddress, bytes.count) == bytes.count else {
            throw FuzzFinding("\(path) cannot be written as a whole")
        }
    }
}
