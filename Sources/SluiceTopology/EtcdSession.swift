internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import SluiceCore
internal import SluiceHTTP
internal import Synchronization

/// What etcd is asked by: as nobody, or with a token that it gives for a user's password, and that is renewed once it
/// is refused: tokens end, and an etcd that has started anew may not know them.
final class EtcdSession: Sendable {
    private struct State {
        var token: String?
        /// The password was refused: why, and when it is tried again.
        var refusal: (reason: UnreadableAnswer, until: Instant)?
    }

    private static let mostPasswordBytes = 4_096
    /// To look at a password costs etcd more than anything else that is asked here.
    private static let pause: Duration = .seconds(5)

    private let watch: ShardWatch
    private let credentials: TopologySettings.Credentials?
    private let state = Mutex(State())

    init(watch: ShardWatch, _ credentials: TopologySettings.Credentials?) {
        self.watch = watch
        self.credentials = credentials
    }

    static func headers(_ token: String?) -> HTTPHeaders {
        var headers = HTTPHeaders([("Content-Type", "application/json")])
        if let token { headers.add(name: "Authorization", value: token) }
        return headers
    }

    /// - Throws: in words, which are etcd's where it refuses.
    func ask(_ endpoint: HTTPEndpoint, _ path: String, _ body: ByteBuffer) async throws(UnreadableAnswer) -> [UInt8] {
        let token = try await token(endpoint)
        var answer = try await send(endpoint, path, body, token)
        // 401 for a token that it does not know, 400 for one from before a change of its users.
        if let token, answer.status == 401 || answer.status == 400 {
            forget(token)
            answer = try await send(endpoint, path, body, try await self.token(endpoint))
        }
        let bytes = Array(answer.body.readableBytesView)
        guard answer.status == 200 else { throw EtcdAnswer.refusal(answer.status, bytes) }
        return bytes
    }

    /// Nil where no user is configured.
    func token(_ endpoint: HTTPEndpoint) async throws(UnreadableAnswer) -> String? {
        guard let credentials else { return nil }
        let now = watch.now()
        let (known, refusal) = state.withLock { ($0.token, $0.refusal) }
        if let known { return known }
        if let refusal, now < refusal.until { throw refusal.reason }
        let password = try await Self.password(credentials.passwordFile)
        let body = ByteBuffer(bytes: EtcdAnswer.authentication(credentials.user, password))
        let answer = try await send(endpoint, "/v3/auth/authenticate", body, nil)
        let bytes = Array(answer.body.readableBytesView)
        guard answer.status == 200 else {
            let said = EtcdAnswer.refusal(answer.status, bytes)
            // Of anything else the password is innocent, and another endpoint may take it.
            guard [400, 401, 403].contains(answer.status) else { throw said }
            let reason = UnreadableAnswer("does not let the user \(MemberText.shown(credentials.user)) in: \(said)")
            state.withLock { $0.refusal = (reason, now.advanced(by: Self.pause)) }
            throw reason
        }
        let token = try EtcdAnswer.token(bytes)
        state.withLock { ($0.token, $0.refusal) = (token, nil) }
        return token
    }

    /// Unless it has been renewed already.
    private func forget(_ token: String) {
        state.withLock { if $0.token == token { $0.token = nil } }
    }

    private func send(
        _ endpoint: HTTPEndpoint, _ path: String, _ body: ByteBuffer, _ token: String?
    ) async throws(UnreadableAnswer) -> HTTPCall.Answer {
        try await watch.answer(endpoint, mostBytes: EtcdAnswer.mostBytes) { call throws(HTTPCall.Failure) in
            try await call.send(.POST, path, Self.headers(token), body: body)
        }
    }

    /// The first line of the file, which is read on a thread that may wait for a disk.
    private static func password(_ path: String) async throws(UnreadableAnswer) -> String {
        let contents: Result<[UInt8], UnreadableAnswer>
        do {
            contents = try await NIOThreadPool.singleton.runIfActive {
                Result { () throws(UnreadableAnswer) in try bytes(of: path) }
            }
        } catch {
            throw UnreadableAnswer("password_file cannot be read: \(error)")
        }
        let line = try contents.get().prefix { $0 != 0x0A && $0 != 0x0D }
        guard let password = String(validating: line, as: UTF8.self), !password.isEmpty else {
            throw UnreadableAnswer("password_file has no password in its first line")
        }
        return password
    }

    private static func bytes(of path: String) throws(UnreadableAnswer) -> [UInt8] {
        guard let file = fopen(path, "r") else {
            throw UnreadableAnswer("password_file cannot be read: \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: mostPasswordBytes)
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes.prefix(count))
    }
}
