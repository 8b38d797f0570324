/// Questions for SRV records and their answers (RFC 1035, RFC 2782), as bytes. Pure.
package enum DNSMessage {
    package struct Service: Hashable, Sendable {
        package var host: String
        package var port: Int
        package var priority: Int

        package init(host: String, port: Int, priority: Int) {
            self.host = host
            self.port = port
            self.priority = priority
        }
    }

    private static let serviceType = 33
    private static let mostJumps = 16

    /// Nil if the name is none.
    package static func question(_ name: String, id: UInt16) -> [UInt8]? {
        // One question, recursion desired.
        var bytes: [UInt8] = [UInt8(id >> 8), UInt8(id & 0xFF), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        let labels = (name.hasSuffix(".") ? name.dropLast() : name[...]).split(
            separator: ".", omittingEmptySubsequences: false)
        guard name.utf8.count <= 253, !labels.isEmpty, labels.allSatisfy({ (1...63).contains($0.utf8.count) }) else {
            return nil
        }
        for label in labels { bytes += [UInt8(label.utf8.count)] + label.utf8 }
        return bytes + [0, 0, UInt8(serviceType), 0, 1]
    }

    /// - Returns: the services, by priority, as a reply to the question of this number has them; none if there is no
    ///   such name.
    package static func services(_ bytes: [UInt8], id: UInt16) throws(UnreadableAnswer) -> [Service] {
        var reader = Reader(bytes: bytes)
        guard try reader.number(2) == Int(id) else { throw UnreadableAnswer("a reply to another question") }
        let flags = try reader.number(2)
        guard flags & 0x8000 != 0 else { throw UnreadableAnswer("no reply") }
        guard flags & 0x0200 == 0 else { throw UnreadableAnswer("the reply is cut off: too many records for UDP") }
        switch flags & 0xF {
        case 0: break
        case 3: return []
        default: throw UnreadableAnswer("the nameserver answers with code \(flags & 0xF)")
        }
        let (questions, answers) = (try reader.number(2), try reader.number(2))
        try reader.skip(4)
        for _ in 0..<questions {
            _ = try reader.name()
            try reader.skip(4)
        }
        var services: [Service] = []
        for _ in 0..<answers {
            _ = try reader.name()
            let type = try reader.number(2)
            try reader.skip(6)
            let length = try reader.number(2)
            let end = reader.position + length
            guard type == serviceType else {
                try reader.skip(length)
                continue
            }
            let priority = try reader.number(2)
            try reader.skip(2)
            let port = try reader.number(2)
            let host = try reader.name()
            guard reader.position == end else { throw UnreadableAnswer("a record has another length than it says") }
            // A root says that there is no such service.
            if !host.isEmpty { services.append(Service(host: host, port: port, priority: priority)) }
        }
        return services.sorted { ($0.priority, $0.host, $0.port) < ($1.priority, $1.host, $1.port) }
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        mutating func skip(_ count: Int) throws(UnreadableAnswer) {
            guard count <= bytes.count - position else { throw UnreadableAnswer("the reply ends too soon") }
            position += count
        }

        /// Of one or two bytes.
        mutating func number(_ size: Int) throws(UnreadableAnswer) -> Int {
            let start = position
            try skip(size)
            return bytes[start..<position].reduce(0) { $0 << 8 | Int($1) }
        }

        /// A name may go on elsewhere, but not for ever.
        mutating func name() throws(UnreadableAnswer) -> String {
            var labels: [String] = []
            var after: Int?
            var jumps = 0
            var size = 0
            while true {
                let length = try number(1)
                switch length {
                case 0:
                    if let after { position = after }
                    return labels.joined(separator: ".")
                case 1..<64:
                    let start = position
                    try skip(length)
                    size += length + 1
                    guard size <= 254 else { throw UnreadableAnswer("a name is too long") }
                    labels.append(String(decoding: bytes[start..<position], as: UTF8.self))
                case 192...:
                    let low = try number(1)
                    after = after ?? position
                    jumps += 1
                    guard jumps <= DNSMessage.mostJumps else { throw UnreadableAnswer("a name does not end") }
                    position = min((length & 63) << 8 | low, bytes.count)
                default: throw UnreadableAnswer("a name is none")
                }
            }
        }
    }
}
