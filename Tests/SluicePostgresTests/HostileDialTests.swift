import PostgresTestKit
import SluicePostgres
import SluiceReactor
import Synchronization
import Testing

/// Servers that misbehave before they have let a connection in.
@Suite(.serialized) struct HostileDialTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var greeting: @Sendable (Peer) throws -> Void

        init(_ name: String, _ greeting: @escaping @Sendable (Peer) throws -> Void) {
            testDescription = name
            self.greeting = greeting
        }
    }

    private static let patience: Duration = .milliseconds(500)

    private static func numbered(_ peer: Peer) throws -> Never {
        var number = 0
        try peer.flood {
            Message(
                raw: (0..<1_000).flatMap { _ in
                    number += 1
                    return Message.parameter("p\(number)", "").bytes
                })
        }
    }

    static let silences: [Case] = [
        .init("nothing") { try $0.stall() },
        .init("nothing after the start-up message") {
            try $0.readStartup()
            try $0.stall()
        },
        .init("nothing after the mechanisms") {
            try $0.readStartup()
            $0.write(.authentication(10, Message.text("SCRAM-SHA-256") + [0]))
            try $0.stall()
        },
        .init("half a message") {
            try $0.readStartup()
            $0.write(Message(raw: [UInt8(ascii: "R"), 0, 0]))
            try $0.stall()
        },
        .init("nothing after the password was right") {
            try $0.readStartup()
            $0.write(.authenticationOk)
            try $0.stall()
        },
        .init("nothing after the parameters") {
            try $0.readStartup()
            $0.write(.authenticationOk, .parameter("server_version", "16.4"), .keyData)
            try $0.stall()
        },
    ]

    static let nonsense: [Case] = [
        .init("hangs up") { try $0.hangUp() },
        .init("hangs up after the start-up message") {
            try $0.readStartup()
            try $0.hangUp()
        },
        .init("another protocol") {
            try $0.readStartup()
            $0.write(Message(raw: Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)))
            try $0.stall()
        },
        .init("bytes without sense") {
            try $0.readStartup()
            try $0.flood(Message(raw: (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }))
        },
        // libpq takes it for an error of a server of before 2003, and reads up to its end.
        .init("an old error without an end") {
            try $0.readStartup()
            try $0.flood(Message(raw: Array(repeating: UInt8(ascii: "E"), count: 65_536)))
        },
        .init("a request of a negative length") {
            try $0.readStartup()
            $0.write(Message("R", [0, 0, 0, 0], length: -1))
            try $0.stall()
        },
        .init("an error with a colour") {
            try $0.readStartup()
            $0.write(.error([("S", "FATAL"), ("C", "28000"), ("M", "\u{1B}[31mgeheim\u{7}")]))
            try $0.hangUp()
        },
        .init("a mechanism that there is not") {
            try $0.readStartup()
            $0.write(.authentication(10, Message.text("SCRAM-MD2") + [0]))
            try $0.stall()
        },
        .init("requests without end") {
            try $0.readStartup()
            try $0.flood(.authentication(12, []))
        },
        .init("the beginning of the next message before its turn") {
            try $0.readStartup()
            $0.write(.authentication(10, Message.text("SCRAM-SHA-256") + [0]), Message(raw: [UInt8(ascii: "R"), 0, 0]))
            try $0.stall()
        },
        .init("an unsolicited COPY") {
            try $0.readStartup()
            $0.write(.authenticationOk, .copy("G"))
            try $0.stall()
        },
        .init("notices without end") {
            try $0.readStartup()
            $0.write(.authenticationOk)
            try $0.flood(.notice("and so on"))
        },
        .init("parameters without end") {
            try $0.readStartup()
            $0.write(.authenticationOk)
            try numbered($0)
        },
    ]

    /// More than may be, and what is no number at all.
    static let iterations: [Case] = [
        "1000001", "10000000", "2147483647", "4294967297", "99999999999999999999", " 2147483647", "0x7fffffff", "-1",
        "0",
    ].map { count in .init("\(count) SCRAM iterations") { try $0.askForSCRAM(iterations: count) } }

    /// It lets the connection in, and answers the first question as no server does.
    static let facts: [Case] = [
        .init("no answer") { try $0.stall() },
        .init("an error without SQLSTATE") { $0.write(.error([("M", "no code")])) },
        .init("a value too few") { $0.texts([["public"]]) },
        .init("no row") { $0.texts([]) },
        .init("rows without end") {
            $0.write(.description([.init("a", type: 25, format: 0)]))
            try $0.flood(.row([Array("x".utf8)]))
        },
        .init("an unsolicited COPY") {
            $0.write(.copy("W"))
            try $0.flood(Message("d", [1]))
        },
        .init("parameters without end") { try numbered($0) },
    ]

    private func expectFailure(
        _ script: FakePostgres.Script, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let server = try FakePostgres(script)
        defer { server.stop() }
        let reactor = try Reactor(name: "hostile")
        defer { reactor.stop() }
        try await Companion.beside(on: reactor) {
            let settings = try server.settings("password=geheim")
            let started = Reactor.now()
            do throws(PostgresFailure) {
                let connection = try await PostgresConnection.connect(
                    settings, on: reactor, deadline: started + Self.patience.nanoseconds,
                    onClose: {})
                Issue.record("connected", sourceLocation: sourceLocation)
                await connection.close()
            } catch {
                #expect(!"\(error)".contains("geheim"), sourceLocation: sourceLocation)
                #expect("\(error)".unicodeScalars.allSatisfy { $0.value >= 32 }, sourceLocation: sourceLocation)
            }
            let took = Duration.nanoseconds(Reactor.now() - started)
            #expect(took < Self.patience * 2, "\(took)", sourceLocation: sourceLocation)
            await server.wait { $0.open == 0 }
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: silences + nonsense + iterations)
    func theDialFailsAndItsConnectionIsClosed(_ hostile: Case) async throws {
        try await expectFailure(.init(greeting: hostile.greeting))
    }

    @Test(.timeLimit(.minutes(1)), arguments: facts)
    func theDialFailsWithTheFirstQuestion(_ hostile: Case) async throws {
        try await expectFailure(.init(facts: hostile.greeting))
    }

    /// As many as are taken: libpq computes for about a second, away from the reactor.
    @Test(.timeLimit(.minutes(1))) func libpqComputesAwayFromTheReactor() async throws {
        let server = try FakePostgres(
            .init(greeting: { try $0.askForSCRAM(iterations: String(AuthenticationWatch.mostIterations)) }))
        defer { server.stop() }
        let reactor = try Reactor(name: "hostile")
        defer { reactor.stop() }
        try await Companion.beside(on: reactor) {
            await #expect {
                try await PostgresConnection.connect(
                    server.settings("password=geheim"), on: reactor, deadline: Reactor.now() + 30_000_000_000,
                    onClose: {})
            } throws: { error in
                // It has read the last message, of which this server cannot know the contents.
                "\(error)".contains("signature")
            }
            await server.wait { $0.open == 0 }
        }
    }

    /// A dial that is given up while libpq computes ends when libpq is done, and keeps nobody waiting.
    @Test(.timeLimit(.minutes(1))) func aDialThatComputesCanBeGivenUp() async throws {
        let count = String(AuthenticationWatch.mostIterations / 2)
        let server = try FakePostgres(.init(greeting: { try $0.askForSCRAM(iterations: count) }))
        defer { server.stop() }
        let reactor = try Reactor(name: "hostile")
        defer { reactor.stop() }
        let settings = try server.settings("password=geheim")
        let started = Reactor.now()
        for isCancelled in [false, true] {
            let limit = isCancelled ? 30_000_000_000 : Int64(100_000_000)
            let dial = Task {
                try await PostgresConnection.connect(
                    settings, on: reactor, deadline: Reactor.now() + limit, onClose: {})
            }
            if isCancelled {
                await server.wait { $0.accepted == 2 }
                dial.cancel()
            }
            await #expect(throws: PostgresFailure.self) { try await dial.value }
        }
        #expect(Reactor.now() - started < 1_000_000_000)
        await server.wait { $0.open == 0 }
    }

    /// The thread of the step before may have done its work and not said so yet.
    @Test(.timeLimit(.minutes(1))) func aStepRightAfterAnotherGetsItsThread() async {
        let workers = BlockingWorkers(limit: 2)
        let refused = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    let dials = DialAllowance(workers: workers, limit: 1)
                    var refused = 0
                    for _ in 0..<10_000 {
                        let isAccepted = await withCheckedContinuation { continuation in
                            let isAccepted = dials.submit { continuation.resume(returning: true) }
                            if !isAccepted { continuation.resume(returning: false) }
                        }
                        if !isAccepted { refused += 1 }
                    }
                    return refused
                }
            }
            return await group.reduce(0, +)
        }
        #expect(refused == 0)
    }

    /// Steps that take for ever: they hold the threads of one server only, and no more than it may have.
    @Test(.timeLimit(.minutes(1))) func aServerThatHoldsItsThreadsHoldsNoOther() async throws {
        let workers = BlockingWorkers(limit: 4)
        let stuck = DialAllowance(workers: workers)
        let lock = DispatchGate()
        for _ in 0..<100 {
            #expect(stuck.submit { lock.pass() })
        }
        let server = try FakePostgres()
        defer { server.stop() }
        let reactor = try Reactor(name: "hostile")
        defer { reactor.stop() }
        let good = DialAllowance(workers: workers)
        var connections: [PostgresConnection] = []
        for _ in 0..<4 {
            connections.append(
                try await PostgresConnection.connect(
                    server.settings(dials: good), on: reactor, deadline: Reactor.now() + 5_000_000_000, onClose: {}))
        }
        await #expect(throws: PostgresFailure.self) {
            try await PostgresConnection.connect(
                server.settings(dials: stuck), on: reactor, deadline: Reactor.now() + 100_000_000, onClose: {})
        }
        #expect(lock.most == 2)
        lock.open()
        connections.append(
            try await PostgresConnection.connect(
                server.settings(dials: stuck), on: reactor, deadline: Reactor.now() + 5_000_000_000, onClose: {}))
        for connection in connections { await connection.close() }
    }
}
