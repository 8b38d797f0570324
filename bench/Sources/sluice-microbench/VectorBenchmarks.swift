internal import NIOCore
internal import SluiceTools
internal import SluiceWire

/// Vectors between Swift's numbers, the wire's big-endian ones, and text.
let vectorBenchmarks =
    [384, 1_536, 3_072].flatMap { dimensions in
        [
            Benchmark("swap-to-wire-\(dimensions)", "\(dimensions) floats to pgvector's binary form") {
                let floats = Samples.floats(dimensions)
                return { count in
                    var sum = 0
                    for _ in 0..<count { sum &+= VectorBytes(floats).bytes.readableBytes }
                    return sum
                }
            },
            Benchmark("swap-from-wire-\(dimensions)", "\(dimensions) floats from pgvector's binary form") {
                let vector = VectorBytes(Samples.floats(dimensions))
                return { count in
                    var sum = 0
                    for _ in 0..<count { sum &+= vector.floats().count }
                    return sum
                }
            },
            Benchmark("check-vector-\(dimensions)", "whether \(dimensions) floats from the wire are finite numbers") {
                let vector = VectorBytes(Samples.floats(dimensions))
                return { count in
                    var sum = 0
                    for _ in 0..<count {
                        try vector.validate()
                        sum &+= 1
                    }
                    return sum
                }
            },
        ]
    } + [
        Benchmark("vector-text-384", "384 floats, read from text", countedOperations: 4) {
            let text = "[" + Samples.floats(384).map { String($0) }.joined(separator: ", ") + "]"
            return { count in
                var sum = 0
                for _ in 0..<count { sum &+= try VectorText.parse(text).count }
                return sum
            }
        }
    ]
