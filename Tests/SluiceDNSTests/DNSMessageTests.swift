import DNSTestKit
import NIOCore
import SluiceCore
import SluiceDNS
import Testing

@Suite struct DNSMessageTests {
    private static let text = "_sluice._tcp.example.org"

    private func name() throws -> ServiceName { try #require(ServiceName(Self.text)) }

    private func answer(_ writer: DNSAnswerWriter) throws -> DNSMessage.Answer {
        try DNSMessage.answer(writer.bytes, to: try name(), id: 7)
    }

    private func problem(_ writer: DNSAnswerWriter) -> String? {
        do {
            _ = try answer(writer)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test func theQuestionIsAsItIsToBe() throws {
        let bytes = Array(DNSMessage.question(for: try name(), id: 0x1234).readableBytesView)
        #expect(bytes.prefix(12) == [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        #expect(bytes.dropFirst(12) == DNSAnswerWriter.labels(Self.text)[...] + [0, 33, 0, 1])
    }

    @Test func recordsAreRead() throws {
        var writer = DNSAnswerWriter(name: "_SLUICE._tcp.Example.org", answers: 3)
        writer.service(ttl: 300, 1, 2, 7_411, "G1.example.org")
        // Its host's domain is that of the question.
        writer.record(
            of: DNSAnswerWriter.labels(Self.text), ttl: 30, [0, 3, 0, 4, 0x1C, 0xF3, 2, 0x67, 0x32, 0xC0, 25])
        // Another's.
        writer.service(of: DNSAnswerWriter.labels("_other._tcp.example.org"), 0, 0, 1, "evil.example.org")
        let answer = try answer(writer)
        #expect(
            answer.records == [
                ServiceRecord(priority: 1, weight: 2, port: 7_411, host: "g1.example.org"),
                ServiceRecord(priority: 3, weight: 4, port: 7_411, host: "g2.example.org"),
            ])
        #expect(answer.timeToLive == 30 && !answer.isTruncated)
    }

    @Test func aliasesAreFollowed() throws {
        var writer = DNSAnswerWriter(name: Self.text, answers: 2)
        writer.record(kind: 5, DNSAnswerWriter.labels("_sluice._tcp.example.net"))
        writer.service(of: DNSAnswerWriter.labels("_sluice._tcp.example.net"), 0, 1, 2, "g.example.net")
        #expect(try answer(writer).records.map(\.host) == ["g.example.net"])
        // One that leads to itself has an end.
        var loop = DNSAnswerWriter(name: Self.text, answers: 2)
        loop.record(kind: 5, DNSAnswerWriter.labels("_a._b.c"))
        loop.record(of: DNSAnswerWriter.labels("_a._b.c"), kind: 5, DNSAnswerWriter.labels(Self.text))
        #expect(try answer(loop).records == [])
    }

    @Test func whatDoesNotFitSaysSo() throws {
        #expect(try answer(DNSAnswerWriter(flags: 0x8380, name: Self.text, answers: 9)).isTruncated)
    }

    @Test func noneIsNone() throws {
        #expect(try answer(DNSAnswerWriter(name: Self.text, answers: 0)).records == [])
        var root = DNSAnswerWriter(name: Self.text, answers: 1)
        root.service(0, 0, 0, "")
        #expect(try answer(root).records.map(\.host) == [""])
        #expect(problem(DNSAnswerWriter(flags: 0x8183, name: Self.text, answers: 0)) == "there is no such name")
        #expect(problem(DNSAnswerWriter(flags: 0x8182, name: Self.text, answers: 0))?.contains("code 2") == true)
    }

    @Test func whatAnswersSomethingElseIsRefused() {
        #expect(problem(DNSAnswerWriter(id: 8, name: Self.text, answers: 0)) != nil)
        #expect(problem(DNSAnswerWriter(flags: 0x0180, name: Self.text, answers: 0)) != nil)
        #expect(problem(DNSAnswerWriter(flags: 0xA180, name: Self.text, answers: 0)) != nil)
        #expect(problem(DNSAnswerWriter(name: "_other._tcp.example.org", answers: 0)) != nil)
        #expect(problem(DNSAnswerWriter(name: Self.text, answers: 0, questions: 0)) != nil)
    }

    @Test(arguments: [
        // A name that points to itself, forward, and to the header; a label of an unknown kind; a bad byte in a name.
        [0, 1, 0, 1, 0, 1, 0xC0, 60], [0, 1, 0, 1, 0, 1, 0xFF, 0xFF], [0, 1, 0, 1, 0, 1, 0xC0, 2],
        [0, 1, 0, 1, 0, 1, 0x41, 0], [0, 1, 0, 1, 0, 1, 1, 0x20, 0], [0, 1, 0, 1, 0, 1, 1, 0x2E, 0],
        // Too short, a name without its end, and something after it.
        [], [0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1, 5, 0x61], [0, 1, 0, 1, 0, 1, 0, 0],
    ])
    func hostileRecordsAreRefused(data: [UInt8]) {
        var writer = DNSAnswerWriter(name: Self.text, answers: 1)
        writer.record(data)
        #expect(problem(writer) != nil)
    }

    @Test func countsAndLengthsAreNotBelieved() {
        var many = DNSAnswerWriter(name: Self.text, answers: 65_535)
        many.service(0, 0, 1, "g.example.org")
        #expect(problem(many) == "it has 65535 records")
        var few = DNSAnswerWriter(name: Self.text, answers: 2)
        few.service(0, 0, 1, "g.example.org")
        #expect(problem(few) == "it ends too early")
        var long = DNSAnswerWriter(name: Self.text, answers: 1)
        long.record(length: 65_535, [0, 0, 0, 0, 0, 1, 0])
        #expect(problem(long) == "it ends too early")
        // Names that are made of pointers to pointers.
        var chain = DNSAnswerWriter(name: Self.text, answers: 1)
        let begin = chain.bytes.count + 12
        let pointers = (0..<60).flatMap { [UInt8(0xC0), UInt8(max(12, begin + 2 * $0 - 2))] }
        chain.record(pointers)
        chain.record([0, 0, 0, 0, 0, 1, 0xC0, UInt8(begin + 100)])
        #expect(problem(chain) != nil)
        var name = DNSAnswerWriter(name: Self.text, answers: 1)
        name.service(0, 0, 1, Array(repeating: String(repeating: "a", count: 63), count: 5).joined(separator: "."))
        #expect(problem(name) == "a name is too long")
    }

    /// Whatever comes is read or refused; the number of steps is bounded by the message's length.
    @Test(arguments: 0..<20)
    func everyMutationIsReadOrRefused(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        var writer = DNSAnswerWriter(name: Self.text, answers: 2)
        writer.service(1, 2, 3, "g1.example.org")
        writer.record(kind: 5, DNSAnswerWriter.labels("_a._b.c"))
        for _ in 0..<3_000 {
            var bytes = writer.bytes
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 2..<bytes.count, using: &generator)
                bytes[place] = UInt8.random(in: 0...255, using: &generator)
            }
            bytes.removeLast(Int.random(in: 0...3, using: &generator))
            guard let answer = try? DNSMessage.answer(bytes, to: try name(), id: 7) else { continue }
            #expect(answer.records.count <= 2)
            for record in answer.records { #expect(record.host.utf8.count <= 253) }
        }
    }

    @Test func resolversAreReadAsResolversDo() throws {
        let servers = NameServers(
            configuration: """
                # a comment
                domain example.org
                nameserver 10.0.0.1
                nameserver not-an-address
                nameserver\t2001:db8::1
                nameserver 10.0.0.3 # here
                nameserver 10.0.0.4
                options ndots:2 timeout:99 attempts:9 rotate timeout:x
                """)
        #expect(servers.servers.map(\.ipAddress) == ["10.0.0.1", "2001:db8::1", "10.0.0.3"])
        #expect(servers.servers.allSatisfy { $0.port == 53 })
        #expect(servers.timeout == .seconds(5) && servers.attempts == 3)
        #expect(NameServers(configuration: "").servers.map(\.ipAddress) == ["127.0.0.1"])
    }
}
