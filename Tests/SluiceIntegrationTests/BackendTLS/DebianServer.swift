import Foundation
import SluicePostgres
import SluiceReactor
import Synchronization

/// Debian's own PostgreSQL, which has TLS (the one with pgvector has none), with a data folder of its own.
///
/// Role `postgres` has the password `geheim` and needs TLS; `mapped` needs a client certificate of that name.
final class DebianServer: Sendable {
    struct Missing: Error, CustomStringConvertible {
        let description = "there is no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql"
    }

    static let password = "geheim"

    let port: Int
    private let programs: URL
    private let data: String
    private let certificates: Certificates
    private let process = Mutex<Background?>(nil)

    /// Returns once it accepts connections.
    init(_ certificates: Certificates) async throws {
        let root = URL(filePath: "/usr/lib/postgresql")
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root.path)) ?? []
        guard let newest = versions.compactMap({ Int($0) }).max() else { throw Missing() }
        programs = root.appending(path: "\(newest)/bin")
        data = certificates.path("data")
        port = try Shell.freePort()
        self.certificates = certificates
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: false)
        let secret = certificates.path("password")
        try Data("\(Self.password)\n".utf8).write(to: URL(filePath: secret))
        for name in ["server", "soon", "expired"] { try Shell.run(["chmod", "600", certificates.path("\(name).key")]) }
        try Shell.giveAway(data, secret)
        for name in ["server", "soon", "expired"] { try Shell.giveAway(certificates.path("\(name).key")) }
        try run(
            "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8",
            "--no-locale", "--no-sync")
        let rules = """
            hostssl all mapped 127.0.0.1/32 cert
            hostssl all postgres 127.0.0.1/32 scram-sha-256
            """
        let file = certificates.path("rules")
        try Data(rules.utf8).write(to: URL(filePath: file))
        try Shell.run(["chmod", "644", file])
        try start("server")
        let reactor = try Reactor(name: "debian")
        let connection = try await PostgresConnection.connect(
            settings("sslmode=require"), on: reactor, deadline: Reactor.now() + 10_000_000_000, onClose: {})
        try await connection.run(script: ["CREATE ROLE mapped LOGIN"], deadline: Reactor.now() + 10_000_000_000)
        await connection.close()
        reactor.stop()
    }

    /// Returns once it accepts connections.
    /// - Parameter certificate: the name of the one that it shows.
    func start(_ certificate: String) throws {
        let options = [
            "port=\(port)", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "ssl=on",
            "ssl_cert_file=\(certificates.path("\(certificate).pem"))",
            "ssl_key_file=\(certificates.path("\(certificate).key"))", "ssl_ca_file=\(certificates.path("ca.pem"))",
            "hba_file=\(certificates.path("rules"))",
        ]
        let words = [programs.appending(path: "postgres").path, "-D", data] + options.flatMap { ["-c", $0] }
        let started = try Background(words, saying: "ready to accept connections")
        process.withLock { $0 = started }
    }

    /// At once, children included.
    func stop() { process.withLock { $0 }?.stop(SIGQUIT) }

    @discardableResult
    private func run(_ program: String, _ words: String...) throws -> String {
        try Shell.run(Shell.unprivileged + [programs.appending(path: program).path] + words)
    }

    func settings(
        _ words: String, user: String = "postgres", host: String = "hostaddr=127.0.0.1"
    ) throws
        -> ConnectionSettings
    {
        let workers = BlockingWorkers(limit: 4)
        var settings = ConnectionSettings(
            target: try ConnectionString(
                "\(host) port=\(port) dbname=postgres user=\(user) \(words)",
                password: user == "postgres" ? Self.password : nil, folder: certificates.folder.path),
            isPooled: false, resolver: AddressResolver(workers: workers), cancels: CancelAllowance(workers: workers),
            dials: DialAllowance(workers: BlockingWorkers(limit: 2)))
        settings.needsVector = false
        return settings
    }
}
