import Foundation
import SluiceFuzz

// libFuzzer's side: it calls these two by their C names. One program serves all targets, as linking takes long.

/// `SLUICE_FUZZ_TARGET` says which.
private let target: FuzzTarget? = ProcessInfo.processInfo.environment["SLUICE_FUZZ_TARGET"]
    .flatMap(FuzzTarget.init(rawValue:))

/// With `SLUICE_FUZZ_SEEDS`, the target's seeds are written into that folder, its dictionary beside it, and that is
/// all.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutablePointer<Int32>, _: UnsafeMutableRawPointer) -> Int32 {
    guard let target else {
        say("SLUICE_FUZZ_TARGET must be one of \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))")
        exit(2)
    }
    guard let folder = ProcessInfo.processInfo.environment["SLUICE_FUZZ_SEEDS"] else { return 0 }
    do {
        for seed in target.seeds { try Data(seed.bytes).write(to: URL(filePath: "\(folder)/\(seed.name)")) }
        let words = target.dictionary.map { "\"\($0)\"\n" }.joined()
        try Data(words.utf8).write(to: URL(filePath: "\(folder).dict"))
        exit(0)
    } catch {
        say("the seeds cannot be written: \(error)")
        exit(2)
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    do {
        try target?.run(UnsafeRawBufferPointer(start: start, count: count))
    } catch {
        say("finding: \(error)")
        // A trap is what libFuzzer takes note of.
        preconditionFailure("finding: \(error)")
    }
    return 0
}

private func say(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
