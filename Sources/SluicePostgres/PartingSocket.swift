internal import Glibc
internal import SluiceReactor

/// A connection that has ended here and that the server may still hold: it counts there until the server closes its
/// side, too. On its reactor only.
final class PartingSocket: DescriptorOwner {
    private let descriptor: Int32
    private let reactor: Reactor
    private var watch: Watch?
    private var timer: TimerID?
    private var completion: (() -> Void)?
    /// Bytes that came after the end.
    private var dropped = 0

    /// - Parameter descriptor: the connection's, duplicated before libpq closed its own; closed by this.
    init(_ descriptor: Int32, on reactor: Reactor) {
        self.descriptor = descriptor
        self.reactor = reactor
    }

    /// Says that nothing more will come, and calls `completion` once: when the server has closed, or at `limit`.
    func wait(until limit: Int64, _ completion: @escaping () -> Void) {
        self.completion = completion
        _ = shutdown(descriptor, Int32(SHUT_WR))
        timer = reactor.schedule(at: limit) { self.end() }
        do {
            watch = try reactor.watch(descriptor, for: .read, owner: self)
        } catch {
            end()
        }
    }

    func descriptorIsReady() {
        var scratch = InlineArray<4_096, UInt8>(repeating: 0)
        // What it still sends is of no interest; its end is. A little at a time: others wait for this thread.
        for _ in 0..<16 {
            var bytes = scratch.mutableSpan
            let count = bytes.withUnsafeMutableBufferPointer {
                recv(descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
            }
            if count > 0 {
                dropped += count
                if dropped > Self.mostDropped { return end() }
                continue
            }
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            return end()
        }
    }

    /// A server that sends more does not stop by itself.
    private static let mostDropped = 16_777_216

    private func end() {
        guard let completion = completion.take() else { return }
        if let timer { reactor.cancel(timer) }
        if let watch { reactor.unwatch(watch) }
        Glibc.close(descriptor)
        completion()
    }
}
