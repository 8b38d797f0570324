import Foundation
import SluiceClient

/// A reply as a person reads it.
struct SearchTable {
    var columns: [String]

    func show(_ reply: SearchReply) {
        let isHybrid = !reply.ranks.isEmpty
        let head =
            ["COLLECTION", "ID", "DISTANCE"] + (isHybrid ? ["SCORE", "VECTOR", "TEXT"] : [])
            + columns.map { $0.uppercased() } + ["FROM"]
        let rows = reply.hits.indices.map { place in
            row(reply.hits[place], isHybrid ? reply.ranks[place] : nil)
        }
        Output.table([head] + rows)
        print("")
        Output.show(reply.legs)
        print(
            String(format: "coverage %.3f, %@", reply.coverage, Output.milliseconds(reply.elapsed))
                + Self.remarks(reply))
    }

    private func row(_ hit: SearchReply.Hit, _ ranks: SearchReply.Ranks?) -> [String] {
        // A hit that only its words found has no distance.
        let distance = hit.distance.isNaN ? "-" : String(format: "%.6f", hit.distance)
        var cells = [hit.collection, String(hit.id), distance]
        if let ranks {
            cells.append(String(format: "%.6f", ranks.score))
            cells += [ranks.vector, ranks.text].map { $0.map(String.init) ?? "-" }
        }
        return cells + columns.map { hit.columns[$0].map(Output.text) ?? "" } + ["\(hit.shard)/\(hit.replica)"]
    }

    /// What is not as it is most times.
    private static func remarks(_ reply: SearchReply) -> String {
        var remarks: [String] = []
        if !reply.isComplete { remarks.append("more rows may match") }
        if reply.rung != .asAsked { remarks.append("searched harder: \(reply.rung.rawValue)") }
        if reply.repaired { remarks.append("a shard was asked again") }
        if reply.source != .executed { remarks.append("source: \(reply.source.rawValue)") }
        if !reply.groups.isEmpty { remarks.append("\(reply.groups.count) groups") }
        return remarks.map { ", \($0)" }.joined()
    }
}

/// The JSON of a search.
struct SearchReport: Encodable {
    struct Hit: Encodable {
        var collection: String
        var id: Int64
        var distance: Double
        var columns: [String: JSONValue]
        var shard: String
        var replica: String
        var score: Double?
        var vectorRank: Int?
        var textRank: Int?
    }

    struct Leg: Encodable {
        var collection: String
        var shard: String
        var replica: String
        var status: String
        var rows: Int
        var waitUs: Int64
        var executeUs: Int64
        var attempts: Int
        var hedges: Int
        var asked: Int?
        var rung: String
        var stalenessUs: Int64?
        var isStale: Bool?
        var sqlstate: String?
        var message: String?

        init(_ leg: LegReport) {
            collection = leg.collection
            shard = leg.shard
            replica = leg.replica
            status = leg.status.rawValue
            rows = leg.rows
            waitUs = Output.microseconds(leg.wait)
            executeUs = Output.microseconds(leg.execute)
            attempts = leg.attempts
            hedges = leg.hedges
            asked = leg.asked == 0 ? nil : leg.asked
            rung = leg.rung.rawValue
            stalenessUs = leg.staleness.map(Output.microseconds)
            isStale = leg.isStale ? true : nil
            sqlstate = leg.sqlState
            message = leg.message
        }
    }

    var hits: [Hit]
    var coverage: Double
    var legs: [Leg]
    var elapsedUs: Int64
    var isComplete: Bool
    var rung: String
    var repaired: Bool
    var source: String
    /// How many hits each group has, in their order.
    var groupSizes: [Int]?

    init(_ reply: SearchReply) {
        hits = reply.hits.map {
            Hit(
                collection: $0.collection, id: $0.id, distance: $0.distance,
                columns: $0.columns.mapValues { JSONValue(value: $0) }, shard: $0.shard, replica: $0.replica)
        }
        for (place, ranks) in zip(hits.indices, reply.ranks) {
            hits[place].score = ranks.score
            hits[place].vectorRank = ranks.vector
            hits[place].textRank = ranks.text
        }
        coverage = reply.coverage
        legs = reply.legs.map(Leg.init)
        elapsedUs = Output.microseconds(reply.elapsed)
        isComplete = reply.isComplete
        rung = reply.rung.rawValue
        repaired = reply.repaired
        source = reply.source.rawValue
        groupSizes = reply.groups.isEmpty ? nil : reply.groups.map(\.count)
    }
}

/// A column's value in JSON; bytes of a type without a case of its own are base64.
struct JSONValue: Encodable {
    var value: Value

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch value {
        case .null: try container.encodeNil()
        case .bool(let bool): try container.encode(bool)
        case .int(let int): try container.encode(int)
        case .double(let double): try container.encode(double)
        case .string(let string): try container.encode(string)
        case .bytes(let bytes, _): try container.encode(Data(bytes).base64EncodedString())
        }
    }
}
