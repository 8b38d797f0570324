import Glibc
import SluiceReactor
import Testing

/// An actor that lives on a reactor, as a connection does.
private actor Resident {
    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    init(_ reactor: Reactor) { self.reactor = reactor }

    func isAtHome() -> Bool { reactor.isOnReactor }

    /// Fires in the order of their instants, and not those that were cancelled.
    func timers(_ delays: [Int64], cancelling cancelled: Set<Int>) async -> [Int] {
        let now = Reactor.now()
        return await withCheckedContinuation { continuation in
            let fired = Fired(expected: delays.count - cancelled.count, continuation)
            for (index, delay) in delays.enumerated() {
                let timer = reactor.schedule(at: now + delay) { fired.add(index) }
                if cancelled.contains(index) { reactor.cancel(timer) }
            }
        }
    }

    private final class Fired {
        private let expected: Int
        private let continuation: CheckedContinuation<[Int], Never>
        private var order: [Int] = []

        init(expected: Int, _ continuation: CheckedContinuation<[Int], Never>) {
            self.expected = expected
            self.continuation = continuation
        }

        func add(_ index: Int) {
            order.append(index)
            if order.count == expected { continuation.resume(returning: order) }
        }
    }

    func watch(_ descriptor: Int32, _ owner: any DescriptorOwner & Sendable) throws -> Watch {
        try reactor.watch(descriptor, for: .read, owner: owner)
    }

    func unwatch(_ watch: Watch) { reactor.unwatch(watch) }
}

/// Reads one byte whenever it is told, and passes it on.
private final class ByteReader: DescriptorOwner, Sendable {
    let descriptor: Int32
    let bytes: AsyncStream<UInt8>.Continuation

    init(_ descriptor: Int32, _ bytes: AsyncStream<UInt8>.Continuation) {
        self.descriptor = descriptor
        self.bytes = bytes
    }

    func descriptorIsReady() {
        var byte: UInt8 = 0
        if read(descriptor, &byte, 1) == 1 { bytes.yield(byte) }
    }
}

@Suite struct ReactorTests {
    @Test func actorsAndTheirChildrenStayOnTheThread() async throws {
        let reactor = try Reactor(name: "test")
        defer { reactor.stop() }
        let resident = Resident(reactor)
        #expect(!reactor.isOnReactor)
        let places = await Task(executorPreference: reactor) {
            await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<100 {
                    group.addTask { await resident.isAtHome() && reactor.isOnReactor }
                }
                return await group.reduce(into: [Bool]()) { $0.append($1) }
            }
        }.value
        #expect(places.count == 100 && places.allSatisfy { $0 })
    }

    @Test func jobsFromManyThreadsAllRun() async throws {
        let reactor = try Reactor(name: "test")
        defer { reactor.stop() }
        let resident = Resident(reactor)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<2_000 { group.addTask { #expect(await resident.isAtHome()) } }
        }
    }

    @Test func timersFireInOrderAndCancelledOnesDoNot() async throws {
        let reactor = try Reactor(name: "test")
        defer { reactor.stop() }
        let order = await Resident(reactor).timers(
            [3_000_000, 1_000_000, 2_000_000, 0, 1_500_000], cancelling: [2])
        #expect(order == [3, 1, 4, 0])
    }

    @Test func aDescriptorIsWatchedUntilItIsNot() async throws {
        let reactor = try Reactor(name: "test")
        defer { reactor.stop() }
        let resident = Resident(reactor)
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let (stream, continuation) = AsyncStream.makeStream(of: UInt8.self)
        let reader = ByteReader(ends[0], continuation)
        let watch = try await resident.watch(ends[0], reader)
        var iterator = stream.makeAsyncIterator()
        for byte in [UInt8](arrayLiteral: 7, 8, 9) {
            var value = byte
            #expect(write(ends[1], &value, 1) == 1)
            let read = await iterator.next()
            #expect(read == byte)
        }
        await resident.unwatch(watch)
        var value: UInt8 = 1
        #expect(write(ends[1], &value, 1) == 1)
        // Two turns of the loop later nobody has read it.
        for _ in 0..<2 { _ = await resident.isAtHome() }
        continuation.finish()
        let nothing = await iterator.next()
        #expect(nothing == nil)
    }
}

@Suite struct BlockingWorkersTests {
    @Test func workBeyondThreadsAndQueueIsRefused() async {
        let workers = BlockingWorkers(limit: 2, queueLimit: 1)
        var gate: [Int32] = [0, 0]
        #expect(pipe(&gate) == 0)
        let (waiting, opening) = (gate[0], gate[1])
        defer { close(waiting) }
        let done = AsyncStream.makeStream(of: Int.self)
        let accepted = (0..<5).map { number in
            workers.submit {
                // Blocks until the other end of the pipe is closed.
                var byte: UInt8 = 0
                _ = read(waiting, &byte, 1)
                done.continuation.yield(number)
            }
        }
        #expect(accepted == [true, true, true, false, false])
        close(opening)
        var finished: Set<Int> = []
        for await number in done.stream {
            finished.insert(number)
            if finished.count == 3 { break }
        }
        #expect(finished == [0, 1, 2])
        #expect(await workers.run { 42 } == 42)
    }
}
