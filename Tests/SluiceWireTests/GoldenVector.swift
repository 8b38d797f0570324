import Foundation
import NIOCore
import SluiceWire
import Testing

/// The golden frames of proto-spec/vectors, which another encoder has written from the specification.
struct GoldenVector: Sendable, CustomTestStringConvertible {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "proto-spec/vectors")

    let name: String
    let bytes: ByteBuffer
    let meaning: Meaning
    var testDescription: String { name }

    static let all: [GoldenVector] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".hex") }.sorted().compactMap { try? GoldenVector(String($0.dropLast(4))) }
    }()
    static let good = all.filter(\.meaning.valid)
    static let bad = all.filter { !$0.meaning.valid }

    init(_ name: String) throws {
        self.name = name
        let hex = try String(contentsOf: Self.folder.appending(path: "\(name).hex"), encoding: .utf8)
        bytes = ByteBuffer(bytes: hex.split(whereSeparator: \.isWhitespace).compactMap { UInt8($0, radix: 16) })
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        meaning = try decoder.decode(
            Meaning.self, from: Data(contentsOf: Self.folder.appending(path: "\(name).json")))
    }
}
