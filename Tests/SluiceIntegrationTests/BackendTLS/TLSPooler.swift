import Foundation

/// PgBouncer, which speaks TLS for a server that does not.
final class TLSPooler: Sendable {
    let port: Int
    private let process: Background

    /// Returns once it listens.
    /// - Parameter server: the port of a local server with a role `sluice`.
    init(_ certificates: Certificates, server: Int, password: String) throws {
        port = try Shell.freePort()
        let (users, settings) = (certificates.path("users"), certificates.path("pgbouncer.ini"))
        try Data("\"sluice\" \"\(password)\"\n".utf8).write(to: URL(filePath: users))
        let text = """
            [databases]
            sluice = host=127.0.0.1 port=\(server) dbname=sluice
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = \(port)
            unix_socket_dir =
            auth_type = scram-sha-256
            auth_file = \(users)
            pool_mode = transaction
            default_pool_size = 4
            client_tls_sslmode = require
            client_tls_key_file = \(certificates.path("server.key"))
            client_tls_cert_file = \(certificates.path("server.pem"))
            """
        try Data(text.utf8).write(to: URL(filePath: settings))
        for file in [users, settings, certificates.path("server.key")] {
            try Shell.run(["chmod", "600", file])
            try Shell.giveAway(file)
        }
        process = try Background(["pgbouncer", settings], environment: ["PATH=\(Self.path)"], saying: "process up")
    }

    /// Debian puts it where only root's PATH leads.
    private static let path = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin") + ":/usr/sbin:/usr/local/sbin"

    func stop() { process.stop() }
}
