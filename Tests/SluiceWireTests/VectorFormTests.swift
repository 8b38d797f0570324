import NIOCore
import SluiceWire
import Testing

@Suite struct VectorFormTests {
    private func refusal(_ vector: VectorBytes) -> String? {
        do throws(WireError) {
            try vector.validate()
            return nil
        } catch {
            #expect(error.code == .invalidArgument)
            return error.message
        }
    }

    #if !(os(macOS) && arch(x86_64))
    /// All halves there are, and around the border of each two; the platform's own conversion says what is right.
    @Test func halvesAreRoundedAsThePlatformDoes() {
        for bits in UInt16.min ... .max {
            let expected = Float(Float16(bitPattern: bits))
            let float = HalfFloat.float(ofBits: bits)
            #expect(float == expected || float.isNaN && expected.isNaN)
            #expect(float.sign == expected.sign)
            guard expected.isFinite else { continue }
            let next = Float(Float16(bitPattern: bits &+ 1))
            let middle = next.isFinite ? (expected + next) / 2 : expected + 16
            for float in [expected, middle.nextDown, middle, middle.nextUp, -middle] {
                #expect(HalfFloat.bits(of: float) == Float16(float).bitPattern, "\(float)")
            }
        }
    }

    @Test func anyFloatIsRoundedAsThePlatformDoes() {
        var random = SplitMix64(seed: 16)
        for _ in 0..<1_000_000 {
            let float = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
            guard !float.isNaN else {
                #expect(Float16(bitPattern: HalfFloat.bits(of: float)).isNaN)
                continue
            }
            #expect(HalfFloat.bits(of: float) == Float16(float).bitPattern, "\(float)")
        }
        #expect(HalfFloat.float(ofBits: HalfFloat.bits(of: 65_504)) == HalfFloat.greatestFiniteMagnitude)
    }
    #endif

    @Test func vectorsComeBack() {
        let half = VectorBytes(half: [1, -2.5, 0.1])
        #expect(half.form == .halfvec && half.dimensions == 3 && refusal(half) == nil)
        #expect(half.floats() == [1, -2.5, HalfFloat.float(ofBits: HalfFloat.bits(of: 0.1))])
        let sparse = VectorBytes(sparse: 1_000_000_000, indices: [0, 999_999_999], values: [1, -2])
        #expect(sparse.dimensions == 1_000_000_000 && refusal(sparse) == nil)
        #expect(sparse.nonZero()?.indices == [0, 999_999_999] && sparse.nonZero()?.values == [1, -2])
        for count in 1...40 {
            let bits = (0..<count).map { $0 % 3 == 0 }
            let packed = VectorBytes(bits: bits)
            #expect(packed.dimensions == count && packed.bits() == bits && refusal(packed) == nil)
        }
    }

    @Test func theLimitsOfEachForm() {
        #expect(refusal(VectorBytes(half: Array(repeating: 1, count: 16_000))) == nil)
        let tooLong = "the vector has 16001 dimensions; it must have 1 to 16000"
        #expect(refusal(VectorBytes(half: Array(repeating: 1, count: 16_001))) == tooLong)
        #expect(refusal(VectorBytes(Array(repeating: 1, count: 16_001))) == tooLong)
        #expect(refusal(VectorBytes(bits: Array(repeating: true, count: 64_000))) == nil)
        #expect(
            refusal(VectorBytes(bits: Array(repeating: true, count: 64_001)))
                == "the vector has 64001 dimensions; it must have 1 to 64000")
        let most = VectorBytes(
            sparse: 20_000, indices: Array(0..<16_000), values: Array(repeating: 1, count: 16_000))
        #expect(refusal(most) == nil)
        let more = VectorBytes(
            sparse: 20_000, indices: Array(0..<16_001), values: Array(repeating: 1, count: 16_001))
        #expect(
            refusal(more)
                == "the vector has 16001 components that are not zero; of 20000 dimensions 0 to 16000 may be")
        #expect(refusal(VectorBytes(sparse: 5, indices: [], values: [])) == nil)
    }

    @Test func componentsThatAreNone() {
        #expect(refusal(VectorBytes(half: [1, 65_520])) == "component 1 of the vector is NaN or infinite")
        #expect(refusal(VectorBytes(half: [.nan])) == "component 0 of the vector is NaN or infinite")
        #expect(
            refusal(VectorBytes(sparse: 9, indices: [1, 2], values: [1, 0]))
                == "component 1 of the sparse vector is zero")
        #expect(
            refusal(VectorBytes(sparse: 9, indices: [2, 1], values: [1, 1]))
                == "index 1 of the vector is 1; indices ascend, from 0 to 8")
    }
}
