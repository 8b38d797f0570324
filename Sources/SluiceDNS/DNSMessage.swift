package import NIOCore

/// Why a message of a name server is not taken, or there is none.
package struct DNSError: Error, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// One question for SRV records, and what is read from the answers to it (RFC 1035, RFC 2782).
///
/// Answers are strangers' bytes, from whoever can reach the port: every length and count is checked before it is used,
/// names only point backwards, and what is no answer to this very question is refused.
package enum DNSMessage {
    package struct Answer: Hashable, Sendable {
        /// It did not fit: the question is to be asked again over TCP.
        package var isTruncated = false
        package var records: [ServiceRecord] = []
        /// How long the shortest-lived may be kept, in seconds.
        package var timeToLive: UInt32 = .max
    }

    /// More are not looked at.
    package static let mostRecords = 1_024
    private static let mostAliases = 8
    private static let mostJumps = 32
    private static let headerLength = 12
    private static let service: UInt16 = 33
    private static let alias: UInt16 = 5
    private static let internet: UInt16 = 1

    package static func isOfHostName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }

    // MARK: Question

    package static func question(for name: ServiceName, id: UInt16) -> ByteBuffer {
        var buffer = ByteBuffer()
        // Recursion desired; one question.
        for word in [id, 0x0100, 1, 0, 0, 0] { buffer.writeInteger(word) }
        for label in name.text.utf8.split(separator: UInt8(ascii: ".")) {
            buffer.writeInteger(UInt8(truncatingIfNeeded: label.count))
            buffer.writeBytes(label)
        }
        buffer.writeInteger(UInt8(0))
        buffer.writeInteger(service)
        buffer.writeInteger(internet)
        return buffer
    }

    // MARK: Answer

    /// Whether a message claims to be the answer to the question of this id. Others may be late, or forged.
    package static func isAnswer(_ bytes: [UInt8], to id: UInt16) -> Bool {
        bytes.count >= headerLength && UInt16(bytes[0]) << 8 | UInt16(bytes[1]) == id && bytes[2] & 0x80 != 0
    }

    /// - Throws: `DNSError` for what is not a sound answer to this question, and for one that says that there is none.
    package static func answer(_ bytes: [UInt8], to name: ServiceName, id: UInt16) throws(DNSError) -> Answer {
        guard isAnswer(bytes, to: id) else { throw DNSError("it is no answer to this question") }
        var reader = Reader(bytes: bytes[...], position: 2)
        let flags = try reader.word()
        let (questions, answers) = (try reader.word(), try reader.word())
        _ = (try reader.word(), try reader.word())
        guard flags & 0x7800 == 0 else { throw DNSError("it is no answer to a query") }
        guard questions == 1, try reader.name() == name.text, try reader.word() == service,
            try reader.word() == internet
        else { throw DNSError("it answers another question") }
        switch flags & 0x000F {
        case 0: break
        case 3: throw DNSError("there is no such name")
        case let code: throw DNSError("the name server refused with code \(code)")
        }
        if flags & 0x0200 != 0 { return Answer(isTruncated: true) }
        return try records(&reader, count: Int(answers), of: name)
    }

    private static func records(
        _ reader: inout Reader, count: Int, of name: ServiceName
    ) throws(DNSError) -> Answer {
        guard count <= mostRecords else { throw DNSError("it has \(count) records") }
        var found: [(owner: String, record: ServiceRecord)] = []
        var aliases: [String: String] = [:]
        var answer = Answer()
        for _ in 0..<count {
            let owner = try reader.name()
            let (kind, space) = (try reader.word(), try reader.word())
            let timeToLive = UInt32(try reader.word()) << 16 | UInt32(try reader.word())
            var data = try reader.data(of: Int(try reader.word()))
            guard space == internet, kind == service || kind == alias else { continue }
            if kind == alias {
                aliases[owner] = try data.name()
            } else {
                let record = ServiceRecord(
                    priority: try data.word(), weight: try data.word(), port: try data.word(), host: try data.name())
                found.append((owner, record))
            }
            guard data.isAtEnd else { throw DNSError("a record is longer than what is in it") }
            // With its highest bit it counts as 0 (RFC 2181).
            answer.timeToLive = min(answer.timeToLive, timeToLive > Int32.max ? 0 : timeToLive)
        }
        var owner = name.text
        for _ in 0..<mostAliases { owner = aliases[owner] ?? owner }
        answer.records = found.filter { $0.owner == owner }.map(\.record)
        return answer
    }

    /// Reads a message; names may point to what is before them in it.
    private struct Reader {
        /// Up to where may be read.
        var bytes: ArraySlice<UInt8>
        var position: Int

        var isAtEnd: Bool { position == bytes.endIndex }

        private static var ended: DNSError { DNSError("it ends too early") }

        mutating func byte() throws(DNSError) -> UInt8 {
            guard position < bytes.endIndex else { throw Self.ended }
            defer { position += 1 }
            return bytes[position]
        }

        mutating func word() throws(DNSError) -> UInt16 { UInt16(try byte()) << 8 | UInt16(try byte()) }

        /// The next bytes, as a reader that sees those before, too.
        mutating func data(of length: Int) throws(DNSError) -> Reader {
            guard length <= bytes.endIndex - position else { throw Self.ended }
            defer { position += length }
            return Reader(bytes: bytes[..<(position + length)], position: position)
        }

        /// In lower case, without the dot at its end; empty for the root.
        mutating func name() throws(DNSError) -> String {
            var text = ""
            var length = 0
            var cursor = self
            // Each jump goes further back than the one before: there is an end to them.
            var limit = position
            var jumps = 0
            while true {
                let count = try cursor.byte()
                if count & 0xC0 == 0xC0 {
                    let target = Int(count & 0x3F) << 8 | Int(try cursor.byte())
                    if jumps == 0 { position = cursor.position }
                    guard target < limit, target >= DNSMessage.headerLength, jumps < DNSMessage.mostJumps else {
                        throw DNSError("a name points forward, or too often")
                    }
                    limit = target
                    jumps += 1
                    cursor.position = target
                    continue
                }
                guard count & 0xC0 == 0 else { throw DNSError("a label is of an unknown kind") }
                if count == 0 { break }
                length += Int(count) + 1
                guard length <= 254 else { throw DNSError("a name is too long") }
                if !text.isEmpty { text.append(".") }
                for _ in 0..<count {
                    let byte = try cursor.byte()
                    guard DNSMessage.isOfHostName(byte) else { throw DNSError("a name has a byte that is of no name") }
                    text.unicodeScalars.append(Unicode.Scalar(byte))
                }
            }
            if jumps == 0 { position = cursor.position }
            return text.lowercased()
        }
    }
}
