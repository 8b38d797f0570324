/// Finds what is nearest by looking at every vector. In a module of its own because the tests are not optimized.
public struct FlatIndex: Sendable {
    private let vectors: [[Float]]

    /// - Parameter vectors: all of the same dimensions.
    public init(_ vectors: [[Float]]) { self.vectors = vectors }

    /// - Returns: every vector's place and cosine distance, the nearest first; of equal distances the first place.
    public func nearest(to query: [Float]) -> [(place: Int, distance: Double)] {
        vectors.enumerated().map { (place: $0, distance: Self.cosineDistance(query, $1)) }
            .sorted { ($0.distance, $0.place) < ($1.distance, $1.place) }
    }

    /// As pgvector computes it (vector.c, cosine_distance), but with sums in Float64 instead of Float32.
    private static func cosineDistance(_ left: [Float], _ right: [Float]) -> Double {
        var product = 0.0
        var leftNorm = 0.0
        var rightNorm = 0.0
        for (left, right) in zip(left, right) {
            product += Double(left) * Double(right)
            leftNorm += Double(left) * Double(left)
            rightNorm += Double(right) * Double(right)
        }
        return 1 - min(1, max(-1, product / (leftNorm * rightNorm).squareRoot()))
    }
}
