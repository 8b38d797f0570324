import Foundation

/// The frames of proto-spec/vectors, whole and as their payloads.
enum GoldenFrames {
    struct Frame: Sendable {
        let name: String
        let bytes: [UInt8]
        /// Of the first frame; 0 if it is cut short.
        var kind: UInt8 { bytes.count > 4 ? bytes[4] : 0 }
        var payload: [UInt8] { Array(bytes.dropFirst(12)) }
    }

    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static let all: [Frame] = {
        let folder = root.appending(path: "proto-spec/vectors")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".hex") }.sorted().compactMap { name in
            guard let text = try? String(contentsOf: folder.appending(path: name), encoding: .utf8) else { return nil }
            let bytes = text.split(whereSeparator: \.isWhitespace).compactMap { UInt8($0, radix: 16) }
            return Frame(name: String(name.dropLast(4)), bytes: bytes)
        }
    }()

    /// The files of a folder of the project that end so, as seeds.
    static func files(below folder: String, ending: String) -> [FuzzSeed] {
        let base = root.appending(path: folder)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: base.path)) ?? []
        return names.filter { $0.hasSuffix(ending) }.sorted().compactMap { name in
            (try? Data(contentsOf: base.appending(path: name))).map { FuzzSeed(name, [UInt8]($0)) }
        }
    }
}
