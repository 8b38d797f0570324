internal import COpenSSL
public import SluiceReactor
internal import Synchronization

/// The steps of dials to one server, away from the reactors: libpq computes in them (a TLS handshake, SCRAM: about 5 ms
/// for 4,096 iterations) and reads certificates, and other connections must not wait for that.
///
/// A step that takes for ever holds a thread; the limit is the most that one server can hold.
public final class DialAllowance: Sendable {
    private struct Steps {
        var running = 0
        var waiting: [@Sendable () -> Void] = []
    }

    /// Otherwise OpenSSL would free what it has when the program exits, under a worker that computes with it.
    private static let isOpenSSLKeptAtExit = OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil) == 1

    private let workers: BlockingWorkers
    private let limit: Int
    private let steps = Mutex(Steps())

    /// - Parameters:
    ///   - workers: with `limit` threads for each server.
    ///   - limit: steps to this server at a time; the others wait.
    public init(workers: BlockingWorkers, limit: Int = 2) {
        self.workers = workers
        self.limit = max(1, limit)
        // Before the program's first use of OpenSSL, which decides it.
        _ = Self.isOpenSSLKeptAtExit
    }

    /// Runs `step` on a thread of its own, after those that wait. False if there is no thread for it.
    package func submit(_ step: @escaping @Sendable () -> Void) -> Bool {
        let mustWait = steps.withLock { steps in
            if steps.running < limit {
                steps.running += 1
                return false
            }
            steps.waiting.append(step)
            return true
        }
        if mustWait { return true }
        let isAccepted = workers.submit {
            step()
            while let next = self.next() { next() }
        }
        if !isAccepted { steps.withLock { $0.running -= 1 } }
        return isAccepted
    }

    private func next() -> (@Sendable () -> Void)? {
        steps.withLock { steps in
            if steps.waiting.isEmpty {
                steps.running -= 1
                return nil
            }
            return steps.waiting.removeFirst()
        }
    }
}
