import Foundation
import SluiceAdmin
import Synchronization
import Testing

/// The `sluice` binary, as its users have it.
enum Binary {
    struct Outcome {
        var code: Int32
        var output: String
        var errors: String

        /// What the command printed, as JSON.
        func json() throws -> [String: Any] {
            try #require(JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
        }
    }

    /// Beside the tests' own binary, where the build puts both; or where SLUICE_BINARY says.
    static let url =
        ProcessInfo.processInfo.environment["SLUICE_BINARY"].map { URL(filePath: $0) }
        ?? URL(filePath: ProcessInfo.processInfo.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
        .appending(path: "sluice")

    /// - Parameter environment: besides the tests' own.
    static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Outcome {
        let process = Process()
        let (output, errors) = (Pipe(), Pipe())
        process.executableURL = url
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let printed = output.fileHandleForReading.readDataToEndOfFile()
        let complained = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Outcome(
            code: process.terminationStatus, output: String(decoding: printed, as: UTF8.self),
            errors: String(decoding: complained, as: UTF8.self))
    }
}

/// `sluice serve` in a process of its own, on a Unix socket in a folder of its own.
final class RealGateway: Sendable {
    struct Silent: Error, CustomStringConvertible {
        var log: String
        var description: String { "the gateway ended before it served:\n\(log)" }
    }

    let folder: URL
    private let process = Process()
    private let text = Mutex("")
    private let chunks = AsyncStream.makeStream(of: Void.self)

    var log: String { text.withLock { $0 } }
    var address: String { "sluice+unix://\(folder.path)/s" }
    var pid: Int32 { process.processIdentifier }

    /// Becomes the gateway, with its standard input as the socket `tcp`: Foundation hands down no other descriptor.
    static let handing = """
        import os, sys
        os.dup2(0, 3)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="tcp", LISTEN_PID=str(os.getpid()))
        os.execv(sys.argv[1], sys.argv[1:])
        """

    /// Returns once it serves.
    /// - Parameters:
    ///   - config: the configuration without `listen` and `admin`.
    ///   - hasAdmin: with an admin server.
    ///   - socket: one that listens, and that the gateway is given instead of its own.
    init(
        _ config: String, environment: [String: String] = [:], hasAdmin: Bool = false,
        socket: Int32? = nil
    ) async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        let file = folder.appending(path: "gateway.yaml")
        let admin = hasAdmin ? "tcp: \"127.0.0.1:0\"" : "enabled: false"
        let places = "listen: {unix: \(folder.path)/s, tcp: \"127.0.0.1:0\"}\nadmin: {\(admin)}\n"
        try Data("\(places)\(config)\n".utf8).write(to: file)
        let errors = Pipe()
        let command = ["serve", "--config", file.path]
        process.executableURL = socket == nil ? Binary.url : URL(filePath: "/usr/bin/env")
        process.arguments = socket == nil ? command : ["python3", "-c", Self.handing, Binary.url.path] + command
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = socket.map { FileHandle(fileDescriptor: $0) } ?? FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        Thread.detachNewThread { [self] in follow(errors.fileHandleForReading) }
        for await _ in chunks.stream where log.contains("listening=") { return }
        throw Silent(log: log)
    }

    /// Collects the log until its end. A thread, because Foundation's `readabilityHandler` on Linux now and then loses
    /// the end of a pipe, or crashes on it.
    private func follow(_ handle: FileHandle) {
        while true {
            let data = handle.availableData
            if data.isEmpty { return chunks.continuation.finish() }
            text.withLock { $0 += String(decoding: data, as: UTF8.self) }
            chunks.continuation.yield()
        }
    }

    /// The TCP port that the log names.
    var port: Int? {
        log.firstMatch(of: /listening=\S*127\.0\.0\.1:(\d+)/).flatMap { Int($0.1) }
    }

    /// The admin server, if there is one.
    var admin: AdminClient? {
        log.firstMatch(of: /page=http:\/\/127\.0\.0\.1:(\d+)/).flatMap { Int($0.1) }.map {
            AdminClient(host: "127.0.0.1", port: $0)
        }
    }

    /// One command of the CLI against this gateway.
    func run(_ arguments: String...) throws -> Binary.Outcome {
        try Binary.run(arguments + ["--gateway", address])
    }

    func terminate() { process.terminate() }

    /// SIGTERM, and the exit code. All that it has logged is in `log` afterwards.
    func stop() async -> Int32 {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
        for await _ in chunks.stream {}
        try? FileManager.default.removeItem(at: folder)
        return process.terminationStatus
    }
}

/// Runs the body against a gateway of its own, which must end well.
func withRealGateway(
    _ config: String, environment: [String: String] = [:], hasAdmin: Bool = false,
    _ body: (RealGateway) async throws -> Void
) async throws {
    let gateway = try await RealGateway(config, environment: environment, hasAdmin: hasAdmin)
    do {
        try await body(gateway)
    } catch {
        _ = await gateway.stop()
        throw error
    }
    #expect(await gateway.stop() == 0, "\(gateway.log)")
}

extension Replicas {
    /// Shards and collections for `sluice serve`; connection strings by the replica.
    func text(
        extra: String = "", dsn: (Topology.Shard.Replica) -> String? = { "host=127.0.0.1 port=\($0.port)" }
    ) -> String {
        let shards = topology.shards.map { shard in
            let list = shard.replicas.compactMap { replica in
                dsn(replica).map {
                    "      - {name: \(replica.name), dsn: \"\($0) dbname=sluice user=sluice\", "
                        + "password_file: \(topology.passwordFile)}\n"
                }
            }
            return "  - name: \(shard.name)\n    replicas:\n" + list.joined()
        }
        let columns = "[name, section, priority, installed_kib]"
        return """
            shards:
            \(shards.joined())
            collections:
              - {name: programs, table: programs, metric: cosine, dimensions: 384, columns: \(columns)}
              - {name: libraries, table: libraries, metric: cosine, dimensions: 384, columns: \(columns)}
            \(extra)
            """
    }
}
