internal import Logging
internal import NIOSSL
internal import Synchronization

/// What a source is asked with by TLS. Its files are looked at before each question: those that are new are used, and
/// those that are broken are tried again; what was in use before is until then.
final class SourceTLS: Sendable {
    private struct State {
        var files: FileWatch
        var context: NIOSSLContext?
        var isCurrent = false
        var logged: String?
    }

    private let certificates: TopologySettings.Certificates
    private let logger: Logger
    private let state: Mutex<State>

    init(_ certificates: TopologySettings.Certificates, logger: Logger) {
        self.certificates = certificates
        self.logger = logger
        let paths = [certificates.authority, certificates.certificate, certificates.key].compactMap(\.self)
        state = Mutex(State(files: FileWatch(paths)))
    }

    /// - Throws: if there are none that could ever be used.
    func context() throws(UnreadableAnswer) -> NIOSSLContext {
        let found = state.withLock { state in
            if !state.files.changes().isEmpty { state.isCurrent = false }
            if !state.isCurrent {
                do {
                    state.context = try certificates.context
                    (state.isCurrent, state.logged) = (true, nil)
                } catch {
                    let reason = "\(error)"
                    if state.logged != reason {
                        logger.error("the certificates of the topology source cannot be used: \(reason)")
                    }
                    state.logged = reason
                }
            }
            return state.context
        }
        guard let found else { throw UnreadableAnswer("the certificates that it is asked with cannot be used") }
        return found
    }
}

extension TopologySettings.Certificates {
    fileprivate var context: NIOSSLContext {
        get throws {
            var configuration = TLSConfiguration.makeClientConfiguration()
            if let authority { configuration.trustRoots = .file(authority) }
            if let certificate, let key {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate)
                    .map { .certificate($0) }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            }
            return try NIOSSLContext(configuration: configuration)
        }
    }
}
