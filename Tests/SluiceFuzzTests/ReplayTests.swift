import Foundation
import SluiceFuzz
import Testing

/// Every seed of every fuzz target, and every file that has ever found something, is dealt with as it should be.
@Suite struct ReplayTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let target: FuzzTarget
        let name: String
        let bytes: [UInt8]
        var testDescription: String { "\(target.rawValue)/\(name)" }
    }

    private static let crashes = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "SluiceFuzz/Crashes")

    static let seeds = FuzzTarget.allCases.flatMap { target in
        target.seeds.map { Case(target: target, name: $0.name, bytes: $0.bytes) }
    }

    static let found = FuzzTarget.allCases.flatMap { target -> [Case] in
        let folder = crashes.appending(path: target.rawValue)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.sorted().compactMap { name in
            guard let data = try? Data(contentsOf: folder.appending(path: name)) else { return nil }
            return Case(target: target, name: name, bytes: [UInt8](data))
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: seeds)
    func aSeedIsDealtWith(_ one: Case) throws { try one.bytes.withUnsafeBytes { try one.target.run($0) } }

    @Test(.timeLimit(.minutes(1)), arguments: found)
    func whatWasOnceFoundIsMended(_ one: Case) throws { try one.bytes.withUnsafeBytes { try one.target.run($0) } }

    @Test(arguments: FuzzTarget.allCases)
    func everyTargetHasSeedsOfDifferentNames(target: FuzzTarget) {
        let names = target.seeds.map(\.name)
        #expect(names.count >= 4 && Set(names).count == names.count)
    }
}
