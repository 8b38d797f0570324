import Foundation
import Logging
import NIOCore
import SluiceClient
import SluiceCore
import SluiceGateway
import Testing

/// A gateway with identities and a file of tokens.
struct GuardedGateway: Sendable {
    let gateway: Gateway
    let folder: URL
    private let tokensPath: String

    /// - Parameter identities: the section's list, indented by four; a file of tokens is configured besides.
    static func with(
        _ replicas: Replicas, identities: String, limits: String = "{}", extra: String = "",
        extraCollections: String = "",
        throughPoolers: Bool = false, samples: Bool = true, tls: GatewayConfig.TLS? = nil,
        _ body: (GuardedGateway) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let tokens = folder.appending(path: "tokens").path
        let access = "access:\n  tokens: \(tokens)\n  identities:\n\(identities)"
        var config = try replicas.config(
            limits: limits, extraCollections: extraCollections, extra: extra + access, throughPoolers: throughPoolers,
            samples: samples)
        config.listen.unixPath = folder.appending(path: "s").path
        if let tls {
            config.tls = tls
            config.listen.tls = .init(host: "127.0.0.1", port: 0)
        }
        let gateway = try await Gateway.start(config, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let guarded = GuardedGateway(gateway: gateway, folder: folder, tokensPath: tokens)
        do {
            try await body(guarded)
        } catch {
            await gateway.shutDown()
            throw error
        }
        await gateway.shutDown()
    }

    var address: String { "sluice://127.0.0.1:\(gateway.tcpAddress?.port ?? 0)" }
    var tlsAddress: String { "sluice+tls://127.0.0.1:\(gateway.tlsAddress?.port ?? 0)" }
    var unixAddress: String { "sluice+unix://\(folder.path)/s" }

    /// A new token that the gateway knows of already.
    func token(_ identity: String, lifetime: Int64? = nil) async throws -> Token {
        let token = try Token.random()
        let now = Int64(Date().timeIntervalSince1970)
        let entry = TokenEntry(
            id: token.id, identity: identity, hash: try TokenHash(of: token), created: now,
            expires: lifetime.map { now + $0 })
        try TokenFile.update(tokensPath) { (table) throws(TokenFile.Problem) in table.add(entry) }
        try await connect(token.revealed, patiently: true).close()
        return token
    }

    func revoke(_ token: Token) throws {
        _ = try TokenFile.update(tokensPath) { (table) throws(TokenFile.Problem) in table.remove(token.id) }
    }

    /// - Parameter isPatient: try until the gateway has read the tokens anew.
    func connect(
        _ token: String?, at address: String? = nil, tls: SluiceClient.TLS = .init(), patiently isPatient: Bool = false
    ) async throws -> SluiceClient {
        var options = SluiceClient.Options()
        options.token = token.map { SluiceClient.Token($0) }
        options.tls = tls
        let limit = ContinuousClock.now + .seconds(3)
        while true {
            do throws(SluiceError) {
                return try await SluiceClient.connect(address ?? self.address, options: options)
            } catch {
                guard isPatient, error.code == .unauthenticated, .now < limit else { throw error }
            }
        }
    }

    func withClient(
        _ identity: String, _ body: (SluiceClient) async throws -> Void
    ) async throws {
        let client = try await connect(try await token(identity).revealed)
        try await body(client)
        await client.close()
    }
}

/// The code of a call's error; nil if it has none.
func code(of body: () async throws -> Void) async -> SluiceError.Code? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? SluiceError)?.code
    }
}
