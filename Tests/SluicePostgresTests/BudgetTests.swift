import Foundation
import PostgresTestKit
import SluicePostgres
import Testing

/// Threads stand before it until it is opened.
final class DispatchGate: @unchecked Sendable {
    // `@unchecked Sendable`: every use of its values is under the condition's lock.
    private let condition = NSCondition()
    private var isOpen = false
    private var inside = 0
    private var highest = 0

    /// The most that have stood there at a time.
    var most: Int {
        condition.lock()
        defer { condition.unlock() }
        return highest
    }

    func pass() {
        condition.lock()
        inside += 1
        highest = max(highest, inside)
        while !isOpen { condition.wait() }
        inside -= 1
        condition.unlock()
    }

    func open() {
        condition.lock()
        isOpen = true
        condition.broadcast()
        condition.unlock()
    }
}

@Suite struct ReadBudgetTests {
    @Test func allBytesCount() {
        var budget = ReadBudget(limit: 1_000)
        #expect(budget.spent(.init(bytes: 400, work: 0)) == .within)
        #expect(budget.spent(.init(bytes: 600, work: 0)) == .within)
        #expect(budget.spent(.init(bytes: 1, work: 0)) == .tooManyBytes)
    }

    @Test func workIsAllowedByTheByte() {
        var budget = ReadBudget(limit: 1_000_000)
        #expect(budget.spent(.init(bytes: 1, work: 50_000_000)) == .within)
        #expect(budget.spent(.init(bytes: 99_999, work: 20_000_000)) == .within)
        #expect(budget.spent(.init(bytes: 1, work: 201)) == .tooMuchWork)
    }

    @Test func readsThatBringNothingCostNothing() {
        var budget = ReadBudget(limit: 1_000_000)
        for _ in 0..<100 { #expect(budget.spent(.init(bytes: 0, work: 50_000_000)) == .within) }
        #expect(budget.spent(.init(bytes: 1, work: 50_000_201)) == .tooMuchWork)
    }

    @Test func workOnWhatWasDecryptedBeforeCountsToo() {
        var budget = ReadBudget(limit: 10)
        #expect(budget.spent(.init(bytes: 0, wasPending: true, work: 50_000_000)) == .within)
        #expect(budget.spent(.init(bytes: 0, wasPending: true, work: 1)) == .tooMuchWork)
    }
}

@Suite struct AuthenticationWatchTests {
    private func complaint(_ messages: [Message], piece: Int) -> (String?, AuthenticationWatch) {
        var watch = AuthenticationWatch()
        let bytes = messages.flatMap(\.bytes)
        for start in stride(from: 0, to: bytes.count, by: piece) {
            if let complaint = watch.complaint(about: bytes[start..<min(bytes.count, start + piece)]) {
                return (complaint, watch)
            }
        }
        return (nil, watch)
    }

    private func first(_ iterations: String) -> Message {
        .authentication(11, Array("r=abc,s=c2Fs,i=\(iterations)".utf8))
    }

    @Test(arguments: [1, 3, 7, 1_000]) func theLimitIsSeenInAnyPieces(piece: Int) {
        let names = Message.authentication(
            10, Message.joined(Message.text("SCRAM-SHA-256-PLUS"), Message.text("SCRAM-SHA-256"), [0]))
        let (fine, watch) = complaint([names, first("1000000")], piece: piece)
        #expect(fine == nil && watch.isOver && watch.offersChannelBinding == true)
        for bad in ["1000001", "2147483647", "4294967297", "99999999999999999999", "", "x", " 1"] {
            #expect(complaint([names, first(bad)], piece: piece).0 != nil, "\(bad)")
        }
        #expect(complaint([.authentication(11, Array("r=abc,s=c2Fs".utf8))], piece: piece).0 != nil)
    }

    @Test func nothingIsWatchedAfterTheEnd() {
        for end in [Message.authenticationOk, .error([("M", "no")]), Message("R", [], length: 2_001)] {
            let (fine, watch) = complaint([end, first("2147483647")], piece: 1_000)
            #expect(fine == nil && watch.isOver && watch.offersChannelBinding == nil)
        }
    }

    @Test func plainSCRAMOffersNoChannelBinding() {
        let names = Message.authentication(10, Message.text("SCRAM-SHA-256") + [0])
        #expect(complaint([names], piece: 5).1.offersChannelBinding == false)
    }
}
