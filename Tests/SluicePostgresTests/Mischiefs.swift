import PostgresTestKit
import SluicePostgres

extension Mischief {
    private static let description = Message.description(Peer.fields)

    /// The rows' description, a good row, and these.
    private static func after(_ question: Question, _ messages: Message...) -> [Message] {
        [description, Peer.row(question, id: 1, distance: 0)] + messages
    }

    private static func fields(_ change: (inout [Message.Field]) -> Void) -> Message {
        var fields = Peer.fields
        change(&fields)
        return .description(fields)
    }

    static let errors: [Mischief] = [
        .init("an error without SQLSTATE", .connectionLost) { _ in [.error([("S", "ERROR"), ("M", "no code")])] },
        .init("an error with half a SQLSTATE", .connectionLost) { _ in [.error([("S", "ERROR"), ("C", "42")])] },
        .init("an error without a field", .connectionLost) { _ in [.error([])] },
        .init("an error after a row, without SQLSTATE", .connectionLost) { after($0, .error([("M", "no code")])) },
        .init("nothing where rows belong", .protocolViolation) { _ in [Message("n"), .complete("SELECT 0")] },
        .init("the Sync's answer too early", .protocolViolation, .connectionLost) { after($0, .ready) },
        .init("hangs up in the middle of a row", .connectionLost) { peer, question in
            peer.write(description, Message("D", [0, 4], length: 60))
            try peer.hangUp()
        },
        .init("a message of a type that there is not", .connectionLost) { after($0, Message("?", [1, 2, 3])) },
    ]

    static let lengths: [Mischief] = [Int32.min, -1, 0, 3].flatMap { (length: Int32) -> [Mischief] in
        let types: [Character] = ["D", "T", "C", "2", "N", "S"]
        return types.map { type in
            Mischief("a message of type \(type) and length \(length)", .connectionLost) { question in
                after(question, Message(type, [0, 1, 2, 3], length: length))
            }
        }
    }

    static let ends: [Mischief] = [
        .init("a short message with a great length", .connectionLost) {
            after($0, Message("C", Message.text("SELECT 1"), length: 100_000))
        },
        .init("a row that ends within a field", .connectionLost, .protocolViolation) {
            after($0, Message("D", Message.joined(Message.int16(4), Message.int32(8), [1, 2, 3])))
        },
        .init("a field that is longer than its row", .connectionLost, .protocolViolation) {
            after($0, Message("D", Message.joined(Message.int16(4), Message.int32(.max), $0.token)))
        },
        .init("a row with more than its fields", .connectionLost) {
            after($0, Message("D", Array(Peer.row($0, id: 2, distance: 0).bytes.dropFirst(5)) + [1, 2, 3]))
        },
        // libpq takes any negative length for a null.
        .init("an id of a negative length", .protocolViolation) {
            let id = Message.joined(Message.int32(8), $0.token, Message.int32(-2))
            let rest = Message.joined(Message.int32(8), Message.float8(1), Message.int32(0))
            return after($0, Message("D", Message.joined(Message.int16(4), id, rest)), .complete("SELECT 2"))
        },
        .init("a description that ends within a field", .connectionLost, .protocolViolation) { _ in
            [Message("T", Message.joined(Message.int16(4), Message.text("token"), [0, 0]))]
        },
    ]

    static let shapes: [Mischief] = [
        .init("a column too few", .protocolViolation) { question in
            [
                fields { $0.removeLast() }, .row([question.token, Message.int64(1), Message.float8(0)]),
                .complete("SELECT 1"),
            ]
        },
        .init("a column too many", .protocolViolation) { _ in
            [fields { $0.append(.init("more", type: 25)) }, .complete("SELECT 0")]
        },
        .init("no columns", .protocolViolation) { _ in [.description([]), .complete("SELECT 0")] },
        .init("-1 columns", .protocolViolation, .connectionLost) { _ in
            [Message("T", Message.int16(-1)), .complete("SELECT 0")]
        },
        .init("rows of another number of columns", .connectionLost, .protocolViolation) { after($0, .row([$0.token])) },
        .init("rows without a description", .connectionLost, .protocolViolation) {
            [Peer.row($0, id: 1, distance: 0), .complete("SELECT 1")]
        },
        .init("a token of another type", .protocolViolation) { _ in
            [fields { $0[0].type = 701 }, .complete("SELECT 0")]
        },
        .init("an id of another type", .protocolViolation) { _ in
            [fields { $0[1].type = 701 }, .complete("SELECT 0")]
        },
        .init("a distance of another type", .protocolViolation) { _ in
            [fields { $0[2].type = 700 }, .complete("SELECT 0")]
        },
        .init("a distance of four bytes", .protocolViolation) {
            after($0, .row([$0.token, Message.int64(2), [0, 0, 0, 0], nil]), .complete("SELECT 2"))
        },
        .init("an id of five bytes", .protocolViolation) {
            after($0, .row([$0.token, [0, 0, 0, 0, 1], Message.float8(1), nil]), .complete("SELECT 2"))
        },
        .init("no id", .protocolViolation) {
            after($0, .row([$0.token, nil, Message.float8(1), nil]), .complete("SELECT 2"))
        },
        .init("text where binary was asked for", .protocolViolation) { question in
            [
                fields { for place in $0.indices { $0[place].format = 0 } },
                .row([Array("1".utf8), Array("2".utf8), Array("0.5".utf8), nil]), .complete("SELECT 1"),
            ]
        },
        .init("another request's rows", .integrity) {
            after($0, .row([Message.int64(1), Message.int64(2), Message.float8(1), nil]), .complete("SELECT 2"))
        },
        .init("more rows than asked for", .protocolViolation) { try $0.answer($1, rows: 11) },
    ]

    static let copies: [Mischief] = [Character("G"), "H", "W"].map { type in
        Mischief("an unsolicited COPY (\(type))", .protocolViolation) { (peer: Peer, _: Question) in
            peer.write(.copy(type))
            try peer.flood(Message("d", [1, 2, 3]))
        }
    }

    static let floods: [Mischief] = [
        .init("rows without end", .tooLarge) { peer, question in
            peer.write(description)
            try peer.flood(Peer.row(question, id: 1, distance: 0))
        },
        .init("a row of 1.9 GB", .tooLarge) { peer, question in
            let claim = Message.joined(Message.int16(4), Message.int32(1_900_000_000))
            peer.write(description, Message("D", claim, length: 1_900_000_010))
            try peer.flood(Message(raw: Array(repeating: 7, count: 65_536)))
        },
        .init("notices without end", .tooLarge, .timedOut) { peer, _ in try peer.flood(.notice("and so on")) },
        .init("parameters without end", .protocolViolation, .tooLarge, .timedOut) { peer, _ in
            var number = 0
            try peer.flood {
                Message(
                    raw: (0..<1_000).flatMap { _ in
                        number += 1
                        return Message.parameter("p\(number)", "").bytes
                    })
            }
        },
        .init("results without end", .protocolViolation, .tooLarge) { peer, question in
            try peer.answer(question)
            try peer.flood(.complete("SELECT 1"))
        },
        .init("notifications without end", .tooLarge, .timedOut) { peer, _ in
            try peer.flood(Message("A", Message.joined(Message.int32(1), Message.text("c"), Message.text("p"))))
        },
        .init("bytes without sense", .connectionLost) { peer, _ in
            try peer.flood(Message(raw: (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 200) }))
        },
    ]

    static let stalls: [Mischief] = [
        .init("nothing", .timedOut) { peer, _ in try peer.stall() },
        .init("a stall in the middle of a row", .timedOut) { peer, question in
            let row = Peer.row(question, id: 2, distance: 1).bytes
            peer.write(description, Peer.row(question, id: 1, distance: 0), Message(raw: Array(row.prefix(30))))
            try peer.stall()
        },
        .init("a stall within a length", .timedOut) { peer, question in
            peer.write(description, Message(raw: [UInt8(ascii: "D"), 0, 0]))
            try peer.stall()
        },
        .init("a row, and no end of it", .timedOut) { peer, question in
            peer.write(description, Peer.row(question, id: 1, distance: 0))
            try peer.stall()
        },
    ]

    static let all = [errors, lengths, ends, shapes, copies, floods, stalls].flatMap(\.self)
}
