import Foundation
import Glibc
import Synchronization

/// A headless Chromium with one page, driven over pipes by the DevTools protocol
/// (https://chromedevtools.github.io/devtools-protocol): messages in JSON, each ended by a zero byte.
final class Chromium: Sendable {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// What every message may have.
    private struct Head: Decodable {
        var id: Int?
        var method: String?
    }

    private struct Answer<Result: Decodable>: Decodable {
        struct Problem: Decodable { var message: String }
        var result: Result?
        var error: Problem?
    }

    /// What is kept of the events.
    private struct Event: Decodable {
        struct Request: Decodable { var url: String }
        struct Entry: Decodable {
            var level: String
            var text: String
        }
        struct Exception: Decodable { var text: String }
        struct Parameters: Decodable {
            var type: String?
            var request: Request?
            var entry: Entry?
            var exceptionDetails: Exception?
        }
        var params: Parameters
    }

    private struct State {
        var count = 0
        var waiting: [Int: CheckedContinuation<Data?, Never>] = [:]
        var isOver = false
        var session: String?
        var complaints: [String] = []
        var requests: [String] = []
    }

    /// Nil if there is none here.
    static let program: URL? = {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        return folders.map { URL(filePath: String($0)).appending(path: "chromium") }
            .first { FileManager.default.isExecutableFile(atPath: $0.path) }
    }()

    /// Foundation hands down no descriptors but these three.
    private static let handing = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null"

    /// A laptop's.
    private static let (width, height) = (1366, 768)

    private let process = Process()
    private let folder: URL
    private let input = Pipe()
    private let output = Pipe()
    private let ended = AsyncStream.makeStream(of: Void.self)
    private let state = Mutex(State())

    /// Errors and warnings that the page's console has.
    var complaints: [String] { state.withLock(\.complaints) }
    /// What the page has asked for.
    var requests: [String] { state.withLock(\.requests) }

    /// Starts one, runs the body, and ends it.
    static func with(_ body: (Chromium) async throws -> Void) async throws {
        let chromium = try Chromium()
        do {
            try await chromium.open()
            try await body(chromium)
        } catch {
            await chromium.stop()
            throw error
        }
        await chromium.stop()
    }

    private init() throws {
        guard let program = Self.program else {
            throw Failure(description: "there is no `chromium` in PATH: it is in Debian's package chromium")
        }
        signal(SIGPIPE, SIG_IGN)
        folder = FileManager.default.temporaryDirectory.appending(path: "sluice-chromium-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        let log = folder.appending(path: "log")
        try Data().write(to: log)
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = [
            "-c", Self.handing, "chromium", program.path, "--headless=new", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--user-data-dir=\(folder.path)/profile", "--remote-debugging-pipe",
            "--window-size=\(Self.width),\(Self.height)", "--no-first-run", "--disable-background-networking",
            "--lang=en-US",
            "about:blank",
        ]
        process.standardInput = input
        process.standardOutput = output
        process.standardError = try FileHandle(forWritingTo: log)
        try process.run()
        Thread.detachNewThread { [self] in follow(output.fileHandleForReading) }
    }

    private func open() async throws {
        struct Targets: Decodable {
            struct Target: Decodable {
                var type: String
                var targetId: String
            }
            var targetInfos: [Target]
        }
        struct Session: Decodable { var sessionId: String }
        let targets: Targets = try await call("Target.getTargets")
        guard let page = targets.targetInfos.first(where: { $0.type == "page" }) else {
            throw Failure(description: "Chromium has no page")
        }
        let session: Session = try await call("Target.attachToTarget", ["targetId": page.targetId, "flatten": true])
        state.withLock { $0.session = session.sessionId }
        for domain in ["Page", "Runtime", "Network", "Log"] { try await tell("\(domain).enable") }
        try await tell(
            "Emulation.setDeviceMetricsOverride",
            ["width": Self.width, "height": Self.height, "deviceScaleFactor": 1, "mobile": false])
    }

    /// By its own pid. Its other processes end with it, and its profile is thrown away.
    private func stop() async {
        kill(process.processIdentifier, SIGKILL)
        for await _ in ended.stream {}
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: folder)
    }

    // MARK: Messages

    /// Until Chromium has gone. A thread, because it waits.
    private func follow(_ handle: FileHandle) {
        var unread = Data()
        while case let data = handle.availableData, !data.isEmpty {
            unread += data
            while let end = unread.firstIndex(of: 0) {
                take(Data(unread[..<end]))
                unread = Data(unread[(end + 1)...])
            }
        }
        let waiting = state.withLock { state in
            state.isOver = true
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for each in waiting { each.resume(returning: nil) }
        ended.continuation.finish()
    }

    private func take(_ message: Data) {
        guard let head = try? JSONDecoder().decode(Head.self, from: message) else { return }
        guard let id = head.id else { return note(head.method ?? "", message) }
        state.withLock { $0.waiting.removeValue(forKey: id) }?.resume(returning: message)
    }

    private func note(_ method: String, _ message: Data) {
        guard let event = try? JSONDecoder().decode(Event.self, from: message).params else { return }
        state.withLock { state in
            switch method {
            case "Network.requestWillBeSent": if let url = event.request?.url { state.requests.append(url) }
            case "Log.entryAdded":
                if let entry = event.entry { state.complaints.append("\(entry.level): \(entry.text)") }
            case "Runtime.exceptionThrown": state.complaints.append(event.exceptionDetails?.text ?? "an exception")
            case "Runtime.consoleAPICalled": state.complaints.append("console: \(event.type ?? "")")
            default: break
            }
        }
    }

    /// Asks, and returns what is answered.
    func call<Result: Decodable>(_ method: String, _ parameters: [String: Any] = [:]) async throws -> Result {
        let (id, session) = state.withLock { state in
            state.count += 1
            return (state.count, state.session)
        }
        var message: [String: Any] = ["id": id, "method": method, "params": parameters]
        if let session { message["sessionId"] = session }
        let bytes = try JSONSerialization.data(withJSONObject: message) + [0]
        let reply = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if !state.isOver { state.waiting[id] = continuation }
                    return state.isOver
                }
                if isOver { return continuation.resume(returning: nil) }
                // If it cannot be told it has gone, and whoever waits is told so.
                try? input.fileHandleForWriting.write(contentsOf: bytes)
            }
        } onCancel: {
            kill(process.processIdentifier, SIGKILL)
        }
        guard let reply else {
            let log = (try? String(contentsOf: folder.appending(path: "log"), encoding: .utf8)) ?? ""
            throw Failure(description: "Chromium has ended, at \(method): \(log.suffix(2_000))")
        }
        let answer = try JSONDecoder().decode(Answer<Result>.self, from: reply)
        guard let result = answer.result else {
            throw Failure(description: "\(method): \(answer.error?.message ?? "no result")")
        }
        return result
    }

    private struct Nothing: Decodable {}

    func tell(_ method: String, _ parameters: [String: Any] = [:]) async throws {
        let _: Nothing = try await call(method, parameters)
    }

    // MARK: The page

    func visit(_ url: String) async throws { try await tell("Page.navigate", ["url": url]) }

    private struct Evaluated<Value: Decodable>: Decodable {
        struct Result: Decodable { var value: Value? }
        struct Exception: Decodable {
            struct Thrown: Decodable { var description: String? }
            var text: String
            var exception: Thrown?
        }
        private enum CodingKeys: CodingKey {
            case result
            case exceptionDetails
        }

        let value: Value?

        init(from decoder: any Decoder) throws {
            let keys = try decoder.container(keyedBy: CodingKeys.self)
            if let exception = try keys.decodeIfPresent(Exception.self, forKey: .exceptionDetails) {
                throw Failure(description: exception.exception?.description ?? exception.text)
            }
            value = try keys.decode(Result.self, forKey: .result).value
        }
    }

    /// The value of an expression of JavaScript; of a promise, when it is kept.
    func value<Value: Decodable>(_ expression: String) async throws -> Value {
        let evaluated: Evaluated<Value> = try await call(
            "Runtime.evaluate", ["expression": expression, "awaitPromise": true, "returnByValue": true])
        guard let value = evaluated.value else { throw Failure(description: "no value: \(expression)") }
        return value
    }

    /// Until the condition holds, which is looked at after every change of the page.
    func wait(until condition: String, atMost limit: Duration = .seconds(15)) async throws {
        let words = String(decoding: try JSONEncoder().encode("not in time: \(condition)"), as: UTF8.self)
        let _: Bool = try await value(
            """
            new Promise((resolve, reject) => {
              const check = () => {
                if (!(\(condition))) return;
                observer.disconnect();
                clearTimeout(timer);
                resolve(true);
              };
              const observer = new MutationObserver(check);
              const timer = setTimeout(() => { observer.disconnect(); reject(new Error(\(words))); },
                \(Int(limit / .milliseconds(1))));
              observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
              check();
            })
            """)
    }

    func prefer(colours: String) async throws {
        try await tell(
            "Emulation.setEmulatedMedia", ["features": [["name": "prefers-color-scheme", "value": colours]]])
    }

    func press(_ key: String, code: Int) async throws {
        for type in ["rawKeyDown", "keyUp"] {
            try await tell(
                "Input.dispatchKeyEvent", ["type": type, "key": key, "code": key, "windowsVirtualKeyCode": code])
        }
    }

    /// Keeps a picture of all of the page.
    func keepPicture(_ name: String) async throws {
        struct Metrics: Decodable {
            struct Size: Decodable { var height: Double }
            var cssContentSize: Size
        }
        struct Picture: Decodable { var data: Data }
        let metrics: Metrics = try await call("Page.getLayoutMetrics")
        let picture: Picture = try await call(
            "Page.captureScreenshot",
            [
                "format": "png", "captureBeyondViewport": true,
                "clip": [
                    "x": 0, "y": 0, "width": Self.width, "height": metrics.cssContentSize.height, "scale": 1,
                ],
            ])
        try FileManager.default.createDirectory(at: Self.pictures, withIntermediateDirectories: true)
        try picture.data.write(to: Self.pictures.appending(path: "\(name).png"))
    }

    /// Where SLUICE_TEST_ARTEFACTS says, else in `.build`, which is not part of the project.
    static let pictures =
        ProcessInfo.processInfo.environment["SLUICE_TEST_ARTEFACTS"].map { URL(filePath: $0) }
        ?? URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: ".build/artefacts")
}
