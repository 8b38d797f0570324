internal import Glibc
public import SluiceReactor
internal import Synchronization

/// Looks names up away from the reactors: libpq would block in DNS (10 s were seen with a dead resolver). Whoever asks
/// for a name that is being looked up waits for the same answer.
public final class AddressResolver: Sendable {
    private typealias Waiter = @Sendable ([String]?) -> Void

    private let workers: BlockingWorkers
    private let underWay = Mutex<[String: [Waiter]]>([:])

    /// - Parameter workers: its own, because a dead resolver holds each of them for long.
    public init(workers: BlockingWorkers) { self.workers = workers }

    static func isNumeric(_ host: String) -> Bool {
        var address = in6_addr()
        return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
    }

    /// The numeric addresses of a name in the system's order of preference; empty if there are none.
    /// - Parameter deadline: an instant of `Reactor.now()`. The look-up itself cannot be stopped, only left.
    package func addresses(of host: String, deadline: Int64) async throws(PostgresFailure) -> [String] {
        let patience = Duration.nanoseconds(max(0, deadline - Reactor.now()))
        let answer = FirstAnswer<[String]?>()
        let timeout = Task {
            try? await Task.sleep(for: patience)
            answer.give(nil)
        }
        defer { timeout.cancel() }
        look(up: host) { answer.give($0) }
        let found = await withTaskCancellationHandler {
            await answer.value
        } onCancel: {
            answer.give(nil)
        }
        guard let found else { throw PostgresFailure(.unreachable, "the name \(host) could not be looked up in time") }
        return found
    }

    private func look(up host: String, _ waiter: @escaping Waiter) {
        let isFirst = underWay.withLock { underWay in
            underWay[host, default: []].append(waiter)
            return underWay[host]?.count == 1
        }
        guard isFirst else { return }
        let isAccepted = workers.submit { self.found(Self.lookUp(host), of: host) }
        if !isAccepted { found(nil, of: host) }
    }

    private func found(_ addresses: [String]?, of host: String) {
        for waiter in underWay.withLock({ $0.removeValue(forKey: host) }) ?? [] { waiter(addresses) }
    }

    private static func lookUp(_ host: String) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [String] = []
        var next = list
        while let entry = next {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let result = getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            if result == 0 {
                let address = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                if !found.contains(address) { found.append(address) }
            }
            next = entry.pointee.ai_next
        }
        return found
    }
}

/// A value that several may give and one waits for: the first one counts.
private final class FirstAnswer<Value: Sendable>: Sendable {
    private enum State {
        case empty
        case waiting(CheckedContinuation<Value, Never>)
        case given(Value)
    }

    private let state = Mutex(State.empty)

    func give(_ value: Value) {
        let waiter = state.withLock { state -> CheckedContinuation<Value, Never>? in
            switch state {
            case .given: return nil
            case .empty:
                state = .given(value)
                return nil
            case .waiting(let continuation):
                state = .given(value)
                return continuation
            }
        }
        waiter?.resume(returning: value)
    }

    /// Asked for once.
    var value: Value {
        get async {
            await withCheckedContinuation { continuation in
                let given = state.withLock { state -> Value? in
                    if case .given(let value) = state { return value }
                    state = .waiting(continuation)
                    return nil
                }
                if let given { continuation.resume(returning: given) }
            }
        }
    }
}
