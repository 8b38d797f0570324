internal import Dispatch
internal import Synchronization

/// One small thing that is measured: an operation that can be done any number of times.
struct Benchmark: Sendable {
    /// Does it so many times. What it returns depends on every result, so that the compiler cannot leave any out.
    typealias Operation = (_ count: Int) throws -> Int

    let name: String
    let about: String
    /// It runs on one thread, so its instructions are the same in every run and a limit can be set for them.
    let isGuarded: Bool
    /// How many are enough for counting them: a hundred, or fewer of what is large.
    let countedOperations: Int
    /// Makes what the operation needs.
    let prepare: @Sendable () throws -> Operation

    init(
        _ name: String, _ about: String, countedOperations: Int = 100,
        prepare: @escaping @Sendable () throws -> Operation
    ) {
        self.name = name
        self.about = about
        isGuarded = true
        self.countedOperations = countedOperations
        self.prepare = prepare
    }

    /// One that needs other threads.
    init(
        _ name: String, _ about: String,
        threads prepare: @escaping @Sendable () async throws -> @Sendable (_ count: Int) async throws -> Int
    ) {
        self.name = name
        self.about = about
        isGuarded = false
        countedOperations = 0
        self.prepare = {
            let operation = try waited { try await prepare() }
            return { count in try waited { try await operation(count) } }
        }
    }

    static let all =
        messageBenchmarks + vectorBenchmarks + mergeBenchmarks + machineBenchmarks + meterBenchmarks + laneBenchmarks

    /// Those with the name, or whose names begin with it and a hyphen.
    static func named(_ name: String) -> [Benchmark] {
        all.filter { $0.name == name || $0.name.hasPrefix(name + "-") }
    }
}

/// Runs something asynchronous to its end. The main thread is no task, and stays so: a counter of instructions that
/// looks at programs from outside cannot follow one that ends its first thread, as asynchronous ones do.
private func waited<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value {
    let ended = DispatchSemaphore(value: 0)
    let outcome = Outcome<Value>()
    Task {
        do { outcome.set(.success(try await body())) } catch { outcome.set(.failure(error)) }
        ended.signal()
    }
    ended.wait()
    return try outcome.get()
}

private final class Outcome<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, any Error>?>(nil)

    func set(_ value: Result<Value, any Error>) { result.withLock { $0 = value } }

    func get() throws -> Value {
        guard let result = result.withLock({ $0 }) else { throw Unexpected("an operation did not end") }
        return try result.get()
    }
}

/// What an operation cannot go on with; it never happens in a benchmark that is right.
struct Unexpected: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
