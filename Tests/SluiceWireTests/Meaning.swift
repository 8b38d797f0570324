import Foundation
import NIOCore
import SluiceWire

/// The JSON beside a golden frame.
struct Meaning: Decodable, Sendable {
    struct Leg: Decodable, Sendable {
        struct Column: Decodable, Sendable {
            var name: String
            var type: UInt32

            init(from decoder: any Decoder) throws {
                var list = try decoder.unkeyedContainer()
                name = try list.decode(String.self)
                type = try list.decode(UInt32.self)
            }
        }

        var collection, shard, replica: String
        var status: UInt8
        var rows, attempts: Int
        var hedges, asked: Int?
        var rung: UInt8?
        var waitUs, executeUs: Int64
        var columns: [Column]
        var sqlstate, message: String?

        var report: LegReport {
            LegReport(
                collection: collection, shard: shard, replica: replica, status: LegStatus(rawValue: status), rows: rows,
                wait: .microseconds(waitUs), execute: .microseconds(executeUs), sqlstate: sqlstate, message: message,
                columns: columns.map { ColumnType(name: $0.name, typeOID: $0.type) }, attempts: attempts,
                hedges: hedges ?? 0, asked: asked ?? 0, rung: Rung(rawValue: rung ?? 0))
        }
    }

    struct Hit: Decodable, Sendable {
        var leg: Int
        var id: Int64
        var distance: Double
        var cells: [String?]
    }

    struct Listed: Decodable, Sendable {
        var name, metric: String
        var dimensions: Int
        var columns, shards: [String]
        var vectorType: UInt8?
        var filterable: [[String]]?
        var model: String?
        var hasText: Bool?

        var description: CollectionDescription {
            CollectionDescription(
                name: name, metric: metric, dimensions: dimensions, columns: columns, shards: shards,
                vectorForm: VectorForm(rawValue: vectorType ?? 0),
                filterable: (filterable ?? []).map { FilterableColumn(name: $0[0], type: $0[1]) }, model: model,
                hasText: hasText ?? false)
        }
    }

    struct Sparse: Decodable, Sendable {
        var dimensions: Int
        var indices: [Int]
        var values: [Float]
    }

    struct Override: Decodable, Sendable {
        var collection: String
        var vector: [Float]?
        var bits: String?
        var k: Int?
        var columns: [String]?
        var filter: String?
    }

    struct Settings: Decodable, Sendable {
        var probes, maxScanTuples, workMemKib: Int?
        var iterativeScan: UInt8?
        var scanMemoryMultiplier: Double?
    }

    struct Group: Decodable, Sendable {
        var column: String
        var size: Int
    }

    struct Words: Decodable, Sendable {
        var query: String
        var textWeight, vectorWeight, rankConstant: Double
        var fusion: UInt8
        var candidates: Int?
    }

    struct Phases: Decodable, Sendable {
        var coarse: UInt8
        var candidates: Int?
    }

    struct Row: Decodable, Sendable {
        var collection: String
        var id: Int64
    }

    struct Fused: Decodable, Sendable {
        var score: Double
        var vectorRank, textRank: Int
    }

    struct Message: Decodable, Sendable {
        var clientName, server, payload, message: String?
        var features, sessionId: UInt64?
        var maxFrame, maxInFlight, maxK, k, efSearch: Int?
        var code: UInt16?
        var retryable, exact, allowPartial, allowHedges: Bool?
        var priority: UInt8?
        var minCoverage: Double?
        var retryAfterMs, deadlineUs, elapsedUs: Int64?
        var coverage: Double?
        var vector: [Float]?
        var columns: [String]?
        var collections: Names?
        var legs: [Leg]?
        var hits: [Hit]?
    }

    /// What version 1.1 added to SEARCH.
    struct Query: Decodable, Sendable {
        var vectors: [[Float]]?
        var sparse: Sparse?
        var bits, filter, model: String?
        var overrides: [Override]?
        var separate, complete, bypassCache, stream: Bool?
        var settings: Settings?
        var maxDistance, probability: Double?
        var group: Group?
        var text: Words?
        var twoPhase: Phases?
        var pageSize: Int?
        var byId: Row?
    }

    /// What it added to answers, and what GET, COUNT and NEXT say.
    struct Details: Decodable, Sendable {
        var furtherHits: [[Hit]]?
        var mayBeIncomplete, hasMore, repaired, withVector, isExact: Bool?
        var rung, source, vectorType: UInt8?
        var cursor, collection: String?
        var fused: [Fused]?
        var groupSizes: [Int]?
        var missing, ids: [Int64]?
        var listIndex: Int?
        var rows: Double?
        var trace: Trace?
        var servers: [Server]?
    }

    struct Server: Decodable, Sendable {
        var shard, replica, postgres: String
        var vector: String?

        var description: ServerDescription {
            ServerDescription(shard: shard, replica: replica, postgres: postgres, vector: vector)
        }
    }

    /// The trace context of a request; of an error, the trace's id alone.
    struct Trace: Decodable, Sendable {
        var traceId: String
        var spanId, state: String?
        var flags: UInt8?

        var id: TraceID? { Meaning.cursor(traceId).map { TraceID(high: $0.high, low: $0.low) } }

        var context: TraceContext? {
            guard let id, let spanId, let span = UInt64(spanId, radix: 16), let flags else { return nil }
            return TraceContext(traceID: id, spanID: span, flags: flags, state: state ?? "")
        }
    }

    /// Names in a search, descriptions in a list.
    enum Names: Decodable, Sendable {
        case names([String])
        case listed([Listed])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let names = try? container.decode([String].self) {
                self = .names(names)
            } else {
                self = .listed(try container.decode([Listed].self))
            }
        }
    }

    var valid: Bool
    var kind: String?
    var requestId: UInt32?
    var lz4: Bool?
    var message: Message?
    /// The same object, other keys of it.
    var query: Query?
    var details: Details?
    var writing: Writing?
    var error: UInt16?
    var scope: String?

    private enum CodingKeys: CodingKey {
        case valid
        case kind
        case requestId
        case lz4
        case message
        case error
        case scope
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        valid = try container.decode(Bool.self, forKey: .valid)
        kind = try container.decodeIfPresent(String.self, forKey: .kind)
        requestId = try container.decodeIfPresent(UInt32.self, forKey: .requestId)
        lz4 = try container.decodeIfPresent(Bool.self, forKey: .lz4)
        message = try container.decodeIfPresent(Message.self, forKey: .message)
        query = try container.decodeIfPresent(Query.self, forKey: .message)
        details = try container.decodeIfPresent(Details.self, forKey: .message)
        writing = try container.decodeIfPresent(Writing.self, forKey: .message)
        error = try container.decodeIfPresent(UInt16.self, forKey: .error)
        scope = try container.decodeIfPresent(String.self, forKey: .scope)
    }
}
