import Foundation

/// A search as the fake server was asked it.
public struct Question: Sendable {
    public var sql: String
    /// In the order of their numbers; nil is a null.
    public var parameters: [[UInt8]?]

    /// What each row must carry.
    public var token: [UInt8] { parameters.count > 1 ? parameters[1] ?? [] : [] }
}

/// One connection of the fake server, on its own thread.
public final class Peer {
    private let socket: Int32
    private let script: FakePostgres.Script
    private let server: FakePostgres
    private var tls: FakeTLS.Session?
    private var outbound: [UInt8] = []
    private var statements: [String: String] = [:]
    private var question = Question(sql: "", parameters: [])

    init(_ socket: Int32, _ script: FakePostgres.Script, _ server: FakePostgres) {
        self.socket = socket
        self.script = script
        self.server = server
    }

    // MARK: Bytes

    public func read(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
                return tls?.read(rest) ?? recv(socket, rest.baseAddress, rest.count, 0)
            }
            guard got > 0 else { throw FakePostgres.Ended() }
            filled += got
        }
        return bytes
    }

    /// Adds to what is sent with the next `flush`.
    public func write(_ messages: Message...) { for message in messages { outbound += message.bytes } }

    public func flush() throws {
        defer { outbound.removeAll(keepingCapacity: true) }
        try send(outbound)
    }

    public func send(_ message: Message) throws { try send(message.bytes) }

    private func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                let rest = UnsafeRawBufferPointer(rebasing: buffer[sent...])
                return tls?.write(rest) ?? Glibc.send(socket, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw FakePostgres.Ended() }
            sent += count
        }
    }

    /// Sends the same again and again until the other side has gone.
    public func flood(_ message: Message) throws -> Never {
        let copies = repeatElement(message.bytes, count: max(1, 65_536 / message.bytes.count))
        let many = Message(raw: Array(copies.joined()))
        try flood { many }
    }

    /// Sends one after the other until the other side has gone.
    public func flood(_ next: () -> Message) throws -> Never {
        try flush()
        while true {
            let message = next()
            try send(message)
            server.count { $0.flooded += message.bytes.count }
        }
    }

    /// Says nothing more, and returns by an error once the other side has gone.
    public func stall() throws -> Never {
        try flush()
        while true { _ = try read(1) }
    }

    public func hangUp() throws -> Never {
        try flush()
        throw FakePostgres.Ended()
    }

    func end() { tls?.end() }

    // MARK: Starting

    /// Reads up to the start-up message; accepts TLS if the script has a certificate.
    public func readStartup() throws {
        while true {
            let length = Int(Self.number(try read(4)))
            guard (8...10_000).contains(length) else { throw FakePostgres.Ended() }
            let body = try read(length - 4)
            switch Self.number(body) {
            case 80_877_102:
                server.count { $0.cancels += 1 }
                throw FakePostgres.Ended()
            case 80_877_103:
                guard let certificate = script.tls else {
                    try send([UInt8(ascii: "N")])
                    continue
                }
                try send([UInt8(ascii: "S")])
                tls = try certificate.accept(socket)
            case 80_877_104: try send([UInt8(ascii: "N")])
            default: return
            }
        }
    }

    public func greet() throws {
        try readStartup()
        write(.authenticationOk)
        welcome()
    }

    /// What follows when the password was right.
    public func welcome() {
        write(.parameter("server_version", "16.4"), .parameter("client_encoding", "UTF8"))
        write(.parameter("standard_conforming_strings", "on"), .keyData, .ready)
    }

    /// Asks for SCRAM with so many iterations, and takes any proof. libpq computes before it sends the proof; as this
    /// server cannot prove that it knows the password, the connection fails after that.
    public func askForSCRAM(iterations: String) throws {
        try readStartup()
        try send(.authentication(10, Message.text("SCRAM-SHA-256") + [0]))
        let first = String(decoding: try readMessage().body, as: UTF8.self)
        let nonce = first.split(separator: ",").last { $0.hasPrefix("r=") } ?? ""
        try send(.authentication(11, Array("\(nonce)x,s=c2FsdHNhbHRzYWx0c2FsdA==,i=\(iterations)".utf8)))
        _ = try readMessage()
        write(.authentication(12, Array("v=\(String(repeating: "A", count: 43))=".utf8)), .authenticationOk)
        welcome()
    }

    public func readMessage() throws -> (type: UInt8, body: [UInt8]) {
        let header = try read(5)
        let length = Int(Self.number(Array(header.dropFirst())))
        guard (4...(1 << 24)).contains(length) else { throw FakePostgres.Ended() }
        return (header[0], try read(length - 4))
    }

    private static func number(_ bytes: [UInt8]) -> UInt32 { bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }

    // MARK: Serving

    func serveOne() throws {
        let (type, body) = try readMessage()
        switch type {
        case UInt8(ascii: "P"):
            let texts = body.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
            statements[Self.string(texts[0])] = Self.string(texts[1])
            write(.parsed)
        case UInt8(ascii: "B"):
            question = try bind(body)
            write(.bound)
        case UInt8(ascii: "E"): try execute()
        case UInt8(ascii: "S"):
            write(.ready)
            try flush()
            try script.idle(self)
        case UInt8(ascii: "X"): throw FakePostgres.Ended()
        default: break
        }
    }

    private static func string(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

    private func bind(_ body: [UInt8]) throws -> Question {
        var rest = body[...]
        func take(_ count: Int) throws -> ArraySlice<UInt8> {
            guard rest.count >= count else { throw FakePostgres.Ended() }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
        func int16() throws -> Int { try take(2).reduce(0) { $0 << 8 | Int($1) } }
        rest = rest.drop { $0 != 0 }.dropFirst()
        let name = Self.string(rest.prefix { $0 != 0 })
        rest = rest.drop { $0 != 0 }.dropFirst()
        _ = try take(2 * int16())
        var parameters: [[UInt8]?] = []
        for _ in 0..<(try int16()) {
            let length = Int32(bitPattern: Self.number(Array(try take(4))))
            parameters.append(length < 0 ? nil : Array(try take(Int(length))))
        }
        return Question(sql: statements[name] ?? "", parameters: parameters)
    }

    private func execute() throws {
        let sql = question.sql
        if sql.contains("pg_control_system"), script.systemIdentifier == nil {
            write(.error([("S", "ERROR"), ("C", "42501"), ("M", "permission denied for function pg_control_system")]))
        } else if sql.contains("pg_walfile_name") {
            let tables = sql.components(separatedBy: "c.reltuples").count - 1
            let wal = ["f", "1000", "000000010000000000000001", "1700000000"]
            texts([wal + [script.systemIdentifier ?? ""] + Array(repeating: "100", count: tables)])
        } else if sql.contains("pg_catalog.pg_extension") {
            try script.facts(self)
        } else if sql.contains("AS token") {
            server.count { $0.legs += 1 }
            try script.leg(self, question)
        } else if sql.contains("set_config") {
            texts([["x", "sluice"]])
        } else {
            texts([])
        }
    }

    // MARK: Answers

    /// Rows of texts.
    public func texts(_ rows: [[String]]) {
        write(.description((0..<(rows.first?.count ?? 1)).map { .init("c\($0)", type: 25, format: 0) }))
        for row in rows { write(.row(row.map { Array($0.utf8) })) }
        write(.complete("SELECT \(rows.count)"))
    }

    public func sendFacts() throws {
        texts([["public", "16400", "0.8.0", "f", "16401", "16402", "1700000000"]])
    }

    /// The token, the id, the distance and a text.
    public static let fields: [Message.Field] = [
        .init("token", type: 20), .init("id", type: 20), .init("distance", type: 701), .init("name", type: 25),
    ]

    public static func row(_ question: Question, id: Int64, distance: Double, name: String = "n") -> Message {
        .row([question.token, Message.int64(id), Message.float8(distance), Array(name.utf8)])
    }

    /// As a good server does: ids from 1 with ever greater distances.
    public func answer(_ question: Question, rows: Int64 = 3) throws {
        write(.description(Self.fields))
        for id in 0..<rows { write(Self.row(question, id: id + 1, distance: Double(id))) }
        write(.complete("SELECT \(rows)"))
    }
}
