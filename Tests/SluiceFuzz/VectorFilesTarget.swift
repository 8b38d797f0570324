import SluiceTools

/// A `.fvecs` or a `.fbin` file: an odd first byte is the latter.
enum VectorFilesTarget {
    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        var control = FuzzControl(input)
        let isBinary = control.byte() % 2 == 1
        let file = try ScratchFile(ending: isBinary ? "fbin" : "fvecs")
        try file.write(control.rest)
        guard let vectors = try read(file) else { return }
        let numbers = vectors.reduce(0) { $0 + $1.count }
        let headers = isBinary ? 8 : 4 * vectors.count
        try expect(headers + 4 * numbers == control.rest.count, "\(numbers) numbers of \(control.rest.count) bytes")
    }

    /// All vectors; nil if the file has none, or a problem.
    static func read(_ file: ScratchFile) throws(FuzzFinding) -> [[Float]]? {
        let reader: VectorReader
        do { reader = try VectorReader(path: file.path) } catch { return try check(error, file) }
        var vectors: [[Float]] = []
        var floats: [Float] = []
        do {
            while try reader.next(into: &floats) { vectors.append(floats) }
        } catch { return try check(error, file) }
        try expect(vectors.count == reader.rowCount, "\(vectors.count) of \(reader.rowCount) vectors")
        try expect(vectors.allSatisfy { $0.count == reader.dimensions }, "a vector of other dimensions")
        return vectors
    }

    private static func check(_ error: any Error, _ file: ScratchFile) throws(FuzzFinding) -> [[Float]]? {
        guard let problem = error as? FileProblem, problem.path == file.path else {
            throw FuzzFinding("not a problem of the file: \(error)")
        }
        return nil
    }

    static var seeds: [FuzzSeed] {
        let one: [UInt8] = [0, 0, 0x80, 0x3F]
        let two: [UInt8] = [2, 0, 0, 0]
        return [
            FuzzSeed("fvecs", [0] + two + one + one + two + one + one), FuzzSeed("fvecs-empty", [0]),
            FuzzSeed("fvecs-differ", [0] + two + one + one + [1, 0, 0, 0] + one + one),
            FuzzSeed("fvecs-negative", [0, 0xFF, 0xFF, 0xFF, 0xFF] + one), FuzzSeed("fvecs-short", [0] + two + one),
            FuzzSeed("fbin", [1] + two + two + one + one + one + one), FuzzSeed("fbin-empty", [1]),
            FuzzSeed("fbin-no-rows", [1, 0, 0, 0, 0] + two), FuzzSeed("fbin-short", [1] + two + two + one),
            FuzzSeed("fbin-huge", [1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0] + one),
        ]
    }
}
