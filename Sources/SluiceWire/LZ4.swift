internal import CLZ4
internal import NIOCore

/// LZ4 blocks behind their uncompressed length.
enum LZ4 {
    /// The payload in LZ4; nil unless that, with its length field, is smaller.
    static func compress(_ plain: ByteBuffer) -> ByteBuffer? {
        guard let count = Int32(exactly: plain.readableBytes), count <= LZ4_MAX_INPUT_SIZE else { return nil }
        let capacity = plain.readableBytes - 4
        guard capacity > 0, let limit = Int32(exactly: capacity) else { return nil }
        var result = ByteBufferAllocator().buffer(capacity: capacity)
        let written = plain.withUnsafeReadableBytes { source in
            result.withUnsafeMutableWritableBytes { target in
                LZ4_compress_default(
                    source.bindMemory(to: CChar.self).baseAddress, target.bindMemory(to: CChar.self).baseAddress, count,
                    limit)
            }
        }
        guard written > 0 else { return nil }
        result.moveWriterIndex(forwardBy: Int(written))
        return result
    }

    /// LZ4 cannot shrink data by more than this factor (lz4 block format: a length byte extends a match by 255).
    static let largestRatio = 255

    /// - Throws: if the declared length is above the limit or so many times the block's, or is not what comes out.
    static func decompress(
        _ payload: ByteBuffer, maximumLength: Int, maximumRatio: Int = largestRatio
    ) throws(WireError) -> ByteBuffer {
        var block = payload
        guard let declared = block.readInteger(as: UInt32.self), let count = Int32(exactly: block.readableBytes) else {
            throw WireError(.malformed, "a compressed frame without its uncompressed length")
        }
        guard Int(declared) <= maximumLength, let capacity = Int32(exactly: declared) else {
            throw WireError(
                .frameTooLarge, "a frame of \(declared) bytes uncompressed is above the limit of \(maximumLength)")
        }
        let least = max(1, block.readableBytes)
        guard Int(declared) <= largestRatio * least else {
            throw WireError(.malformed, "a compressed frame that declares more than its bytes can hold")
        }
        guard Int(declared) <= maximumRatio * least else {
            throw WireError(
                .frameTooLarge, "a frame of \(declared) bytes uncompressed is more than \(maximumRatio) times its size")
        }
        var result = ByteBufferAllocator().buffer(capacity: Int(declared))
        let written = block.withUnsafeReadableBytes { source in
            result.withUnsafeMutableWritableBytes { target in
                LZ4_decompress_safe(
                    source.bindMemory(to: CChar.self).baseAddress, target.bindMemory(to: CChar.self).baseAddress, count,
                    capacity)
            }
        }
        guard written == capacity else {
            throw WireError(.malformed, "a compressed frame that is not LZ4, or lies about its length")
        }
        result.moveWriterIndex(forwardBy: Int(written))
        return result
    }
}
