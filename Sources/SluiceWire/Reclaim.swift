public import NIOCore

extension ByteBuffer {
    /// What may lie in front of the unread bytes before they are moved down, and what an almost empty buffer may keep.
    private static var worthReclaiming: Int { 64 * 1_024 }

    /// Gives back the memory of bytes that have been read. To be called after a turn of cutting frames from what has
    /// arrived: a stream that always ends in the middle of a frame never becomes exactly empty, and a buffer that is
    /// only appended to would grow with it for ever.
    public mutating func reclaim() {
        guard readerIndex > 0 else { return }
        guard readableBytes > 0 else {
            self = ByteBuffer()
            return
        }
        guard readerIndex > Self.worthReclaiming || readerIndex > capacity / 2 else { return }
        // Frames cut before may still share the memory: then this copies, and theirs goes when they go.
        discardReadBytes()
        guard capacity > Self.worthReclaiming, readableBytes < capacity / 4 else { return }
        shrinkBufferCapacity(to: 2 * readableBytes)
    }
}
