internal import Glibc

/// Reads small files that a configuration is made of. Not more of a file is read than it may have, whatever it is.
enum ConfigFile {
    struct Problem: Error {
        var message: String
        var line: Int?
    }

    static func text(path: String, maximumBytes: Int) throws(Problem) -> String {
        let bytes = try bytes(path: path, maximumBytes: maximumBytes)
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        throw Problem(message: "the file is not UTF-8", line: lineOfFirstError(bytes))
    }

    private static func bytes(path: String, maximumBytes: Int) throws(Problem) -> [UInt8] {
        guard !path.utf8.contains(0) else { throw Problem(message: "the path has a NUL in it") }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= maximumBytes {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure(errno)
            }
            bytes += chunk[..<count]
        }
        throw Problem(message: "the file has more than \(maximumBytes) bytes")
    }

    private static func failure(_ code: Int32) -> Problem {
        Problem(message: "the file cannot be read: \(String(cString: strerror(code)))")
    }

    private static func lineOfFirstError(_ bytes: [UInt8]) -> Int {
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var line = 1
        while case .scalarValue(let scalar) = decoder.decode(&iterator) { if scalar == "\n" { line += 1 } }
        return line
    }
}
