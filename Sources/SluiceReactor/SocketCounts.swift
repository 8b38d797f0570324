internal import CLinuxEvents

/// What the kernel has counted of a socket.
public enum SocketCounts {
    /// How many bytes have come, read or not; nil of a socket that does not count them, as a Unix socket.
    public static func received(_ descriptor: Int32) -> Int64? {
        let count = sluice_received_bytes(descriptor)
        return count < 0 ? nil : count
    }

    /// How many bytes have been read; nil if that is not known.
    public static func read(_ descriptor: Int32) -> Int64? {
        // Both must be of one moment: packets may come between the two questions.
        for _ in 0..<attempts {
            guard let before = received(descriptor) else { return nil }
            let unread = sluice_unread_bytes(descriptor)
            guard unread >= 0, let after = received(descriptor) else { return nil }
            if before == after { return before - unread }
        }
        return nil
    }

    private static let attempts = 8
}
