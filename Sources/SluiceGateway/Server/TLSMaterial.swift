internal import Logging
internal import NIOCore
internal import NIOSSL
internal import Synchronization

/// The certificate and key that the TLS listener shows, and whose client certificates it believes. New files are for
/// new sessions; those that are open keep what they shook hands with.
final class TLSMaterial: Sendable {
    struct Unusable: Error, CustomStringConvertible {
        let what: String
        let path: String
        let reason: String

        var description: String { "tls.\(what): \(path) cannot be used: \(reason)" }
    }

    private struct State {
        var settings: GatewayConfig.TLS
        var context: NIOSSLContext
        var expires: Int64?
    }

    private let state: Mutex<State>

    /// - Throws: `Unusable`.
    init(_ settings: GatewayConfig.TLS) throws {
        let (context, expires) = try Self.context(settings)
        state = Mutex(State(settings: settings, context: context, expires: expires))
    }

    var files: [String] { state.withLock(\.settings).files }

    /// When the certificate ends, in seconds since 1970.
    var expires: Int64? { state.withLock(\.expires) }

    /// Reads the files anew, or others.
    /// - Throws: `Unusable`; what was there before stays in use.
    func reload(_ settings: GatewayConfig.TLS? = nil) throws {
        let settings = settings ?? state.withLock(\.settings)
        let (context, expires) = try Self.context(settings)
        state.withLock { $0 = State(settings: settings, context: context, expires: expires) }
    }

    func handler() -> NIOSSLServerHandler { NIOSSLServerHandler(context: state.withLock(\.context)) }

    private static func context(_ settings: GatewayConfig.TLS) throws -> (NIOSSLContext, Int64?) {
        let chain = try reading("certificate", settings.certificate) { try NIOSSLCertificate.fromPEMFile($0) }
        guard let own = chain.first else {
            throw Unusable(what: "certificate", path: settings.certificate, reason: "it holds no certificate")
        }
        let key = try reading("key", settings.key) { try NIOSSLPrivateKey(file: $0, format: .pem) }
        var tls = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        tls.minimumTLSVersion = settings.minimumVersion == .tls13 ? .tlsv13 : .tlsv12
        if let path = settings.clientAuthority {
            let authorities = try reading("client_ca", path) { try NIOSSLCertificate.fromPEMFile($0) }
            tls.trustRoots = .certificates(authorities)
            tls.certificateVerification =
                settings.clientCertificates == .required ? .noHostnameVerification : .optionalVerification
        }
        let context = try reading("key", settings.key) { _ in try NIOSSLContext(configuration: tls) }
        let expires = (try? own.toDERBytes()).flatMap { CertificateFacts(der: $0) }?.expires
        return (context, expires)
    }

    private static func reading<Value>(_ what: String, _ path: String, _ read: (String) throws -> Value) throws -> Value
    {
        do {
            return try read(path)
        } catch {
            throw Unusable(what: what, path: path, reason: reason(error))
        }
    }

    private static func reason(_ error: any Error) -> String {
        if let error = error as? IOError { return "\(error)" }
        if let error = error as? NIOSSLError, case .failedToLoadCertificate = error {
            return "it is no PEM certificate"
        }
        if let error = error as? NIOSSLError, case .failedToLoadPrivateKey = error { return "it is no PEM key" }
        return "is the key that of the certificate? (\(error))"
    }
}

extension GatewayConfig.TLS {
    var files: [String] { [certificate, key] + [clientAuthority].compactMap(\.self) }
}
