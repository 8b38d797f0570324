import Foundation
import SluiceTools
import Testing

@Suite struct NumpyFileTests {
    private func file(_ type: String, shape: String, order: String = "False", version: UInt8 = 1, body: [UInt8]) -> Data
    {
        var header = "{'descr': '\(type)', 'fortran_order': \(order), 'shape': \(shape), }"
        header += String(repeating: " ", count: 63 - (header.count + 10) % 64) + "\n"
        var data = Data([0x93] + Array("NUMPY".utf8) + [version, 0])
        withUnsafeBytes(of: UInt32(header.utf8.count).littleEndian) {
            data.append(contentsOf: $0.prefix(version == 1 ? 2 : 4))
        }
        data.append(contentsOf: header.utf8)
        data.append(contentsOf: body)
        return data
    }

    @Test(arguments: [
        ("<f2", [UInt8](arrayLiteral: 0, 0x3C, 0, 0xC1, 1, 0, 0, 0x38), UInt8(1)),
        ("<f4", [0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC0, 0, 0, 0x80, 0x33, 0, 0, 0, 0x3F], 2),
        (">f4", [0x3F, 0x80, 0, 0, 0xC0, 0x20, 0, 0, 0x33, 0x80, 0, 0, 0x3F, 0, 0, 0], 3),
    ])
    func readsEachElementType(type: String, body: [UInt8], version: UInt8) throws {
        let read = try NumpyFile(data: file(type, shape: "(2, 2)", version: version, body: body))
        #expect(read.rowCount == 2 && read.columnCount == 2)
        #expect(read.row(0) == [1, -2.5] && read.row(1) == [0x1p-24, 0.5])
        #expect(read.row(2) == nil && read.row(-1) == nil)
    }

    @Test func whatItCannotReadItRefuses() {
        let body = [UInt8](repeating: 0, count: 16)
        let wrong: [Data] = [
            Data(), Data("not numpy at all".utf8), file("<i4", shape: "(2, 2)", body: body),
            file("<f4", shape: "(2, 2)", order: "True", body: body), file("<f4", shape: "(4,)", body: body),
            file("<f4", shape: "(3, 2)", body: body), file("<f4", shape: "(2, 0)", body: body),
            file("<f4", shape: "(9999999999999999999999, 2)", body: body),
            file("<f8", shape: "(4611686018427387904, 4)", body: body),
            file("<f4", shape: "(2, 2)", version: 9, body: body),
        ]
        for (place, data) in wrong.enumerated() {
            #expect(throws: NumpyFile.Problem.self, "case \(place)") { try NumpyFile(data: data) }
        }
        let whole = file("<f4", shape: "(2, 2)", body: body)
        for length in 0..<whole.count {
            #expect(throws: NumpyFile.Problem.self, "cut at \(length)") {
                try NumpyFile(data: Data(whole.prefix(length)))
            }
        }
    }
}

@Suite struct TextTests {
    @Test func vectorsAsPeopleWriteThem() throws {
        #expect(try VectorText.parse(" [1, -2.5,3e-4] ") == [1, -2.5, 3e-4])
        for wrong in ["", "1,2", "[1,2", "[1,,2]", "[a]", "[]x", "[1] [2]"] {
            #expect(throws: VectorText.Problem.self, "\(wrong)") { try VectorText.parse(wrong) }
        }
    }

    @Test func timesAsPeopleWriteThem() {
        #expect(DurationText.parse("40ms") == .milliseconds(40))
        #expect(DurationText.parse("1.5s") == .milliseconds(1_500))
        for wrong in ["", "40", "ms", "-1s", "1e9h", "1 s", "1.2.3s"] { #expect(DurationText.parse(wrong) == nil) }
    }
}
