import Glibc
import SluiceReactor
import Testing

@Suite struct SocketReadsTests {
    /// Two sockets, of which the second has something to read.
    private func sockets(with bytes: Int) throws -> (Int32, Int32) {
        var pair: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &pair) == 0)
        #expect(write(pair[0], Array(repeating: UInt8(7), count: bytes), bytes) == bytes)
        return (pair[0], pair[1])
    }

    private func receive(_ descriptor: Int32, _ count: Int) -> Int {
        var bytes = [UInt8](repeating: 0, count: count)
        return recv(descriptor, &bytes, count, 0)
    }

    @Test func theSocketSeemsEmptyWhenEnoughWasRead() throws {
        let (far, near) = try sockets(with: 1_000)
        defer {
            close(far)
            close(near)
        }
        let (reads, bytes) = SocketReads.bounded(to: 600) {
            [receive(near, 500), receive(near, 500), receive(near, 500), errno == EAGAIN ? -1 : 0]
        }
        #expect(reads == [500, 100, -1, -1] && bytes == 600)
        #expect(receive(near, 1_000) == 400)
    }

    @Test func lessThanTheBoundIsCounted() throws {
        let (far, near) = try sockets(with: 10)
        defer {
            close(far)
            close(near)
        }
        #expect(SocketReads.bounded(to: 600) { receive(near, 500) } == (10, 10))
        #expect(SocketReads.bounded(to: 600) { receive(near, 500) } == (-1, 0))
    }
}
