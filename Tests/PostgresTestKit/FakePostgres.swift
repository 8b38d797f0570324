import Foundation
import Synchronization

/// A server that speaks just enough of PostgreSQL's protocol for the gateway to connect and to search, until its script
/// says otherwise. Each connection has a thread; nothing of it is meant for anything but tests.
public final class FakePostgres: Sendable {
    public struct Script: Sendable {
        /// From the first byte after the socket was accepted to the first ReadyForQuery.
        public var greeting: @Sendable (Peer) throws -> Void = { try $0.greet() }
        /// The gateway's first question on a connection.
        public var facts: @Sendable (Peer) throws -> Void = { try $0.sendFacts() }
        /// What comes in the place of a search's rows, up to the Sync's answer, which follows by itself.
        public var leg: @Sendable (Peer, Question) throws -> Void = { try $0.answer($1) }
        /// After a ReadyForQuery.
        public var idle: @Sendable (Peer) throws -> Void = { _ in }
        public var tls: FakeTLS?
        /// Its cluster's; nil if the gateway may not ask for it.
        public var systemIdentifier: String? = "7268616322854375442"

        public init() {}

        public init(leg: @escaping @Sendable (Peer, Question) throws -> Void) { self.leg = leg }
        public init(greeting: @escaping @Sendable (Peer) throws -> Void) { self.greeting = greeting }
        public init(facts: @escaping @Sendable (Peer) throws -> Void) { self.facts = facts }
    }

    public struct Counts: Sendable {
        public var accepted = 0
        public var open = 0
        /// Searches that were asked for.
        public var legs = 0
        public var cancels = 0
        /// Bytes that the kernel has taken from `flood`.
        public var flooded = 0
    }

    private struct State {
        var counts = Counts()
        var sockets: Set<Int32> = []
        var isStopped = false
        var waiters: [UUID: (condition: @Sendable (Counts) -> Bool, continuation: CheckedContinuation<Void, Never>)] =
            [:]
    }

    public let port: Int
    private let listener: Int32
    private let script: Script
    private let state = Mutex(State())

    public init(_ script: Script = Script()) throws {
        self.script = script
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutableBytes(of: &address) { bytes in
            let pointer = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self)
            return pointer.map {
                bind(listener, $0, length) == 0 && listen(listener, 128) == 0 && getsockname(listener, $0, &length) == 0
            } ?? false
        }
        guard isListening else { throw Ended() }
        self.listener = listener
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { self.accept() }
    }

    /// Without a password.
    public var dsn: String { "host=127.0.0.1 port=\(port) dbname=sluice user=sluice" }

    public var counts: Counts { state.withLock { $0.counts } }

    /// Returns once what has been counted is so, or the task is cancelled.
    public func wait(until condition: @escaping @Sendable (Counts) -> Bool) async {
        let name = UUID()
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if condition(state.counts) || Task.isCancelled { return true }
                    state.waiters[name] = (condition: condition, continuation: continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: name)?.continuation }?.resume()
        }
    }

    /// Ends every connection, and accepts no more.
    public func stop() {
        state.withLock { state in
            guard !state.isStopped else { return }
            state.isStopped = true
            for socket in state.sockets { shutdown(socket, Int32(SHUT_RDWR)) }
        }
        shutdown(listener, Int32(SHUT_RDWR))
    }

    func count(_ change: (inout Counts) -> Void) {
        let met = state.withLock { state in
            change(&state.counts)
            let met = state.waiters.filter { $0.value.condition(state.counts) }
            for name in met.keys { state.waiters[name] = nil }
            return met.values.map(\.continuation)
        }
        for continuation in met { continuation.resume() }
    }

    private func accept() {
        while true {
            let socket = Glibc.accept(listener, nil, nil)
            guard socket >= 0 else { break }
            // A program that a test starts must not keep the connection open.
            _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
            let isStopped = state.withLock { state in
                if !state.isStopped { state.sockets.insert(socket) }
                return state.isStopped
            }
            if isStopped {
                close(socket)
                break
            }
            count {
                $0.accepted += 1
                $0.open += 1
            }
            Thread.detachNewThread { self.serve(socket) }
        }
        close(listener)
    }

    private func serve(_ socket: Int32) {
        let peer = Peer(socket, script, self)
        do {
            try script.greeting(peer)
            try peer.flush()
            try script.idle(peer)
            while true { try peer.serveOne() }
        } catch {
            // The connection has ended, by whichever side.
        }
        peer.end()
        state.withLock { _ = $0.sockets.remove(socket) }
        close(socket)
        count { $0.open -= 1 }
    }

    /// The other side has gone, or a script has had enough.
    public struct Ended: Error {
        public init() {}
    }
}
