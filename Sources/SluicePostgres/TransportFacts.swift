internal import CLibpq
internal import COpenSSL
internal import Glibc
internal import Synchronization

/// How a connection reaches its server.
public struct TransportFacts: Hashable, Sendable {
    public struct Encryption: Hashable, Sendable {
        /// As OpenSSL names it: `TLSv1.3`.
        public var version: String
        public var cipher: String
        /// The server's.
        public var certificate: Certificate?
        /// SCRAM has proved that nobody stands between; nil if the server asked for no password.
        public var usesChannelBinding: Bool?

        public init(version: String, cipher: String, certificate: Certificate?, usesChannelBinding: Bool?) {
            self.version = version
            self.cipher = cipher
            self.certificate = certificate
            self.usesChannelBinding = usesChannelBinding
        }
    }

    public struct Certificate: Hashable, Sendable {
        /// Such as `CN=db.example.com`.
        public var subject: String
        /// The last moment that it is good for, in seconds since 1970 (UTC).
        public var expiry: Int64

        public init(subject: String, expiry: Int64) {
            self.subject = subject
            self.expiry = expiry
        }
    }

    /// A Unix socket, or an address of this machine's own.
    public var isLocal: Bool
    /// Nil for a plain connection.
    public var encryption: Encryption?

    public init(isLocal: Bool, encryption: Encryption? = nil) {
        self.isLocal = isLocal
        self.encryption = encryption
    }
}

/// How one server was reached last.
public final class TransportRecord: Sendable {
    private let last = Mutex<TransportFacts?>(nil)

    public init() {}

    /// Nil before a connection has been made.
    public var facts: TransportFacts? { last.withLock { $0 } }

    func note(_ facts: TransportFacts) { last.withLock { $0 = facts } }
}

extension TransportFacts {
    /// - Parameters:
    ///   - connection: a connection that has been made.
    ///   - binding: whether SCRAM has bound it to its channel.
    init(of connection: OpaquePointer?, binding: Bool?) {
        let address = PQhostaddr(connection).map { String(cString: $0) } ?? ""
        let host = PQhost(connection).map { String(cString: $0) } ?? ""
        isLocal = host.hasPrefix("/") || host.hasPrefix("@") || address == "::1" || address.hasPrefix("127.")
        guard PQsslInUse(connection) != 0 else { return }
        func attribute(_ name: String) -> String {
            PostgresConnection.oneLine(PQsslAttribute(connection, name))
        }
        encryption = Encryption(
            version: attribute("protocol"), cipher: attribute("cipher"),
            certificate: Self.tls(of: connection).flatMap(Certificate.init(of:)), usesChannelBinding: binding)
    }

    /// OpenSSL's handle; nil of a plain connection.
    static func tls(of connection: OpaquePointer?) -> OpaquePointer? {
        PQsslStruct(connection, "OpenSSL").map { OpaquePointer($0) }
    }
}

extension TransportFacts.Certificate {
    fileprivate init?(of tls: OpaquePointer) {
        guard let certificate = SSL_get1_peer_certificate(tls) else { return nil }
        defer { X509_free(certificate) }
        guard let expiry = Self.expiry(of: certificate) else { return nil }
        self.expiry = expiry
        subject = Self.text(of: X509_get_subject_name(certificate))
    }

    /// - Parameter certificate: an `X509`.
    /// - Returns: in seconds since 1970 (UTC); nil if it has no such time.
    package static func expiry(of certificate: OpaquePointer) -> Int64? {
        var time = tm()
        guard ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) == 1 else { return nil }
        return Int64(timegm(&time))
    }

    /// RFC 2253's form in the certificate's own order, and in UTF-8: ASN1_STRFLGS_ESC_2253, _ESC_CTRL, _UTF8_CONVERT,
    /// _DUMP_UNKNOWN, _DUMP_DER and XN_FLAG_SEP_COMMA_PLUS of OpenSSL's headers.
    private static let nameFlags: UInt = 0x1_0313

    /// Without control characters, which the name may have.
    private static func text(of name: OpaquePointer?) -> String {
        guard let memory = BIO_new(BIO_s_mem()) else { return "" }
        defer { BIO_free(memory) }
        guard X509_NAME_print_ex(memory, name, 0, nameFlags) >= 0 else { return "" }
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = BIO_read(memory, &bytes, Int32(bytes.count))
        return PostgresConnection.readable(String(decoding: bytes.prefix(Int(max(0, count))), as: UTF8.self))
    }
}
