internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import SluiceGateway
internal import SluiceMetrics

/// A request with where it came from.
struct AdminContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let peer: SocketAddress?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        peer = source.channel.remoteAddress
    }
}

/// What each path gives. docs/operations.md is the reference.
struct AdminRoutes: Sendable {
    let door: GatewayDoor
    let registry: MetricsRegistry

    var router: Router<AdminContext> {
        let router = Router(context: AdminContext.self)
        router.get("/") { _, _ in Self.page(PageText.html, "text/html; charset=utf-8") }
        router.get("page.css") { _, _ in Self.page(PageText.css, "text/css; charset=utf-8") }
        router.get("page.js") { _, _ in Self.page(PageText.script, "text/javascript; charset=utf-8") }
        router.get("livez") { _, _ in Reply.text(.ok, "ok\n") }
        router.get("readyz") { _, _ in await readiness() }
        router.get("readyz/:collection") { _, context in await readiness(of: context.parameters.get("collection")) }
        router.get("metrics") { request, _ in await metrics(accepting: request.headers[.accept]) }
        router.get("api/v1/state") { _, _ in await state() }
        router.get("api/v1/journal") { _, _ in journal() }
        router.get("api/v1/frame") { _, _ in await frame() }
        router.get("api/v1/live") { _, _ in live() }
        let logLevel = LogLevelRoute(door: door)
        router.get("api/v1/log-level") { _, _ in logLevel.get() }
        let actions = router.group("api/v1").add(middleware: OperatorsOnly(door: door))
        actions.post("reload") { _, _ in await reload() }
        actions.post("log-level") { request, _ in await logLevel.post(request) }
        for action in ReplicaAction.allCases {
            actions.post("shards/:shard/replicas/:replica/\(action.rawValue)") { request, context in
                await perform(action, request, context)
            }
        }
        return router
    }

    static let away = "the gateway is starting, or has stopped"

    // MARK: Reading

    private struct Readiness: Encodable {
        var ready: Bool
        var collections: [String: Bool]
    }

    /// Whether every collection can be searched whole.
    private func readiness() async -> Response {
        guard let state = await door.gateway?.state() else { return Reply.text(.serviceUnavailable, Self.away + "\n") }
        let collections = Dictionary(state.collections.map { ($0.name, $0.isReady) }) { first, _ in first }
        return Reply.json(
            state.isReady ? .ok : .serviceUnavailable, Readiness(ready: state.isReady, collections: collections))
    }

    private func readiness(of name: String?) async -> Response {
        guard let state = await door.gateway?.state() else { return Reply.text(.serviceUnavailable, Self.away + "\n") }
        guard let collection = state.collections.first(where: { $0.name == name }) else {
            return Reply.problem(.notFound, "there is no such collection")
        }
        let isReady = collection.isReady && !state.isDraining
        return Reply.text(isReady ? .ok : .serviceUnavailable, isReady ? "ready\n" : "not ready\n")
    }

    private func metrics(accepting: String?) async -> Response {
        let format = MetricFormat(accepting: accepting)
        let sampled = (await door.gateway?.state())?.families ?? []
        let families = (registry.families + sampled).sorted { $0.name < $1.name }
        return Reply.text(.ok, format.text(families), as: format.mediaType)
    }

    private func state() async -> Response {
        guard let state = await door.gateway?.state() else { return Reply.problem(.serviceUnavailable, Self.away) }
        return Reply.json(.ok, state)
    }

    private func journal() -> Response {
        guard let gateway = door.gateway else { return Reply.problem(.serviceUnavailable, Self.away) }
        return Reply.json(.ok, gateway.journal)
    }

    private var feed: LiveFeed { LiveFeed(door: door, registry: registry) }

    private func live() -> Response {
        guard door.gateway?.isDraining == false else { return Reply.problem(.serviceUnavailable, Self.away) }
        return feed.response()
    }

    private func frame() async -> Response {
        guard let gateway = door.gateway, let frame = await feed.frame(of: gateway) else {
            return Reply.problem(.serviceUnavailable, Self.away)
        }
        return Reply.json(.ok, frame)
    }

    /// Nothing on it comes from elsewhere, and nothing of elsewhere may show it.
    private static func page(_ text: String, _ type: String) -> Response {
        var response = Reply.text(.ok, text, as: type)
        response.headers[.contentSecurityPolicy] =
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            + "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        return response
    }

    // MARK: Changing

    private func reload() async -> Response {
        switch await door.reload() {
        case .taken: Reply.json(.ok, ["result": "reloaded"])
        case .refused(let reasons): Reply.json(.unprocessableContent, ["problems": reasons])
        }
    }

    private func perform(_ action: ReplicaAction, _ request: Request, _ context: AdminContext) async -> Response {
        guard let gateway = door.gateway else { return Reply.problem(.serviceUnavailable, Self.away) }
        let (shard, replica) = (context.parameters.get("shard") ?? "", context.parameters.get("replica") ?? "")
        do {
            try await gateway.perform(try await action.order(request), shard: shard, replica: replica)
            return Reply.json(.ok, ["result": "done"])
        } catch let refusal as ActionRefusal {
            switch refusal {
            case .unknownReplica: return Reply.problem(.notFound, "\(refusal)")
            case .size: return Reply.problem(.unprocessableContent, "\(refusal)")
            case .stopped: return Reply.problem(.serviceUnavailable, "\(refusal)")
            }
        } catch let malformed as ReplicaAction.Malformed {
            return Reply.problem(.badRequest, malformed.reason)
        } catch {
            return Reply.problem(.badRequest, "the body cannot be read")
        }
    }
}

/// Lets through what comes from this machine, was not sent by a page of another origin, and may administer.
private struct OperatorsOnly: RouterMiddleware {
    typealias Context = AdminContext

    let door: GatewayDoor

    func handle(
        _ request: Request, context: AdminContext,
        next: @concurrent (Request, AdminContext) async throws -> Response
    ) async throws -> Response {
        guard context.peer?.isLoopback == true else {
            return Reply.problem(.forbidden, "only from the gateway's own machine")
        }
        // A browser sends a form's types to anywhere without asking; not this one.
        guard request.headers[.contentType]?.hasPrefix("application/json") == true else {
            return Reply.problem(.unsupportedMediaType, "send it with `Content-Type: application/json`")
        }
        // Who may is known once the gateway is there.
        guard let gateway = door.gateway else { return Reply.problem(.serviceUnavailable, AdminRoutes.away) }
        guard gateway.mayAdminister(token: Self.token(request)) else {
            return Reply.problem(
                .unauthorized, "this needs `Authorization: Bearer TOKEN`, of an identity that may `admin` in `*`")
        }
        return try await next(request, context)
    }

    private static func token(_ request: Request) -> String? {
        let words = request.headers[.authorization]?.split(separator: " ") ?? []
        guard words.count == 2, words[0].lowercased() == "bearer" else { return nil }
        return String(words[1])
    }
}

/// The last word of an action's path.
private enum ReplicaAction: String, CaseIterable {
    case drain
    case undrain
    case resize
    case reconnect
    case openBreaker = "open-breaker"
    case closeBreaker = "close-breaker"

    struct Malformed: Error {
        var reason: String
    }

    private struct Size: Decodable {
        var minSize: Int
        var maxSize: Int
    }

    private struct Time: Decodable {
        var seconds: Double?
    }

    /// With what the body says.
    func order(_ request: Request) async throws -> GatewayAction {
        switch self {
        case .drain: return .drain
        case .undrain: return .undrain
        case .reconnect: return .reconnect
        case .closeBreaker: return .closeBreaker
        case .resize:
            guard let size = try await request.json(as: Size.self) else {
                throw Malformed(reason: #"the body must be like {"min_size": 2, "max_size": 8}"#)
            }
            return .resize(minSize: size.minSize, maxSize: size.maxSize)
        case .openBreaker:
            guard let time = try await request.json(as: Time.self),
                time.seconds.map({ (0...Self.longestTime).contains($0) }) != false
            else { throw Malformed(reason: #"the body must be like {"seconds": 30}, of at most a year, or {}"#) }
            return .openBreaker(for: time.seconds.map { .seconds($0) })
        }
    }

    private static let longestTime = 366 * 86_400.0
}

enum Reply {
    static func text(
        _ status: HTTPResponse.Status, _ text: String, as type: String = "text/plain; charset=utf-8"
    ) -> Response {
        // What is true now only.
        Response(
            status: status,
            headers: [.contentType: type, .cacheControl: "no-store", .xContentTypeOptions: "nosniff"],
            body: .init(byteBuffer: ByteBuffer(string: text)))
    }

    static func json(_ status: HTTPResponse.Status, _ value: some Encodable) -> Response {
        guard let data = try? encoder.encode(value) else {
            return problem(.internalServerError, "the answer cannot be written")
        }
        return text(status, String(decoding: data, as: UTF8.self) + "\n", as: "application/json")
    }

    static func problem(_ status: HTTPResponse.Status, _ reason: String) -> Response {
        json(status, ["error": reason])
    }

    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        return encoder
    }
}

extension SocketAddress {
    var isLoopback: Bool {
        guard let ip = ipAddress else { return false }
        return ip == "::1" || ip.hasPrefix("127.") || ip.hasPrefix("::ffff:127.")
    }
}
