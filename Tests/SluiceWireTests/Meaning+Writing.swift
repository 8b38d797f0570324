import NIOCore
import SluiceWire
import Testing

extension Meaning {
    /// What version 1.2 added.
    struct Writing: Decodable, Sendable {
        struct Row: Decodable, Sendable {
            var id: Int64
            var vector: [Float]?
            /// The kind's name and the value.
            var values: [[String]]
        }

        struct Shard: Decodable, Sendable {
            var shard: String
            var outcome: UInt8
            var rows: Int
            var lsn: UInt64?
            var sqlstate, message, replica: String?

            var report: ShardReport {
                ShardReport(
                    shard: shard, outcome: ShardOutcome(rawValue: outcome), rows: rows, lsn: lsn, sqlstate: sqlstate,
                    message: message, replica: replica)
            }
        }

        struct Bad: Decodable, Sendable {
            var row: Int
            var message: String
        }

        var mode, phase, index: UInt8?
        var key, name, indexMessage, failureMessage: String?
        var skipBad, credit, done, total, count, badRowCount: Int?
        var buildIndex, repeated: Bool?
        var names: [String]?
        var packed: [Row]?
        var shards: [Shard]?
        var badRows: [Bad]?
        var failure: UInt16?
        var outcomes, deleteOutcomes: [UInt8]?
    }
}

/// What LOAD, WRITE and the frames that belong to them are to mean.
struct WritingExpectation {
    private let kind: String?
    private let message: Meaning.Message
    private let details: Meaning.Details
    private let writing: Meaning.Writing

    init(_ meaning: Meaning) throws {
        kind = meaning.kind
        message = try #require(meaning.message)
        details = try #require(meaning.details)
        writing = try #require(meaning.writing)
    }

    private var key: RequestKey? {
        writing.key.flatMap(Meaning.cursor).map { RequestKey(high: $0.high, low: $0.low) }
    }

    private var shards: [ShardReport] { (writing.shards ?? []).map(\.report) }
    private var elapsed: Duration { .microseconds(message.elapsedUs ?? -1) }

    func check(_ frame: Frame) throws -> (inout ByteBuffer) -> Void {
        switch frame.kind {
        case .load:
            var expected = LoadRequest(
                collection: try #require(details.collection),
                mode: try #require(LoadMode(rawValue: writing.mode ?? 0)), columns: message.columns ?? [],
                loadID: try #require(key), skipBad: writing.skipBad ?? 0, buildIndex: writing.buildIndex ?? false)
            expected.trace = details.trace?.context
            let request = try LoadRequest(decoding: frame.payload)
            try request.validate()
            #expect(kind == "load" && request == expected)
            return { request.encode(into: &$0) }
        case .loadRows:
            let rows = try rows()
            #expect(kind == "load_rows" && frame.payload == rows)
            return { $0.writeImmutableBuffer(rows) }
        case .loadEnd:
            let end = try LoadEnd(decoding: frame.payload)
            #expect(kind == "load_end" && end.rows == writing.count)
            return { end.encode(into: &$0) }
        case .write:
            var expected = WriteRequest(
                collection: try #require(details.collection), columns: message.columns ?? [], rows: try rows(),
                deletes: details.ids ?? [], deadline: message.deadlineUs.map { .microseconds($0) }, key: key)
            expected.trace = details.trace?.context
            let request = try WriteRequest(decoding: frame.payload)
            try request.validate()
            #expect(kind == "write" && request == expected)
            return { request.encode(into: &$0) }
        default: return try checkAnswer(frame)
        }
    }

    private func checkAnswer(_ frame: Frame) throws -> (inout ByteBuffer) -> Void {
        switch frame.kind {
        case .loadReady:
            let ready = try LoadReady(decoding: frame.payload)
            #expect(kind == "load_ready" && ready.credit == writing.credit && ready.shards == writing.names)
            return { ready.encode(into: &$0) }
        case .loadCredit:
            let credit = try LoadCredit(decoding: frame.payload)
            #expect(kind == "load_credit" && credit.credit == writing.credit && credit.rowsTaken == writing.done)
            return { credit.encode(into: &$0) }
        case .loadProgress:
            let progress = try LoadProgress(decoding: frame.payload)
            let expected = LoadProgress(
                phase: LoadPhase(rawValue: try #require(writing.phase)), done: try #require(writing.done),
                total: writing.total ?? 0, shard: writing.name)
            #expect(kind == "load_progress" && progress == expected)
            return { progress.encode(into: &$0) }
        case .loadResult:
            let result = try LoadResult(decoding: frame.payload)
            let expected = LoadResult(
                rows: try #require(writing.count), shards: shards,
                badRows: (writing.badRows ?? []).map { BadRow(row: $0.row, message: $0.message) },
                badRowCount: writing.badRowCount ?? 0, index: IndexOutcome(rawValue: writing.index ?? 0),
                indexMessage: writing.indexMessage, elapsed: elapsed,
                error: writing.failure.map { WireError(ErrorCode(rawValue: $0), writing.failureMessage ?? "") })
            #expect(kind == "load_result" && result == expected)
            return { result.encode(into: &$0) }
        default:
            let result = try WriteResult(decoding: frame.payload)
            let expected = WriteResult(
                rows: (writing.outcomes ?? []).map(RowOutcome.init),
                deletes: (writing.deleteOutcomes ?? []).map(RowOutcome.init), shards: shards, elapsed: elapsed,
                isRepeated: writing.repeated ?? false)
            #expect(kind == "write_result" && result == expected)
            return { result.encode(into: &$0) }
        }
    }

    /// As this side's writer packs them.
    private func rows() throws -> ByteBuffer {
        var writer = RowWriter()
        for row in writing.packed ?? [] {
            try writer.append(
                id: row.id, vector: row.vector.map { VectorBytes($0) }, values: try row.values.map { try value($0) })
        }
        return writer.bytes
    }

    private func value(_ pair: [String]) throws -> FilterValue? {
        switch pair[0] {
        case "bool": return .bool(pair[1] == "true")
        case "int": return .int(try #require(Int64(pair[1])))
        case "float": return .double(try #require(Double(pair[1])))
        case "text": return .text(pair[1])
        case "timestamp": return .timestamp(try #require(Int64(pair[1])))
        case "uuid":
            let words = try #require(Meaning.cursor(pair[1]))
            return .uuid(high: words.high, low: words.low)
        case "text[]":
            return .textArray(pair[1].split(separator: ",", omittingEmptySubsequences: false).map(String.init))
        default: return nil
        }
    }
}
