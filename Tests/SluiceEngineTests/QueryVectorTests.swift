import SluiceCore
import SluiceEngine
import Testing

@Suite struct QueryVectorTests {
    @Test func vectorsAreEqualIfAllTheirBytesAre() {
        for count in [0, 1, 7, 8, 9, 16, 23, 1_536] {
            let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max) }
            let vector = QueryVector(dimensions: 3, bytes: bytes)
            #expect(vector == QueryVector(dimensions: 3, bytes: Array(bytes.reversed().reversed())))
            #expect(vector.hashValue == QueryVector(dimensions: 3, bytes: bytes + []).hashValue)
            #expect(vector != QueryVector(dimensions: 4, bytes: bytes))
            #expect(vector != QueryVector(form: .bit, dimensions: 3, bytes: bytes))
            #expect(vector != QueryVector(dimensions: 3, bytes: bytes + [0]))
            for place in bytes.indices {
                var other = bytes
                other[place] ^= 1 << UInt8.random(in: 0..<8)
                #expect(vector != QueryVector(dimensions: 3, bytes: other), "byte \(place) of \(count)")
            }
        }
    }
}
