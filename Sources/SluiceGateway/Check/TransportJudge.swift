package import SluicePostgres

/// Judges how a server is reached. Pure.
package enum TransportJudge {
    /// A certificate that is good for fewer days is worth a warning.
    private static let fewDays: Int64 = 21

    /// - Parameter now: in seconds since 1970 (UTC).
    package static func finding(_ transport: TransportFacts, shard: String, replica: String, now: Int64) -> Finding? {
        func finding(_ severity: Finding.Severity, _ message: String) -> Finding {
            Finding(severity, .transport, shard: shard, replica: replica, message)
        }
        guard let encryption = transport.encryption else {
            if transport.isLocal { return nil }
            return finding(
                .warning,
                "the connection is plain: whoever is on the way can read it; say sslmode=verify-full and "
                    + "sslrootcert=FILE in the dsn")
        }
        guard let certificate = encryption.certificate else { return nil }
        let days = daysLeft(of: certificate, now: now)
        if certificate.expiry < now {
            return finding(
                .error, "the server's certificate (\(certificate.subject)) has expired \(-days) days ago; renew it")
        }
        guard days < fewDays else { return nil }
        return finding(
            .warning, "the server's certificate (\(certificate.subject)) expires in \(days) days; renew it")
    }

    /// Whole days; negative once it has expired.
    package static func daysLeft(of certificate: TransportFacts.Certificate, now: Int64) -> Int64 {
        let seconds = certificate.expiry - now
        return seconds >= 0 ? seconds / 86_400 : -((-seconds + 86_399) / 86_400)
    }
}
