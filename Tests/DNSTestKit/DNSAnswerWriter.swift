/// Writes answers of a name server, right ones and wrong ones.
package struct DNSAnswerWriter {
    package var bytes: [UInt8] = []

    /// The question's own name, where it is in every answer.
    package static let pointerToQuestion: [UInt8] = [0xC0, 12]

    package init(id: UInt16 = 7, flags: UInt16 = 0x8180, name: String, answers: Int, questions: Int = 1) {
        for word in [id, flags, UInt16(questions), UInt16(answers), 0, 0] { append(word) }
        bytes += Self.labels(name)
        append(33)
        append(1)
    }

    package mutating func append(_ word: UInt16) { bytes += [UInt8(word >> 8), UInt8(word & 0xFF)] }

    package static func labels(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    package mutating func record(
        of owner: [UInt8] = pointerToQuestion, kind: UInt16 = 33, ttl: UInt32 = 60, length: Int? = nil, _ data: [UInt8]
    ) {
        bytes += owner
        append(kind)
        append(1)
        append(UInt16(ttl >> 16))
        append(UInt16(ttl & 0xFFFF))
        append(UInt16(length ?? data.count))
        bytes += data
    }

    package mutating func service(
        of owner: [UInt8] = pointerToQuestion, ttl: UInt32 = 60, _ priority: UInt16, _ weight: UInt16, _ port: UInt16,
        _ host: String
    ) {
        let words = [priority, weight, port].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
        record(of: owner, ttl: ttl, words + Self.labels(host))
    }
}
