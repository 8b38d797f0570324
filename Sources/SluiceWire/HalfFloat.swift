/// IEEE 754's 16-bit numbers (binary16), by their bits: Swift's `Float16` is not there on every platform.
public enum HalfFloat {
    /// The largest finite one.
    public static let greatestFiniteMagnitude: Float = 65_504

    private static let infinity: UInt16 = 0x7C00
    private static let aNaN: UInt16 = 0x7E00
    /// What a Float's exponent bits have more than a half's: (127 - 15) << 23.
    private static let bias: UInt32 = 0x3800_0000
    /// The bits of 2^-14, the smallest normal half, and of 2^16, beyond the largest.
    private static let smallestNormal: UInt32 = 0x3880_0000
    private static let tooLarge: UInt32 = 0x4780_0000

    /// The nearest half, of two equally near ones the even; infinity from 65,520 on.
    public static func bits(of float: Float) -> UInt16 {
        let sign = UInt16(truncatingIfNeeded: float.bitPattern >> 16) & 0x8000
        let magnitude = float.bitPattern & 0x7FFF_FFFF
        if float.isNaN { return sign | aNaN }
        if magnitude >= tooLarge { return sign | infinity }
        guard magnitude < smallestNormal else {
            return sign | UInt16(truncatingIfNeeded: rounded(magnitude - bias, by: 13))
        }
        // A multiple of 2^-24. With more than 24 bits to drop it is below the half of one.
        let drop = 126 - (magnitude >> 23)
        guard drop <= 24 else { return sign }
        return sign | UInt16(truncatingIfNeeded: rounded((magnitude & 0x007F_FFFF) | 0x0080_0000, by: drop))
    }

    /// Divides by a power of two, to the nearest and even.
    private static func rounded(_ bits: UInt32, by drop: UInt32) -> UInt32 {
        let odd = (bits >> drop) & 1
        return (bits + (1 << (drop - 1)) - 1 + odd) >> drop
    }

    /// Exact.
    public static func float(ofBits bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let magnitude = UInt32(bits & 0x7FFF)
        switch magnitude {
        case 0x7C00...: return Float(bitPattern: sign | 0x7F80_0000 | (magnitude & 0x3FF) << 13)
        case 0x0400...: return Float(bitPattern: sign | (magnitude << 13) + bias)
        default:
            let subnormal = Float(magnitude) * 0x1p-24
            return sign == 0 ? subnormal : -subnormal
        }
    }
}
