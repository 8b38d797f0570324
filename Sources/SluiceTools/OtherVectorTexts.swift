extension VectorText {
    /// Components that are not zero, by their index from 0.
    public struct Sparse: Hashable, Sendable {
        public var dimensions: Int
        public var indices: [Int]
        public var values: [Float]
    }

    /// As pgvector writes a `sparsevec`, indices from 1: `{1:0.5,7:-2}/384`. In any order; zeros are left out.
    public static func parseSparse(_ text: String) throws(Problem) -> Sparse {
        let form = Problem(description: "a sparse vector is written like {1:0.5,7:-2}/384")
        let words = text.filter { !$0.isWhitespace }.split(separator: "/", omittingEmptySubsequences: false)
        guard words.count == 2, let dimensions = Int(words[1]), words[0].first == "{", words[0].last == "}",
            words[0].count >= 2
        else { throw form }
        var components: [Int: Float] = [:]
        for part in words[0].dropFirst().dropLast().split(separator: ",") {
            let pair = part.split(separator: ":")
            guard pair.count == 2, let index = Int(pair[0]), let value = Float(pair[1]) else { throw form }
            guard index >= 1, index <= dimensions else {
                throw Problem(description: "index \(index) is not within 1 to \(dimensions)")
            }
            guard components.updateValue(value, forKey: index - 1) == nil else {
                throw Problem(description: "index \(index) is there twice")
            }
        }
        let sorted = components.filter { $0.value != 0 }.sorted { $0.key < $1.key }
        return Sparse(dimensions: dimensions, indices: sorted.map(\.key), values: sorted.map(\.value))
    }

    /// As PostgreSQL writes a `bit`: `0110`.
    public static func parseBits(_ text: String) throws(Problem) -> [Bool] {
        guard !text.isEmpty, text.allSatisfy({ $0 == "0" || $0 == "1" }) else {
            throw Problem(description: "a bit vector is written like 0110")
        }
        return text.map { $0 == "1" }
    }
}
