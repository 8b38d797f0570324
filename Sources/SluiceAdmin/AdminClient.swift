internal import NIOCore
internal import NIOHTTP1
internal import SluiceHTTP

/// Asks a gateway's admin server.
public struct AdminClient: Sendable {
    public struct Answer: Sendable {
        public var status: Int
        public var type: String
        public var body: String
    }

    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    public var host: String
    public var port: Int
    /// Of an identity that may administer; nil where there are no identities.
    public var token: String?

    public init(host: String, port: Int, token: String? = nil) {
        self.host = host
        self.port = port
        self.token = token
    }

    /// - Parameter accept: the media type that is wanted.
    /// - Throws: `Failure`.
    public func get(_ path: String, accept: String? = nil) async throws -> Answer {
        var headers = HTTPHeaders()
        if let accept { headers.add(name: "Accept", value: accept) }
        return try await ask(.GET, path, headers)
    }

    /// - Parameter json: the body.
    /// - Throws: `Failure`.
    public func post(_ path: String, json: String = "{}") async throws -> Answer {
        var headers = HTTPHeaders([("Content-Type", "application/json")])
        if let token { headers.add(name: "Authorization", value: "Bearer \(token)") }
        return try await ask(.POST, path, headers, json)
    }

    private func ask(
        _ method: HTTPMethod, _ path: String, _ headers: HTTPHeaders, _ body: String = ""
    ) async throws(Failure) -> Answer {
        do throws(HTTPCall.Failure) {
            let answer = try await HTTPCall(host: host, port: port)
                .send(method, path, headers, body: ByteBuffer(string: body))
            return Answer(
                status: answer.status, type: answer.headers.first(name: "Content-Type") ?? "",
                body: String(buffer: answer.body))
        } catch {
            throw Failure(description: error.description)
        }
    }
}
