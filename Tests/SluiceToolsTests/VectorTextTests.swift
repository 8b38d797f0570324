import SluiceTools
import Testing

@Suite struct VectorTextTests {
    @Test(
        arguments: [
            ("{1:0.5,7:-2}/384", 384, [0, 6], [0.5, -2]),
            (" { 7 : 2 , 1 : 1 , 3 : 0 } / 9 ", 9, [0, 6], [1, 2]),
            ("{}/5", 5, [], []),
        ] as [(String, Int, [Int], [Float])])
    func sparseVectors(text: String, dimensions: Int, indices: [Int], values: [Float]) throws {
        let sparse = try VectorText.parseSparse(text)
        #expect(sparse.dimensions == dimensions && sparse.indices == indices && sparse.values == values)
    }

    @Test(arguments: [
        "", "{", "}", "{}", "/5", "{}/", "{}/x", "[1]/5", "{1}/5", "{1:}/5", "{1:2:3}/5", "{0:1}/5", "{6:1}/5",
        "{1:1,1:2}/5", "{1:a}/5", "{}/5/5",
    ])
    func whatIsNoSparseVector(text: String) {
        #expect(throws: VectorText.Problem.self) { try VectorText.parseSparse(text) }
    }

    @Test func bits() throws {
        #expect(try VectorText.parseBits("0110") == [false, true, true, false])
        for text in ["", "012", "[0]", "0 1"] {
            #expect(throws: VectorText.Problem.self) { try VectorText.parseBits(text) }
        }
    }

    @Test func memory() {
        #expect(MemoryText.kibibytes("64MB") == 65_536 && MemoryText.kibibytes("4096kB") == 4_096)
        #expect(MemoryText.kibibytes("1GB") == 1_048_576 && MemoryText.kibibytes("100") == 100)
        for text in ["", "MB", "64mb", "1.5GB", "-1", "99999999999999GB", "64 MB"] {
            #expect(MemoryText.kibibytes(text) == nil)
        }
    }
}
