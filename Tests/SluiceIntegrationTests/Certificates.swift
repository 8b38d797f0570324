import Foundation

/// Certificates made by `openssl` for a test, in a folder that is removed with it: `ca.pem`, `other-ca.pem`, and for
/// each name `NAME.pem` and `NAME.key`.
final class Certificates: Sendable {
    struct Failed: Error {
        var words: [String]
        var output: String
    }

    let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "sluice-tls-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        try authority("ca")
        try authority("other-ca")
        try certificate("server", "localhost", "DNS:localhost,IP:127.0.0.1", days: 30)
        try certificate("soon", "localhost", "DNS:localhost,IP:127.0.0.1", days: 5)
        try certificate("expired", "localhost", "DNS:localhost,IP:127.0.0.1", days: -1)
        try certificate("client", "mapped", "DNS:mapped", days: 30)
        // Servers that do not run as this user read their keys.
        try Shell.run(["chmod", "755", folder.path])
    }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    private static let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    func authority(_ name: String) throws {
        try Shell.run(
            ["openssl", "req", "-x509"] + Self.key + [
                "-keyout", path("\(name).key"), "-out", path("\(name).pem"), "-subj", "/CN=\(name)", "-days", "30",
            ])
    }

    /// Makes `NAME.pem` and `NAME.key`, instead of those that are there.
    /// - Parameter alternatives: like `DNS:localhost,IP:127.0.0.1`.
    func certificate(
        _ name: String, _ common: String, _ alternatives: String? = nil, days: Int = 30, by authority: String = "ca"
    ) throws {
        let names = alternatives.map { ["-addext", "subjectAltName=\($0)"] } ?? []
        try Shell.run(
            ["openssl", "req"] + Self.key + [
                "-keyout", path("\(name).key"), "-out", path("\(name).csr"), "-subj", "/O=Sluice/CN=\(common)",
            ] + names)
        try Shell.run([
            "openssl", "x509", "-req", "-in", path("\(name).csr"), "-CA", path("\(authority).pem"), "-CAkey",
            path("\(authority).key"), "-days", String(days), "-copy_extensions", "copy", "-out", path("\(name).pem"),
        ])
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }
}

/// A server in a process of its own.
final class Background: Sendable {
    private let process = Process()

    /// Returns once it has said these words on standard error.
    init(_ words: [String], environment: [String] = [], saying announcement: String) throws {
        let errors = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = environment + Shell.unprivileged + words
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        var said = ""
        while !said.contains(announcement) {
            let data = errors.fileHandleForReading.availableData
            guard !data.isEmpty else { throw Certificates.Failed(words: words, output: said) }
            said += String(decoding: data, as: UTF8.self)
        }
        Thread.detachNewThread { while !errors.fileHandleForReading.availableData.isEmpty {} }
    }

    /// - Parameter signal: a process that a test has started may have every other one blocked.
    func stop(_ signal: Int32 = SIGKILL) {
        kill(process.processIdentifier, signal)
        process.waitUntilExit()
    }
}

/// Programs of other people's.
enum Shell {
    /// Runs a program to its end and returns what it printed.
    @discardableResult
    static func run(_ words: [String], input: String = "") throws -> String {
        let process = Process()
        let (source, output) = (Pipe(), Pipe())
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = words
        process.standardInput = source
        process.standardOutput = output
        process.standardError = output
        try process.run()
        try source.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try source.fileHandleForWriting.close()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Certificates.Failed(words: words, output: text) }
        return text
    }

    /// PostgreSQL and PgBouncer refuse to run as root.
    static var unprivileged: [String] {
        geteuid() == 0 ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] : []
    }

    static func giveAway(_ paths: String...) throws {
        if geteuid() == 0 { try run(["chown", "-R", "nobody:nogroup"] + paths) }
    }

    /// A TCP port that nobody listens on.
    static func freePort() throws -> Int {
        let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(probe) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutableBytes(of: &address) { bytes in
            guard let pointer = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return }
            _ = bind(probe, pointer, length)
            _ = getsockname(probe, pointer, &length)
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
