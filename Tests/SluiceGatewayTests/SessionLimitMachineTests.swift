import SluiceCore
import SluiceGateway
import SluiceWire
import Testing

private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

/// How often a session may do what costs it nothing.
@Suite struct SessionAllowancesTests {
    @Test(arguments: [
        (SessionAllowances.Kind.pings, 10), (.cancels, 30), (.errors, 40),
    ])
    func theEdgeAndOneBeyond(kind: SessionAllowances.Kind, burst: Int) {
        // In flight: all of them may be cancelled, or be wrong, at once.
        var allowances = SessionAllowances(pings: 10, cancels: 20, errors: 40, inFlight: 30, now: at(0))
        let within = (0..<burst).filter { _ in allowances.take(kind, now: at(0)) }
        #expect(within.count == burst)
        let beyond = allowances.take(kind, now: at(0))
        #expect(!beyond)
        for other in [SessionAllowances.Kind.pings, .cancels, .errors] where other != kind {
            let hasOwn = allowances.take(other, now: at(0))
            #expect(hasOwn)
        }
        let later = allowances.take(kind, now: at(100))
        #expect(later, "a tenth of a second's worth has come back")
    }

    private typealias Counted = (
        action: SessionMachine.FrameAction, frame: FrameKind, isEmpty: Bool, kind: SessionAllowances.Kind?
    )

    private static let counted: [Counted] = [
        (.pong, .ping, false, .pings),
        (.listCollections, .collections, true, .pings), (.cancel, .cancel, true, .cancels),
        (.nothing, .cancel, true, .cancels), (.nothing, .loadEnd, false, .errors), (.nothing, .loadRows, true, .pings),
        (.nothing, .loadRows, false, nil), (.loadRows, .loadRows, true, .pings), (.loadRows, .loadRows, false, nil),
        (.loadEnd, .loadEnd, false, nil), (.search, .search, true, nil), (.write, .write, true, nil),
        (.refuse(.tooManyInFlight, ""), .search, false, nil),
    ]

    @Test(arguments: counted.indices) func whatEveryFrameCountsAs(index: Int) {
        let (action, frame, isEmpty, kind) = Self.counted[index]
        #expect(SessionAllowances.kind(of: action, frame, isEmpty: isEmpty) == kind)
    }

    /// Every code is one or the other: a new one has to be thought about here.
    @Test func whoseFaultAnErrorIs() {
        let clients: [ErrorCode] = [
            .malformed, .invalidArgument, .unknownCollection, .unknownColumn, .dimensionMismatch, .tooManyInFlight,
            .unauthenticated, .unknownCursor, .modelMismatch, .notSupported, .badRow, .permissionDenied,
        ]
        let others: [ErrorCode] = [
            .unsupportedVersion, .protocolViolation, .frameTooLarge, .deadlineExceeded, .cancelled, .unavailable,
            .busy, .backendError, .internalError, .shuttingDown, .handshakeTimeout, .limitExceeded,
        ]
        for code in clients { #expect(code.isClientsFault, "\(code)") }
        for code in others { #expect(!code.isClientsFault, "\(code)") }
        #expect(Set((clients + others).map(\.rawValue)) == Set(1...24))
        #expect(ErrorCode(rawValue: 25).name == "code_25")
    }
}

/// A session's share of its event loop.
@Suite struct TurnBudgetTests {
    @Test func aTurnHasRoomForSoManyPingsAndNotOneMore() {
        var turn = TurnBudget()
        for _ in 0..<TurnBudget.size {
            #expect(turn.hasRoom)
            turn.spend(on: .ping, payload: 64)
        }
        #expect(!turn.hasRoom)
        turn.begin()
        #expect(turn.hasRoom)
    }

    @Test func longTurnsHaveLongPauses() {
        var turn = TurnBudget()
        #expect(turn.pause == .microseconds(50))
        turn.spend(on: .search, payload: 4_096 * 100)
        turn.spend(measured: .microseconds(TurnBudget.size - 117))
        #expect(turn.hasRoom)
        turn.spend(answer: 4_096)
        #expect(!turn.hasRoom && turn.pause == .microseconds(TurnBudget.size))
        turn.spend(on: .loadRows, payload: 1 << 20)
        #expect(turn.pause == .microseconds(TurnBudget.size + 257))
    }
}

/// Peers that send a few bytes at a time.
@Suite struct DribbleTests {
    @Test func afterSomeReadsOfAFewBytesItIsOne() {
        var dribble = Dribble()
        let first = (0..<Dribble.usual).filter { _ in dribble.arrived(1, completed: false) }
        #expect(first.isEmpty)
        let next = (0..<1_000).filter { _ in dribble.arrived(255, completed: false) }
        #expect(next.count == 1_000)
    }

    @Test func largeReadsAndWholeFramesAreNone() {
        var dribble = Dribble()
        for _ in 0..<100 {
            for _ in 0..<Dribble.usual { #expect(dribble.arrived(1, completed: false) == false) }
            #expect(dribble.arrived(256, completed: false) == false)
        }
        for _ in 0..<100 { #expect(dribble.arrived(1, completed: true) == false) }
    }

    /// A frame now and then is no way around it.
    @Test func framesByteByByteAreOne() {
        var dribble = Dribble()
        let slow = (0..<1_300).filter { dribble.arrived(1, completed: $0 % 13 == 12) }
        #expect(slow.count > 600)
    }
}

/// Peers that stop moving.
@Suite struct SessionWatchTests {
    private static func watch() -> SessionWatch { SessionWatch(.init(frame: .seconds(4), idle: .seconds(8))) }

    private func signs(
        frames: UInt64 = 0, within: Bool = false, taken: UInt64 = 0, owed: Bool = false
    ) -> SessionWatch.Signs {
        .init(frames: frames, isWithinFrame: within, taken: taken, isOwed: owed)
    }

    @Test func aSessionThatOwesNothingRests() {
        var watch = Self.watch()
        #expect(watch.looked(signs(), now: at(0)) == .rest)
        #expect(watch.looked(signs(frames: 7, taken: 9), now: at(100_000)) == .rest)
    }

    @Test func aFrameHasItsTimeAndNotMore() {
        var watch = Self.watch()
        #expect(watch.looked(signs(frames: 3, within: true), now: at(1_000)) == .lookAgain)
        #expect(watch.looked(signs(frames: 3, within: true), now: at(4_999)) == .lookAgain)
        #expect(watch.looked(signs(frames: 3, within: true), now: at(5_000)) == .closeUnfinished)
    }

    /// Always within a frame, but never the same one.
    @Test func whoSendsOneFrameAfterAnotherIsNotLate() {
        var watch = Self.watch()
        for number in 0..<100 {
            let signs = signs(frames: UInt64(number), within: true)
            #expect(watch.looked(signs, now: at(Int64(number) * 3_900)) == .lookAgain)
        }
        #expect(watch.looked(signs(frames: 100), now: at(400_000)) == .rest)
        #expect(watch.looked(signs(frames: 100, within: true), now: at(500_000)) == .lookAgain, "a new time begins")
    }

    @Test func whoTakesNothingLosesItsStreamsAndThenItsSession() {
        var watch = Self.watch()
        #expect(watch.looked(signs(taken: 5, owed: true), now: at(0)) == .lookAgain)
        #expect(watch.looked(signs(taken: 5, owed: true), now: at(7_999)) == .lookAgain)
        #expect(watch.looked(signs(taken: 5, owed: true), now: at(8_000)) == .endStreams)
        #expect(watch.looked(signs(taken: 5, owed: true), now: at(10_000)) == .lookAgain, "told once")
        #expect(watch.looked(signs(taken: 5, owed: true), now: at(15_999)) == .lookAgain)
        #expect(watch.looked(signs(taken: 5, owed: true), now: at(16_000)) == .closeUnread)
    }

    @Test func whoTakesALittleGoesOn() {
        var watch = Self.watch()
        for number in 0..<100 {
            let signs = signs(taken: UInt64(number), owed: true)
            #expect(watch.looked(signs, now: at(Int64(number) * 7_900)) == .lookAgain)
        }
    }

    @Test func itLooksFourTimesWithinTheShorterTime() {
        #expect(SessionWatch.Limits(frame: .seconds(4), idle: .seconds(8)).pause == .seconds(1))
        #expect(SessionWatch.Limits(frame: .seconds(40), idle: .seconds(8)).pause == .seconds(2))
        #expect(SessionWatch.Limits(frame: .zero, idle: .zero).pause == .milliseconds(1))
    }
}
