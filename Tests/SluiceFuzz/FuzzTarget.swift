/// What bytes from outside can reach, one case for each way in. libFuzzer drives them by name, and plain tests replay
/// their seeds and every file that has ever found something.
package enum FuzzTarget: String, CaseIterable, Sendable {
    /// What a client sends, through the gateway's session.
    case frames
    /// What a gateway sends, through the client's connection.
    case client
    /// Each message's decoder, and its encoder.
    case messages
    case lz4
    case filter
    case config
    case npy
    /// `.fvecs` and `.fbin`.
    case vecs
    /// CSV and JSONL files, and packed rows of loads and writes.
    case rows
    /// What a database answers, and what a client makes of it.
    case results
    /// What a name server answers.
    case dns
    /// What Patroni and etcd answer.
    case topology

    /// Returns normally for every input that is dealt with as it should be.
    /// - Throws: what is wrong; a trap or a hang is a finding as well.
    package func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        switch self {
        case .frames: try FramesTarget.run(input)
        case .client: try ClientTarget.run(input)
        case .messages: try MessagesTarget.run(input)
        case .lz4: try LZ4Target.run(input)
        case .filter: try FilterTarget.run(input)
        case .config: try ConfigTarget.run(input)
        case .npy: try NumpyTarget.run(input)
        case .vecs: try VectorFilesTarget.run(input)
        case .rows: try RowsTarget.run(input)
        case .results: try ResultsTarget.run(input)
        case .dns: try DNSTarget.run(input)
        case .topology: try TopologyTarget.run(input)
        }
    }

    /// Good and bad inputs to begin with, each with a name.
    package var seeds: [FuzzSeed] {
        switch self {
        case .frames: FramesTarget.seeds
        case .client: ClientTarget.seeds
        case .messages: MessagesTarget.seeds
        case .lz4: LZ4Target.seeds
        case .filter: FilterTarget.seeds
        case .config: ConfigTarget.seeds
        case .npy: NumpyTarget.seeds
        case .vecs: VectorFilesTarget.seeds
        case .rows: RowsTarget.seeds
        case .results: ResultsTarget.seeds
        case .dns: DNSTarget.seeds
        case .topology: TopologyTarget.seeds
        }
    }

    /// Words that mutations alone are slow to find.
    package var dictionary: [String] {
        switch self {
        case .filter: FilterTarget.dictionary
        case .config: ConfigTarget.dictionary
        case .npy: NumpyTarget.dictionary
        case .rows: RowsTarget.dictionary
        case .topology: TopologyTarget.dictionary
        case .frames, .client, .messages, .lz4, .vecs, .results, .dns: []
        }
    }
}

package struct FuzzSeed: Sendable {
    package let name: String
    package let bytes: [UInt8]

    init(_ name: String, _ bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }

    init(_ name: String, _ text: String) { self.init(name, Array(text.utf8)) }
}

/// A property that does not hold.
package struct FuzzFinding: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws(FuzzFinding) {
    guard condition else { throw FuzzFinding(what()) }
}

extension [UInt8] {
    func withBytes<Result>(
        _ body: (UnsafeRawBufferPointer) throws(FuzzFinding) -> Result
    ) throws(FuzzFinding) -> Result {
        let result = withUnsafeBytes { bytes in
            Swift.Result { () throws(FuzzFinding) in try body(bytes) }
        }
        return try result.get()
    }
}

/// Bytes at the front of an input that say what is done with the rest; zeros once there are no more.
struct FuzzControl {
    private(set) var rest: UnsafeRawBufferPointer

    init(_ input: UnsafeRawBufferPointer) { rest = input }

    mutating func byte() -> UInt8 {
        guard let first = rest.first else { return 0 }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
        return first
    }
}
