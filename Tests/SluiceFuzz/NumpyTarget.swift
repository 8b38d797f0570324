import Foundation
import SluiceTools

/// A `.npy` file, by both of its readers.
enum NumpyTarget {
    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        let whole = try? NumpyFile(data: Data(input))
        if let whole {
            // A shape may say more rows than a file has bytes only if the rows have none.
            try expect(whole.rowCount <= input.count && whole.columnCount <= input.count, "more numbers than bytes")
            for row in [0, whole.rowCount - 1, whole.rowCount, -1] {
                let found = whole.row(row)
                let isThere = (0..<whole.rowCount).contains(row)
                try expect((found != nil) == isThere && found.map { $0.count == whole.columnCount } != false, "a row")
            }
        }
        let file = try ScratchFile(ending: "npy")
        try file.write(input)
        let vectors = try VectorFilesTarget.read(file)
        guard let whole, let vectors else { return }
        try expect(vectors.count == whole.rowCount, "the readers differ in the number of rows")
        for (place, vector) in vectors.enumerated() {
            let same = whole.row(place).map { $0.map(\.bitPattern) == vector.map(\.bitPattern) }
            try expect(same == true, "the readers differ in row \(place)")
        }
    }

    static let dictionary = [
        "\\x93NUMPY\\x01\\x00", "\\x93NUMPY\\x02\\x00", "\\x93NUMPY\\x03\\x00", "'descr': '<f2'", "'descr': '<f4'",
        "'descr': '>f8'", "'fortran_order': False", "'fortran_order': True", "'shape': (", "(2, 2)", "(0, 4)",
        "(9999999999999999999, 2)",
    ]

    static var seeds: [FuzzSeed] {
        let body = [UInt8](repeating: 0x3C, count: 32)
        return [
            FuzzSeed("half", file("<f2", "(2, 4)", version: 1, body: body)),
            FuzzSeed("single", file("<f4", "(2, 2)", version: 1, body: body)),
            FuzzSeed("single-big", file(">f4", "(2, 2)", version: 2, body: body)),
            FuzzSeed("double", file("<f8", "(2, 2,)", version: 3, body: body)),
            FuzzSeed("fortran", file("<f4", "(2, 2)", order: "True", version: 1, body: body)),
            FuzzSeed("one-dimension", file("<f4", "(4,)", version: 1, body: body)),
            FuzzSeed("no-rows", file("<f4", "(0, 4)", version: 1, body: [])),
            FuzzSeed("many-rows", file("<f4", "(4611686018427387904, 4)", version: 1, body: body)),
            FuzzSeed("integers", file("<i4", "(2, 2)", version: 1, body: body)),
            FuzzSeed("cut-short", Array(file("<f4", "(2, 2)", version: 1, body: body).prefix(40))),
            FuzzSeed("spaces", file("<f4", "(2" + String(repeating: " ", count: 900) + ", 2", version: 1, body: body)),
        ]
    }

    private static func file(
        _ type: String, _ shape: String, order: String = "False", version: UInt8, body: [UInt8]
    ) -> [UInt8] {
        var header = "{'descr': '\(type)', 'fortran_order': \(order), 'shape': \(shape), }"
        header += String(repeating: " ", count: 63 - (header.count + 10) % 64) + "\n"
        let length = withUnsafeBytes(of: UInt32(header.utf8.count).littleEndian) { Array($0) }
        return [0x93] + "NUMPY".utf8 + [version, 0] + length.prefix(version == 1 ? 2 : 4) + header.utf8 + body
    }
}
