import Foundation
import SluiceTools
import Testing

@Suite struct RowReaderTests {
    private func file(_ text: String, _ ending: String) throws -> String {
        try file(Data(text.utf8), ending)
    }

    private func file(_ data: Data, _ ending: String) throws -> String {
        let url = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString).\(ending)")
        try data.write(to: url)
        return url.path
    }

    private func rows(_ text: String, _ ending: String, names: [String]? = nil) throws -> [FileRow] {
        let reader = try RowReader(path: file(text, ending), names: names)
        var rows: [FileRow] = []
        while let row = try reader.next() { rows.append(row) }
        return rows
    }

    private func problem(_ text: String, _ ending: String, names: [String]? = nil) -> FileProblem? {
        do {
            _ = try rows(text, ending, names: names)
            return nil
        } catch {
            return error as? FileProblem
        }
    }

    @Test func csvAsTheStandardHasIt() throws {
        let text = "id,name,note\r\n1,\"a \"\"b\"\", c\",\r\n\r\n2,\"two\nlines\",\"\"\r\n3,x,y"
        let read = try rows(text, "csv")
        #expect(
            read.map(\.fields) == [
                [.text("1"), .text("a \"b\", c"), .null], [.text("2"), .text("two\nlines"), .text("")],
                [.text("3"), .text("x"), .text("y")],
            ])
        #expect(read.map(\.line) == [2, 4, 6] && read[0].text == "1,\"a \"\"b\"\", c\",")
        let some = try rows("\u{FEFF}id,name\n1,a\n", "csv", names: ["name", "id"])
        #expect(some.map(\.fields) == [[.text("a"), .text("1")]])
        #expect(try rows("id\n", "csv").isEmpty)
    }

    @Test(arguments: [
        ("id,name\n1\n", 2), ("id,name\n1,a\n2,\"b\n", 3), ("id,name\n1,a\"b\n", 2), ("id,name\n1,\"a\"b\n", 2),
        ("id,id\n", 1), ("id,\n", 1),
    ])
    func aWrongLineOfCSVIsNamed(text: String, line: Int) {
        #expect(problem(text, "csv")?.line == line)
    }

    @Test func jsonLinesHaveTheirOwnTypes() throws {
        let text = """
            {"id": 1, "name": "a\\u00e9\\ud83d\\ude00\\n", "size": 1.5e3, "ok": true, "tags": ["x", "y"],\
             "v": [1, -2.5e-1, 3]}

            {"v": null, "id": -9223372036854775808, "name": null, "size": 18446744073709551615,\
             "ok": false, "tags": {"a": [1]}}
            """
        let read = try rows(text, "jsonl")
        #expect(
            read[0].fields == [
                .int(1), .text("aé😀\n"), .double(1_500), .bool(true), .texts(["x", "y"]), .numbers([1, -0.25, 3]),
            ])
        #expect(
            read[1].fields == [
                .int(.min), .null, .double(0x1p64), .bool(false), .text("{\"a\": [1]}"), .null,
            ])
        #expect(read.map(\.line) == [1, 3])
        let some = try rows("{\"a\": 1, \"b\": 2}\n{\"c\": 3, \"b\": 4}\n", "jsonl", names: ["b"])
        #expect(some.map(\.fields) == [[.int(2)], [.int(4)]])
    }

    @Test(arguments: [
        "[1]", "{\"a\": 1", "{\"a\": 1} x", "{\"a\": 01x}", "{\"a\" 1}", "{\"a\": \"b}", "{\"a\": \"\\q\"}", "{a: 1}",
        "{\"a\": tru}", "{\"a\": 1, \"a\": 2}", "{\"a\": \"\\ud800\"}", "{\"a\": -}", "{\"a\": [1, 2}", "{\"a\": ",
        "{\"a\": \"\\u12\"}", "{\"a\": \"\\", "nothing", "{\"a\": 1, \"b\": 2, \"c\": 3}\n",
    ])
    func aWrongLineOfJSONIsNamed(line: String) {
        #expect(problem("{\"a\": 1, \"b\": 2}\n\(line)", "jsonl")?.line == 2)
    }

    @Test func aDeeplyNestedLineEnds() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(problem("{\"a\": \(deep)", "jsonl")?.line == 1)
        let objects = String(repeating: "{\"a\":", count: 100_000)
        #expect(problem("{\"a\": \(objects)", "jsonl")?.line == 1)
    }

    @Test func otherFilesAreRefused() {
        #expect(problem("", "parquet")?.description.contains("Parquet") == true)
        #expect(problem("", "csv") != nil && problem("", "txt") != nil)
        #expect(throws: FileProblem.self) { try RowReader(path: "/nowhere/rows.csv") }
        #expect(problem("id\n1\n", "csv", names: ["name"])?.line == 1)
    }

    @Test func rowsLongerThanAChunkAreWhole() throws {
        let long = String(repeating: "x", count: 1_500_000)
        let read = try rows("id,name\n1,\"\(long)\n\"\n2,b\n", "csv")
        #expect(read.map(\.line) == [2, 4] && read[0].fields[1] == .text(long + "\n"))
    }

    // MARK: Vectors

    private func vectors(_ path: String) throws -> [[Float]] {
        let reader = try VectorReader(path: path)
        var (all, floats): ([[Float]], [Float]) = ([], [])
        while try reader.next(into: &floats) { all.append(floats) }
        #expect(all.count == reader.rowCount)
        return all
    }

    private func bytes<Word: FixedWidthInteger>(_ words: [Word]) -> Data {
        words.reduce(into: Data()) { data, word in
            withUnsafeBytes(of: word.littleEndian) { data.append(contentsOf: $0) }
        }
    }

    private func numpy(_ type: String, _ shape: String, _ body: Data) -> Data {
        let header = "{'descr': '\(type)', 'fortran_order': False, 'shape': \(shape), }\n"
        return Data([0x93] + Array("NUMPY".utf8) + [1, 0]) + bytes([UInt16(header.utf8.count)]) + Data(header.utf8)
            + body
    }

    @Test func everyVectorFormat() throws {
        let (one, two): ([Float], [Float]) = ([1, -2.5], [0.1, 3e8])
        let floats = bytes((one + two).map(\.bitPattern))
        #expect(try vectors(file(numpy("<f4", "(2, 2)", floats), "npy")) == [one, two])
        let doubles = bytes((one + two).map { Double($0).bitPattern })
        #expect(try vectors(file(numpy("<f8", "(2, 2)", doubles), "npy")) == [one, two])
        #expect(try vectors(file(numpy("<f2", "(1, 2)", bytes([UInt16(0x3C00), 0xC100])), "npy")) == [one])
        #expect(try vectors(file(bytes([UInt32(2), 2]) + floats, "fbin")) == [one, two])
        let rows = bytes([UInt32(2)]) + bytes(one.map(\.bitPattern)) + bytes([UInt32(2)]) + bytes(two.map(\.bitPattern))
        #expect(try vectors(file(rows, "fvecs")) == [one, two])
        #expect(try vectors(file(Data(), "fvecs")) == [])
    }

    @Test func vectorFilesThatLieAreRefused() throws {
        let wrong: [(Data, String)] = [
            (Data(), "npy"), (numpy("<f4", "(3, 2)", Data(count: 16)), "npy"), (numpy("<i4", "(1, 2)", Data()), "npy"),
            (Data(), "fbin"), (bytes([UInt32(3), 2]) + Data(count: 16), "fbin"), (bytes([UInt32(1), 0]), "fbin"),
            (bytes([UInt32.max, .max]) + Data(count: 16), "fbin"), (bytes([UInt32(0)]), "fvecs"),
            (bytes([UInt32.max, 1, 2]), "fvecs"), (bytes([UInt32(2), 0, 0, 2]), "fvecs"), (Data(), "parquet"),
            (Data(), "txt"),
        ]
        for (place, (data, ending)) in wrong.enumerated() {
            #expect(throws: FileProblem.self, "case \(place)") { try VectorReader(path: file(data, ending)) }
        }
        let mixed = try VectorReader(path: file(bytes([UInt32(1), 0, 2, 0]), "fvecs"))
        var floats: [Float] = []
        #expect(try mixed.next(into: &floats))
        #expect(throws: FileProblem.self) { try mixed.next(into: &floats) }
    }

    @Test func idsAreOneALine() throws {
        #expect(try LineFile.integers(path: file("1\r\n\n -2 \n3", "txt")) == [1, -2, 3])
        #expect { try LineFile.integers(path: file("1\ntwo\n", "txt")) } throws: { ($0 as? FileProblem)?.line == 2 }
    }

    @Test func vectorsInTexts() throws {
        #expect(try VectorText.parseArray(" [0.5, -1e2] ") == [0.5, -100])
        for wrong in ["", "[1", "1", "[a]", "[1] 2", "[[1]]", "[\"1\"]", "{}"] {
            #expect(throws: VectorText.Problem.self, "\(wrong)") { try VectorText.parseArray(wrong) }
        }
    }
}
