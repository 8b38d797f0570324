/// Follows what a server says until it has let a connection in, and refuses what libpq would take: any number of SCRAM
/// iterations. 2^31 - 1 of them keep a core busy for the better part of an hour.
///
/// Fed with the bytes that libpq is about to read, in any pieces.
package struct AuthenticationWatch {
    /// About a second of computing. PostgreSQL's default is 4,096.
    package static let mostIterations = 1_000_000

    private var unfinished: [UInt8] = []
    /// The server offers SCRAM with channel binding; nil before it has named its mechanisms.
    package private(set) var offersChannelBinding: Bool?
    /// Nothing that comes from now on can make libpq compute.
    package private(set) var isOver = false
    /// How many bytes it was fed with.
    package private(set) var fed = 0

    package init() {}

    /// - Returns: what is wrong; nil if nothing is.
    package mutating func complaint(about bytes: some Sequence<UInt8>) -> String? {
        let before = unfinished.count
        unfinished.append(contentsOf: bytes)
        fed += unfinished.count - before
        while !isOver, unfinished.count >= Self.headerBytes {
            let length = Int(Self.number(unfinished[1...]))
            // libpq refuses any other message here, and any other length.
            guard unfinished[0] == UInt8(ascii: "R"), Self.lengths.contains(length) else {
                isOver = true
                break
            }
            guard unfinished.count > length else { return nil }
            if let complaint = complaint(aboutRequest: unfinished[Self.headerBytes...length]) { return complaint }
            unfinished.removeFirst(1 + length)
        }
        return nil
    }

    /// The codes are the protocol's: 0 is success, 10 names mechanisms, 11 is the server's first SCRAM message.
    private mutating func complaint(aboutRequest body: ArraySlice<UInt8>) -> String? {
        let rest = body.dropFirst(4)
        switch Self.number(body) {
        case 0: isOver = true
        case 10:
            let names = rest.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            offersChannelBinding = names.contains("SCRAM-SHA-256-PLUS")
        case 11:
            // libpq computes once in a connection, after this.
            isOver = true
            let count = rest.split(separator: UInt8(ascii: ",")).first { $0.starts(with: "i=".utf8) }?.dropFirst(2)
            guard let count, let iterations = Int(String(decoding: count, as: UTF8.self)),
                iterations <= Self.mostIterations
            else {
                return "the server asks for more than \(Self.mostIterations) SCRAM iterations; "
                    + "set the role's password anew with a smaller scram_iterations"
            }
        default: break
        }
        return nil
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    private static let headerBytes = 5
    private static let lengths = 8...2_000
}
