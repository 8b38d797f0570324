import Foundation
import SluiceGateway
import Testing

@Suite struct TokenTests {
    private static func entry(_ token: Token, identity: String = "shop", expires: Int64? = nil) throws -> TokenEntry {
        TokenEntry(
            id: token.id, identity: identity, hash: try TokenHash(of: token), created: 1_000, expires: expires)
    }

    private static func table(_ entries: TokenEntry...) -> TokenTable {
        entries.reduce(into: TokenTable()) { $0.add($1) }
    }

    @Test func aTokenIsReadAsItIsShown() throws {
        let token = try Token.random()
        #expect(token.revealed.utf8.count == 4 + 16 + 1 + 64)
        #expect(Token(token.revealed.utf8)?.revealed == token.revealed)
        let other = try Token.random()
        #expect(other.revealed != token.revealed && other.id != token.id)
    }

    @Test(arguments: ["", "slc_", "slc_00", String(repeating: "a", count: 85), "x"])
    func whatIsNoTokenIsNone(text: String) { #expect(Token(text.utf8) == nil) }

    @Test func oneDigitMoreOrLessOrInCapitalsIsNoToken() throws {
        let text = try Token.random().revealed
        #expect(Token(text.dropLast().utf8) == nil)
        #expect(Token((text + "0").utf8) == nil)
        #expect(Token(text.uppercased().utf8) == nil)
        #expect(Token(text.replacing("_", with: "-").utf8) == nil)
    }

    @Test func onlyTheRightSecretFindsItsEntry() throws {
        let token = try Token.random()
        let table = Self.table(try Self.entry(token), try Self.entry(try .random()))
        #expect(table.entry(for: token, at: 2_000)?.identity == "shop")
        var wrong = Array(token.revealed.utf8)
        wrong[wrong.count - 1] = wrong[wrong.count - 1] == UInt8(ascii: "0") ? UInt8(ascii: "1") : UInt8(ascii: "0")
        let forged = try #require(Token(wrong))
        #expect(forged.id == token.id && table.entry(for: forged, at: 2_000) == nil)
        #expect(table.entry(for: try .random(), at: 2_000) == nil)
    }

    @Test func itsTimeEndsAtTheSecond() throws {
        let token = try Token.random()
        let table = Self.table(try Self.entry(token, expires: 5_000))
        #expect(table.entry(for: token, at: 4_999) != nil)
        #expect(table.entry(for: token, at: 5_000) == nil)
    }

    @Test func theFilesTextIsReadAsItIsWritten() throws {
        let first = try Token.random()
        let table = Self.table(try Self.entry(first), try Self.entry(.random(), identity: "b", expires: 77))
        #expect(try TokenTable(parsing: table.text) == table)
        // A hash is no secret, and the secret is nowhere.
        #expect(!table.text.contains(first.revealed.suffix(64)))
        #expect(try TokenTable(parsing: "# nothing\n\n  \n").entries.isEmpty)
    }

    @Test func twoHashesOfATokenDiffer() throws {
        let token = try Token.random()
        #expect(try TokenHash(of: token) != TokenHash(of: token))
    }

    @Test func aBrokenLineIsNamedAndNotQuoted() throws {
        let line = Self.table(try Self.entry(.random())).text.split(separator: "\n")[1]
        for broken in [line.dropLast(2) + "x", "a b c", line + " more", line.replacing("shop", with: "")] {
            let problem = #expect(throws: TokenTable.Problem.self) {
                try TokenTable(parsing: "\(line)\n\(broken)\n")
            }
            #expect(problem?.line == 2)
            #expect(problem.map { !$0.description.contains(line.suffix(20)) } == true)
        }
        let twice = #expect(throws: TokenTable.Problem.self) { try TokenTable(parsing: "\(line)\n\(line)") }
        #expect(twice?.message.contains("twice") == true)
    }

    // MARK: The file

    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.path)
    }

    private func rights(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    @Test func aNewFileIsItsOwnersAloneAndAnOldOneKeepsItsRights() throws {
        try withFolder { folder in
            let path = folder + "/tokens"
            #expect(try TokenFile.read(path) == TokenTable())
            let entry = try Self.entry(.random())
            try TokenFile.update(path) { (table) throws(TokenFile.Problem) in table.add(entry) }
            #expect(try rights(path) == 0o600)
            try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
            let other = try Self.entry(.random())
            try TokenFile.update(path) { (table) throws(TokenFile.Problem) in table.add(other) }
            #expect(try rights(path) == 0o640)
            #expect(try TokenFile.read(path) == Self.table(entry, other))
        }
    }

    @Test func aFileThatEverybodyMayWriteToIsNotBelieved() throws {
        try withFolder { folder in
            let path = folder + "/tokens"
            try Data().write(to: URL(filePath: path))
            try FileManager.default.setAttributes([.posixPermissions: 0o666], ofItemAtPath: path)
            let problem = #expect(throws: TokenFile.Problem.self) { try TokenFile.read(path) }
            #expect(problem?.message.contains("everybody may write") == true)
        }
    }
}
