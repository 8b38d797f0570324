import Foundation
import Testing

/// The house's own rules, held by tests: which room may know which, how long a file may be, what the code may not use.
@Suite struct HouseTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    struct File: Sendable, CustomTestStringConvertible {
        let path: String
        let lines: [String]
        var room: String { path.split(separator: "/").dropFirst().first.map(String.init) ?? "" }
        var testDescription: String { path }
    }

    static func files(below folder: String, ending: String = ".swift") -> [File] {
        let base = root.appending(path: folder)
        let found = FileManager.default.enumerator(atPath: base.path)?.compactMap { $0 as? String } ?? []
        return found.filter { $0.hasSuffix(ending) }.sorted().compactMap { name in
            guard let text = try? String(contentsOf: base.appending(path: name), encoding: .utf8) else { return nil }
            return File(path: "\(folder)/\(name)", lines: text.components(separatedBy: "\n"))
        }
    }

    /// What each room may import besides the standard library.
    static let allowed: [String: Set<String>] = [
        "SluiceCore": ["DequeModule", "HeapModule"],
        "SluiceWire": ["NIOCore", "CLZ4"],
        "SluiceReactor": ["CLinuxEvents", "DequeModule", "HeapModule", "Glibc", "Synchronization"],
        "SluicePostgres": ["SluiceReactor", "CLibpq", "COpenSSL", "Glibc", "Synchronization"],
        "SluiceEngine": ["SluiceCore", "CoreMetrics", "Logging", "Synchronization", "Tracing"],
        "SluiceHTTP": ["NIOCore", "NIOPosix", "NIOHTTP1", "NIOSSL"],
        "SluiceTracing": [
            "SluiceCore", "SluiceWire", "SluiceHTTP", "NIOCore", "NIOPosix", "NIOHTTP1", "NIOSSL", "CoreMetrics",
            "Logging", "ServiceLifecycle", "Synchronization", "Tracing", "Foundation",
        ],
        // Glibc and Darwin to read /etc/resolv.conf.
        "SluiceDNS": ["NIOCore", "NIOPosix", "Glibc", "Darwin"],
        "SluiceTopology": [
            "SluiceCore", "SluiceDNS", "SluiceHTTP", "NIOCore", "NIOPosix", "NIOHTTP1", "NIOSSL", "Logging",
            "Synchronization", "Foundation", "Glibc",
        ],
        "SluiceMetrics": ["CoreMetrics", "Synchronization"],
        "SluiceClient": [
            "SluiceWire", "SluiceDNS", "NIOCore", "NIOPosix", "NIOSSL", "Synchronization", "Tracing",
        ],
        "SluiceBench": [
            "SluiceClient", "SluiceGateway", "SluiceEngine", "SluicePostgres", "SluiceReactor", "SluiceWire",
            "SluiceCore", "SluiceTools", "Histogram", "NIOCore", "Foundation", "Synchronization",
        ],
    ]

    @Test(arguments: files(below: "Sources"))
    func importsStayWithinTheAllowedEdges(file: File) {
        let imports = file.lines.compactMap { line -> String? in
            let words = line.split(separator: " ")
            guard let place = words.firstIndex(of: "import"), place <= 1, words.count > place + 1 else { return nil }
            return String(words[words.count - 1].split(separator: ".")[0])
        }
        if let allowed = Self.allowed[file.room] {
            #expect(imports.filter { !allowed.contains($0) } == [])
        } else {
            #expect(imports.filter { $0 == "CLibpq" || $0 == "CLinuxEvents" } == [])
        }
    }

    @Test(arguments: files(below: "Sources") + files(below: "Tests"))
    func filesAreShortEnoughToHoldInTheHead(file: File) {
        #expect(file.lines.count <= 500)
        for (number, line) in file.lines.enumerated() {
            #expect(line.count <= 120, "\(file.path):\(number + 1) is \(line.count) columns wide")
        }
    }

    @Test(arguments: files(below: "Sources"))
    func nothingThatTrapsOrHides(file: File) {
        let banned = ["try!", "as!", "fatalError(", "nonisolated(unsafe)", "TODO", "FIXME"]
        for (number, line) in file.lines.enumerated() {
            for word in banned where line.contains(word) {
                Issue.record("\(file.path):\(number + 1) has \(word)")
            }
            guard line.contains("@unchecked Sendable"), !line.contains("`@unchecked Sendable`") else { continue }
            let reason = file.lines[max(0, number - 6)..<number].contains { $0.contains("`@unchecked Sendable`") }
            #expect(reason, "\(file.path):\(number + 1): say why it is safe")
        }
    }

    @Test(arguments: files(below: "Sources/SluiceCore"))
    func theCoreReadsNoClockAndRollsNoDice(file: File) {
        let banned = [
            "ContinuousClock", "SuspendingClock", ".now(", "SystemRandomNumberGenerator", "async ", "await ", "Mutex",
        ]
        for (number, line) in file.lines.enumerated() where !line.contains("///") {
            for word in banned where line.contains(word) { Issue.record("\(file.path):\(number + 1) has \(word)") }
        }
    }

    @Test(arguments: files(below: "Tests"))
    func testsDoNotSleep(file: File) {
        guard !file.path.hasSuffix("HouseTests.swift") else { return }
        for (number, line) in file.lines.enumerated() {
            for word in ["Task.sleep", "usleep(", "Thread.sleep"] where line.contains(word) {
                Issue.record("\(file.path):\(number + 1) sleeps; await the event")
            }
        }
    }

    /// The README shows a program; this is that program, and the package builds it.
    @Test func theExampleInTheReadmeIsTheOneThatIsBuilt() throws {
        let readme = try String(contentsOf: Self.root.appending(path: "README.md"), encoding: .utf8)
        let example = try String(
            contentsOf: Self.root.appending(path: "Examples/FirstSearch/main.swift"), encoding: .utf8)
        #expect(readme.contains("```swift\n" + example + "```"))
        #expect(example.components(separatedBy: "\n").count <= 25)
    }
}
