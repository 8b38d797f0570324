internal import Foundation
internal import Hummingbird
internal import Logging
internal import SluiceGateway

/// `/api/v1/log-level`: what is logged just now, and from now on.
struct LogLevelRoute: Sendable {
    private struct Level: Codable {
        var level: String
    }

    let door: GatewayDoor

    func get() -> Response {
        guard let levels = door.logLevels else { return Self.missing }
        return Reply.json(.ok, Level(level: levels.level.rawValue))
    }

    func post(_ request: Request) async -> Response {
        guard let gateway = door.gateway else { return Reply.problem(.serviceUnavailable, AdminRoutes.away) }
        guard let levels = door.logLevels else { return Self.missing }
        guard let wanted = try? await request.json(as: Level.self), let level = Logger.Level(rawValue: wanted.level)
        else {
            let known = Logger.Level.allCases.map(\.rawValue).joined(separator: " ")
            return Reply.problem(.badRequest, #"the body must be like {"level": "debug"}; the levels are "# + known)
        }
        gateway.setLogLevel(level, of: levels)
        return Reply.json(.ok, Level(level: level.rawValue))
    }

    private static var missing: Response {
        Reply.problem(.notFound, "the application that runs this gateway decides what is logged")
    }
}

extension Request {
    /// The body, if it is a small one of the kind.
    /// - Throws: if it cannot be read.
    func json<Body: Decodable>(as: Body.Type) async throws -> Body? {
        let bytes = try await body.collect(upTo: 4_096)
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try? decoder.decode(Body.self, from: Data(bytes.readableBytesView))
    }
}
