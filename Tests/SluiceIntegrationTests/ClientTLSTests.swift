import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import SluiceClient
import SluiceGateway
import SluiceWire
import Testing

extension PostgreSQL {
    /// TLS between clients and the gateway.
    @Suite(.serialized) struct ClientTLS {
        private static let identities = """
                - {name: app, certificates: ["DNS:app.example"], collections: {"*": [search]}}
                - {name: other, certificates: ["CN:other"], collections: {libraries: [search]}}
                - {name: token, collections: {"*": [search]}}

            """

        private func withTLS(
            limits: String = "{}",
            clients: GatewayConfig.TLS.ClientCertificates? = nil,
            alternatives: String = "DNS:localhost,IP:127.0.0.1", minimum: GatewayConfig.TLS.Version = .tls12,
            _ body: (GuardedGateway, Certificates) async throws -> Void
        ) async throws {
            let certificates = try Certificates()
            defer { certificates.remove() }
            try certificates.certificate("server", "gateway", alternatives)
            var tls = GatewayConfig.TLS(
                certificate: certificates.path("server.pem"), key: certificates.path("server.key"))
            if let clients {
                tls.clientAuthority = certificates.path("ca.pem")
                tls.clientCertificates = clients
            }
            tls.minimumVersion = minimum
            try await GuardedGateway.with(try Replicas(), identities: Self.identities, limits: limits, tls: tls) {
                try await body($0, certificates)
            }
        }

        private static func trusting(_ certificates: Certificates, own: String? = nil) -> SluiceClient.TLS {
            var tls = SluiceClient.TLS()
            tls.authorities = certificates.path("ca.pem")
            tls.certificate = own.map { certificates.path("\($0).pem") }
            tls.key = own.map { certificates.path("\($0).key") }
            return tls
        }

        private static func search(_ client: SluiceClient, _ collection: String = "programs") async throws {
            let query = SearchQuery(collections: [collection], vector: Array(repeating: 0.5, count: 384), k: 3)
            #expect(try await client.search(query).hits.count == 3)
        }

        @Test func aWholeSearchGoesThroughTLS() async throws {
            try await withTLS { guarded, certificates in
                let token = try await guarded.token("token").revealed
                let tls = Self.trusting(certificates)
                let client = try await guarded.connect(token, at: guarded.tlsAddress, tls: tls)
                try await Self.search(client)
                await client.close()
                let named = guarded.tlsAddress.replacing("127.0.0.1", with: "localhost")
                await (try await guarded.connect(token, at: named, tls: tls)).close()
                // An authority that it does not know.
                #expect(
                    await code { _ = try await guarded.connect(token, at: guarded.tlsAddress, tls: .init()) }
                        == .connectionLost)
            }
        }

        @Test func aCertificateOfAnotherNameIsRefused() async throws {
            try await withTLS(alternatives: "DNS:gateway.example") { guarded, certificates in
                let token = try await guarded.token("token").revealed
                var tls = Self.trusting(certificates)
                tls.serverName = "gateway.example"
                await (try await guarded.connect(token, at: guarded.tlsAddress, tls: tls)).close()
                for name in ["elsewhere.example", nil] {
                    tls.serverName = name
                    let wrong = tls
                    #expect(
                        await code { _ = try await guarded.connect(token, at: guarded.tlsAddress, tls: wrong) }
                            == .connectionLost)
                }
            }
        }

        @Test func aCertificatesNameIsAnIdentity() async throws {
            try await withTLS(clients: .optional) { guarded, certificates in
                try certificates.certificate("app", "whatever", "DNS:app.example,DNS:x.example")
                try certificates.certificate("other", "other")
                try certificates.certificate("unknown", "unknown")
                let app = try await guarded.connect(
                    nil, at: guarded.tlsAddress, tls: Self.trusting(certificates, own: "app"))
                try await Self.search(app)
                let other = try await guarded.connect(
                    nil, at: guarded.tlsAddress, tls: Self.trusting(certificates, own: "other"))
                #expect(try await other.collections().map(\.name) == ["libraries"])
                #expect(await code { try await Self.search(other) } == .permissionDenied)
                for own in ["unknown", nil] {
                    let tls = Self.trusting(certificates, own: own)
                    #expect(
                        await code { _ = try await guarded.connect(nil, at: guarded.tlsAddress, tls: tls) }
                            == .unauthenticated)
                }
                // One of another authority is no name at all.
                try certificates.certificate("forged", "other", by: "other-ca")
                let tls = Self.trusting(certificates, own: "forged")
                #expect(
                    await code { _ = try await guarded.connect(nil, at: guarded.tlsAddress, tls: tls) }
                        == .connectionLost)
                await app.close()
                await other.close()
            }
        }

        @Test func whereOneIsRequiredNobodyComesWithoutACertificate() async throws {
            try await withTLS(clients: .required) { guarded, certificates in
                let token = try await guarded.token("token").revealed
                #expect(
                    await code {
                        let tls = Self.trusting(certificates)
                        _ = try await guarded.connect(token, at: guarded.tlsAddress, tls: tls)
                    } == .connectionLost)
                try certificates.certificate("other", "other")
                let tls = Self.trusting(certificates, own: "other")
                // A token decides before the certificate.
                let client = try await guarded.connect(token, at: guarded.tlsAddress, tls: tls)
                try await Self.search(client)
                await client.close()
            }
        }

        @Test func newCertificatesAreForNewSessionsAndOldSessionsGoOn() async throws {
            try await withTLS { guarded, certificates in
                let token = try await guarded.token("token").revealed
                let tls = Self.trusting(certificates)
                let client = try await guarded.connect(token, at: guarded.tlsAddress, tls: tls)
                try await Self.search(client)
                let old = try await serial(guarded, certificates)
                try certificates.certificate("next", "gateway", "IP:127.0.0.1")
                for kind in ["key", "pem"] {
                    try FileManager.default.removeItem(atPath: certificates.path("server.\(kind)"))
                    try FileManager.default.copyItem(
                        atPath: certificates.path("next.\(kind)"), toPath: certificates.path("server.\(kind)"))
                }
                let limit = ContinuousClock.now + .seconds(3)
                while try await serial(guarded, certificates) == old, .now < limit {}
                #expect(try await serial(guarded, certificates) != old)
                try await Self.search(client)
                // What cannot be used changes nothing.
                try Data("nonsense".utf8).write(to: URL(filePath: certificates.path("server.pem")))
                try guarded.revoke(try #require(Token(token.utf8)))
                while await code(of: { try await client.ping(timeout: .seconds(5)) }) == nil {}
                #expect(try await serial(guarded, certificates) != old)
                await client.close()
            }
        }

        /// The certificate that a new session is shown, in DER.
        private func serial(_ guarded: GuardedGateway, _ certificates: Certificates) async throws -> [UInt8] {
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(certificates.path("ca.pem")))
            return try await shown(guarded, configuration).certificate
        }

        private func shown(
            _ guarded: GuardedGateway, _ configuration: TLSConfiguration
        ) async throws -> (certificate: [UInt8], version: String) {
            let context = try NIOSSLContext(configuration: configuration)
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let handler = try NIOSSLClientHandler(context: context, serverHostname: nil)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                }
                .connect(host: "127.0.0.1", port: guarded.gateway.tlsAddress?.port ?? 0).get()
            // Has left only when the handshake is over.
            do { try await channel.writeAndFlush(ByteBuffer(bytes: Preface.bytes)).get() } catch {
                try? await channel.close().get()
                throw error
            }
            let certificate = try await channel.nioSSL_peerCertificate().get()?.toDERBytes()
            let version = try await channel.nioSSL_tlsVersion().get()
            try? await channel.close().get()
            return (try #require(certificate), "\(try #require(version))")
        }

        @Test func oldVersionsOfTLSAreRefused() async throws {
            func configuration(_ certificates: Certificates, _ version: TLSVersion) throws -> TLSConfiguration {
                var configuration = TLSConfiguration.makeClientConfiguration()
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(certificates.path("ca.pem")))
                configuration.minimumTLSVersion = version
                configuration.maximumTLSVersion = version
                return configuration
            }
            try await withTLS { guarded, certificates in
                var newest = try configuration(certificates, .tlsv13)
                newest.minimumTLSVersion = .tlsv1
                newest.maximumTLSVersion = nil
                #expect(try await shown(guarded, newest).version == "tlsv13")
                #expect(try await shown(guarded, try configuration(certificates, .tlsv12)).version == "tlsv12")
                let old = try configuration(certificates, .tlsv11)
                await #expect(throws: (any Error).self) { try await shown(guarded, old) }
            }
            try await withTLS(minimum: .tls13) { guarded, certificates in
                let old = try configuration(certificates, .tlsv12)
                await #expect(throws: (any Error).self) { try await shown(guarded, old) }
            }
        }

        /// Sockets that stop in the middle of the TLS handshake are sessions without HELLO like others.
        @Test(.timeLimit(.minutes(1)), arguments: [0, 9, 64]) func halfAHandshake(bytes: Int) async throws {
            try await withTLS(limits: "{handshake_timeout: 2s, max_unauthenticated: 500}") { guarded, certificates in
                let token = try await guarded.token("token").revealed
                let port = try #require(guarded.gateway.tlsAddress?.port)
                // A record of 200 bytes that is to be a ClientHello.
                let hello: [UInt8] = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3] + Array(repeating: 7, count: 100)
                let sockets = try await onThread {
                    try (0..<2_000).map { number in
                        let socket = try HostileSocket(port: port, from: number.isMultiple(of: 2) ? 2 : 3)
                        socket.send(Array(hello.prefix(bytes)))
                        return socket
                    }
                }
                let began = ContinuousClock.now
                let client = try await guarded.connect(
                    token, at: guarded.tlsAddress, tls: Self.trusting(certificates))
                try await Self.search(client)
                #expect(ContinuousClock.now - began < .seconds(1))
                let ends = try await onThread { sockets.map { $0.takeAll(within: 10_000) != nil } }
                #expect(ends.allSatisfy { $0 })
                try await client.ping()
                await client.close()
            }
        }

        @Test func plainBytesAtTheTLSListenerAreNoSession() async throws {
            try await withTLS { guarded, _ in
                let plain = guarded.tlsAddress.replacing("sluice+tls", with: "sluice")
                #expect(await code { _ = try await guarded.connect(nil, at: plain) } == .protocolViolation)
            }
        }
    }
}
