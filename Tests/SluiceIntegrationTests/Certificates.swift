import Foundation
import Testing

/// Certificates of an authority of a test's own, made by the `openssl` command, in a folder that goes with it.
struct Certificates {
    struct Failed: Error, CustomStringConvertible {
        var description: String
    }

    let folder: URL
    var authority: String { path("ca.crt") }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        try openssl(
            ["req", "-x509", "-newkey"] + Self.key + files("ca") + ["-days", "30", "-subj", "/CN=test authority"])
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    func path(_ name: String) -> String { folder.appending(path: name).path }

    /// Makes `NAME.crt` and `NAME.key`.
    /// - Parameter alternatives: like `DNS:localhost,IP:127.0.0.1`.
    func issue(_ name: String, commonName: String, alternatives: String? = nil, by authority: String = "ca") throws {
        let request = path("\(name).csr")
        try openssl(
            ["req", "-newkey"] + Self.key + [
                "-keyout", path("\(name).key"), "-out", request, "-subj", "/CN=\(commonName)",
            ])
        var words = [
            "x509", "-req", "-in", request, "-CA", path("\(authority).crt"), "-CAkey", path("\(authority).key"),
            "-days",
            "30", "-out", path("\(name).crt"),
        ]
        if let alternatives {
            let extensions = folder.appending(path: "\(name).ext")
            try Data("subjectAltName=\(alternatives)\n".utf8).write(to: extensions)
            words += ["-extfile", extensions.path]
        }
        try openssl(words)
    }

    /// An authority that nobody believes.
    func makeStranger() throws {
        try openssl(
            ["req", "-x509", "-newkey"] + Self.key + files("stranger") + ["-days", "30", "-subj", "/CN=stranger"])
    }

    private static let key = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    private func files(_ name: String) -> [String] { ["-keyout", path("\(name).key"), "-out", path("\(name).crt")] }

    private func openssl(_ words: [String]) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["openssl"] + words
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let said = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failed(description: String(decoding: said, as: UTF8.self)) }
    }
}
