internal import CLibpq

/// A libpq connection string, taken apart. Holds a password, so it has no description of its own to print.
public struct ConnectionString: Hashable, Sendable {
    /// libpq's keywords and values, without those that are not set.
    package var parameters: [String: String]

    /// - Parameter folder: what the paths of certificates, keys and password files are relative to; nil for the
    ///   process's own folder.
    /// - Throws: `PostgresFailure` of kind `unusable` that says what is wrong, without the string itself.
    public init(_ text: String, password: String? = nil, folder: String? = nil) throws(PostgresFailure) {
        var parsed: [String: String] = [:]
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(text, &message) else {
            PQfreemem(message)
            throw PostgresFailure(.unusable, "not a libpq connection string (key=value pairs or postgresql://…)")
        }
        defer { PQconninfoFree(options) }
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val, value.pointee != 0 {
                parsed[String(cString: keyword)] = String(cString: value)
            }
            option += 1
        }
        if let password { parsed["password"] = password }
        for key in ["host", "hostaddr", "port"] where parsed[key]?.contains(",") == true {
            throw PostgresFailure(.unusable, "a replica is one server, but \(key) lists several")
        }
        guard parsed["service"] == nil else {
            throw PostgresFailure(.unusable, "`service` names a file that libpq would read; give its keywords here")
        }
        if let folder {
            for key in Self.paths {
                guard let path = parsed[key], !path.hasPrefix("/"), key != "sslrootcert" || path != "system" else {
                    continue
                }
                parsed[key] = "\(folder)/\(path)"
            }
        }
        parameters = parsed
    }

    private static let paths = ["sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile"]

    /// Where it leads, for messages: `host:port/dbname`.
    public var target: String { "\(server)/\(parameters["dbname"] ?? "")" }

    /// `host:port`.
    package var server: String {
        "\(parameters["host"] ?? parameters["hostaddr"] ?? "localhost"):\(parameters["port"] ?? "5432")"
    }

    /// The role and the database there.
    package var login: [String?] { [parameters["user"], parameters["dbname"]] }

    /// The same server and login, whatever the password is.
    package var withoutPassword: ConnectionString {
        var other = self
        other.parameters["password"] = nil
        return other
    }

    /// PgBouncer's console, where this leads to one.
    public var console: ConnectionString {
        var console = self
        console.parameters["dbname"] = "pgbouncer"
        return console
    }

    public var hasPassword: Bool { parameters["password"] != nil }

    /// A text about this server without its password: a server that was given it may say it again.
    func withoutSecrets(_ text: String) -> String {
        guard let password = parameters["password"], !password.isEmpty else { return text }
        return text.split(separator: password, omittingEmptySubsequences: false).joined(separator: "<secret>")
    }

    /// The name to look up in DNS; nil if there is none, or it is an address or a socket's folder already.
    package var nameToResolve: String? {
        guard parameters["hostaddr"] == nil, let host = parameters["host"], !host.isEmpty else { return nil }
        let isAddress = host.hasPrefix("/") || host.hasPrefix("@") || AddressResolver.isNumeric(host)
        return isAddress ? nil : host
    }

    /// The parameters to dial with: what the caller wrote wins over these defaults, except the encoding.
    ///
    /// Keepalives of 1 s, 1 s and 3 probes and `tcp_user_timeout` end a connection into a black hole in about 4 s.
    /// - Parameters:
    ///   - applicationName: wins over what the caller wrote.
    ///   - isMissedSoon: the server finds out in 14 s that this machine has gone.
    package func dialling(
        address: String?, throughPooler: Bool, applicationName: String? = nil, isMissedSoon: Bool = false
    ) -> [(String, String)] {
        var result = [
            "application_name": "sluice", "keepalives": "1", "keepalives_idle": "1", "keepalives_interval": "1",
            "keepalives_count": "3", "tcp_user_timeout": "4000",
        ]
        // A pooler refuses start-up options; every name in our statements is qualified, so none is needed.
        if !throughPooler {
            let keepalives =
                " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3"
            result["options"] = "-c search_path=pg_catalog" + (isMissedSoon ? keepalives : "")
        }
        result.merge(parameters) { _, written in written }
        result["client_encoding"] = "UTF8"
        if let applicationName { result["application_name"] = applicationName }
        if let address { result["hostaddr"] = address }
        return result.sorted { $0.key < $1.key }
    }
}
