internal import Synchronization

/// The bytes that all sessions have received and sent.
final class Traffic: Sendable {
    private let receivedBytes = Atomic<Int>(0)
    private let sentBytes = Atomic<Int>(0)

    func received(_ bytes: Int) { receivedBytes.wrappingAdd(bytes, ordering: .relaxed) }
    func sent(_ bytes: Int) { sentBytes.wrappingAdd(bytes, ordering: .relaxed) }

    var received: Int { receivedBytes.load(ordering: .relaxed) }
    var sent: Int { sentBytes.load(ordering: .relaxed) }
}
