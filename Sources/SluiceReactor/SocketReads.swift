internal import CLinuxEvents

/// Bounds what a C library reads from sockets while it is called.
///
/// libpq reads a long message until the socket is empty, which a fast server can put off for as long as it likes: it
/// would hold the thread, and gigabytes.
public enum SocketReads {
    /// Calls `body`. To `recv` on this thread a socket seems empty when `body` has read so many bytes of all sockets.
    /// - Returns: what `body` returns, and how many bytes it has read.
    public static func bounded<Result>(to bytes: Int, _ body: () -> Result) -> (result: Result, bytes: Int) {
        sluice_bound_reads(Int64(bytes))
        let result = body()
        return (result, bytes - Int(sluice_unbound_reads()))
    }
}
