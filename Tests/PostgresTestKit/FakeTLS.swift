import COpenSSL
import Foundation

/// A certificate with which the fake server speaks TLS.
///
/// `@unchecked Sendable`: OpenSSL's context is not changed after it was made, and may then be used from any thread.
public final class FakeTLS: @unchecked Sendable {
    private let context: OpaquePointer

    /// - Parameters:
    ///   - certificate: a file in PEM form.
    ///   - key: a file in PEM form.
    public init(certificate: String, key: String) throws {
        guard let context = SSL_CTX_new(TLS_server_method()),
            SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) == 1,
            SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1
        else { throw FakePostgres.Ended() }
        self.context = context
        // OpenSSL writes to sockets whose other side has gone.
        signal(SIGPIPE, SIG_IGN)
    }

    deinit { SSL_CTX_free(context) }

    /// Blocks until the handshake is done.
    func accept(_ socket: Int32) throws -> Session {
        guard let session = SSL_new(context), SSL_set_fd(session, socket) == 1, SSL_accept(session) == 1 else {
            throw FakePostgres.Ended()
        }
        return Session(session)
    }

    /// On its connection's thread only.
    final class Session {
        private let session: OpaquePointer

        init(_ session: OpaquePointer) { self.session = session }

        func read(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
            Int(SSL_read(session, buffer.baseAddress, Int32(clamping: buffer.count)))
        }

        func write(_ buffer: UnsafeRawBufferPointer) -> Int {
            Int(SSL_write(session, buffer.baseAddress, Int32(clamping: buffer.count)))
        }

        func end() { _ = SSL_shutdown(session) }

        deinit { SSL_free(session) }
    }
}
