import NIOCore
import SluiceClient
import SluiceDNS

/// What a name server answers to a question for SRV records, of a client or a shard's source, and what the client makes
/// gateways of.
enum DNSTarget {
    private static let id: UInt16 = 0x0707
    private static let text = "_sluice._tcp.example.org"

    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        guard let name = ServiceName(text) else { throw FuzzFinding("\(text) is no name") }
        // Mutations seldom find the id.
        var bytes = Array(input)
        bytes.replaceSubrange(0..<min(2, bytes.count), with: [0x07, 0x07].prefix(bytes.count))
        let answer: DNSMessage.Answer
        do { answer = try DNSMessage.answer(bytes, to: name, id: id) } catch { return }
        let announced = Int(bytes[6]) << 8 | Int(bytes[7])
        try expect(answer.records.count <= announced, "\(answer.records.count) records of \(announced)")
        // A record has 18 bytes at least: its owner, ten, and its data of seven.
        try expect(18 * answer.records.count <= bytes.count, "\(answer.records.count) records in \(bytes.count) bytes")
        for record in answer.records {
            try expect(record.host.utf8.count <= 253, "a host of \(record.host.utf8.count) bytes")
            let isSound = record.host.utf8.allSatisfy { DNSMessage.isOfHostName($0) || $0 == UInt8(ascii: ".") }
            try expect(isSound, "a host with other bytes")
        }
        guard !answer.isTruncated else { return }
        let targets =
            (try? GatewayTarget.targets(of: answer.records, service: name, isTLS: true, serverName: nil)) ?? []
        for target in targets {
            guard case .tls(let host, let port) = target.address else { throw FuzzFinding("without TLS") }
            try expect(name.isHome(of: host) && port > 0, "a stranger's host, or no port")
        }
    }

    static var seeds: [FuzzSeed] {
        [
            FuzzSeed("made-two", message(records: [record(1, "g1.example.org"), record(2, "g2.example.org")])),
            FuzzSeed("made-stranger", message(records: [record(1, "g.evil.net")])),
            FuzzSeed(
                "made-alias", message(records: [[0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xC0, 12], record(1, "g")])),
            FuzzSeed("made-none", message(records: [])), FuzzSeed("made-absent", message(flags: 0x83, records: [])),
            FuzzSeed("made-cut", message(flags: 0x80, truncated: true, records: [])),
            FuzzSeed(
                "made-loop", message(records: [[0xC0, 12, 0, 33, 0, 1, 0, 0, 0, 9, 0, 8, 0, 0, 0, 0, 0, 1, 0xC0, 60]])),
            FuzzSeed("made-query", Array(question.readableBytesView)),
        ]
    }

    private static var question: ByteBuffer {
        ServiceName(text).map { DNSMessage.question(for: $0, id: id) } ?? ByteBuffer()
    }

    private static func message(flags: UInt8 = 0x80, truncated: Bool = false, records: [[UInt8]]) -> [UInt8] {
        var bytes = Array(question.readableBytesView)
        bytes[2] = truncated ? 0x83 : 0x81
        bytes[3] = flags
        bytes[7] = UInt8(truncatingIfNeeded: records.count)
        return bytes + records.joined()
    }

    /// Of the question's own name.
    private static func record(_ port: UInt8, _ host: String) -> [UInt8] {
        var data: [UInt8] = [0, 0, 0, 1, 0, port]
        for label in host.split(separator: ".") { data += [UInt8(truncatingIfNeeded: label.utf8.count)] + label.utf8 }
        data.append(0)
        return [0xC0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, UInt8(truncatingIfNeeded: data.count)] + data
    }
}
