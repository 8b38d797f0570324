import NIOCore
import SluiceWire
import Testing

@Suite struct ReclaimTests {
    private func frame(_ payload: Int) -> ByteBuffer {
        var buffer = ByteBuffer()
        FrameEncoder(lz4: false).write(.pong, requestID: 1, into: &buffer) {
            $0.writeRepeatingByte(7, count: payload)
        }
        return buffer
    }

    /// Reads that never end where a frame does. The frames are kept or not: what they share must not keep more alive.
    @Test(arguments: [0, 100, 4_000, 60_000])
    func aStreamThatIsNeverExactlyReadTakesLittleMemory(payload: Int) throws {
        let one = frame(payload)
        var decoder = FrameDecoder(maximumFrameLength: 1_048_576, lz4: false)
        var received = ByteBuffer()
        var frames = 0
        // Every append is a whole frame's length, half a frame late.
        received.writeImmutableBuffer(one.getSlice(at: 0, length: 6) ?? ByteBuffer())
        var shifted = one.getSlice(at: 6, length: one.readableBytes - 6) ?? ByteBuffer()
        shifted.writeImmutableBuffer(one.getSlice(at: 0, length: 6) ?? ByteBuffer())
        for _ in 0..<2_000 {
            received.writeImmutableBuffer(shifted)
            while let frame = try decoder.next(&received) {
                frames += frame.payload.readableBytes == payload ? 1 : 0
            }
            received.reclaim()
            #expect(received.readableBytes == 6)
            guard received.capacity <= 512 * 1_024 else {
                Issue.record("\(received.capacity) bytes held after \(frames) frames")
                return
            }
        }
        #expect(frames == 2_000)
    }

    @Test func anEmptyBufferHoldsNothingAndAFullOneKeepsItsBytes() {
        var buffer = ByteBuffer(repeating: 1, count: 1_048_576)
        let before = buffer
        buffer.reclaim()
        #expect(buffer == before && buffer.readerIndex == 0)
        buffer.moveReaderIndex(forwardBy: 1_048_000)
        let left = buffer.readableBytesView.map { $0 }
        buffer.reclaim()
        #expect(Array(buffer.readableBytesView) == left && buffer.readerIndex == 0)
        #expect(buffer.capacity < 65_536)
        buffer.moveReaderIndex(to: buffer.writerIndex)
        buffer.reclaim()
        #expect(buffer.capacity == 0)
    }

    @Test func theDeadlineCanBeAddedToARequestAfterwards() throws {
        let request = SearchRequest(collections: ["a"], vector: VectorBytes([1, 2]), k: 3, exact: true)
        var buffer = ByteBuffer()
        request.encode(into: &buffer)
        let length = buffer.readableBytes
        SearchRequest.write(deadline: .milliseconds(40), into: &buffer)
        #expect(buffer.readableBytes - length == SearchRequest.deadlineFieldLength)
        var expected = request
        expected.deadline = .milliseconds(40)
        #expect(try SearchRequest(decoding: buffer) == expected)
    }
}
