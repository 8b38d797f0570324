import GRPCCore
import SearchMessages
import SwiftProtobuf

/// Answers at once: a ping with nothing, a search with rows that were made before, once its vector has been looked at.
struct SearchService: Sluice_Bench_Gateway.SimpleServiceProtocol {
    private let reply: Sluice_Bench_SearchReply

    /// - Parameter rows: of each answer, from two legs.
    init(rows: Int) {
        reply = Sluice_Bench_SearchReply.with { reply in
            reply.legs = (0..<2).map { shard in
                Sluice_Bench_Leg.with { leg in
                    leg.collection = "wide"
                    leg.shard = "s\(shard)"
                    leg.replica = "s\(shard)-a"
                    leg.rows = UInt32(clamping: rows)
                    leg.executeMicroseconds = 900
                    leg.attempts = 1
                    leg.asked = UInt32(clamping: rows)
                }
            }
            reply.hits = (0..<rows).map { row in
                Sluice_Bench_Hit.with { hit in
                    hit.leg = UInt32(clamping: row % 2)
                    hit.id = Int64(row + 1)
                    hit.distance = Double(row) / 1_000
                }
            }
            reply.coverage = 1
            reply.elapsedMicroseconds = 1_100
        }
    }

    func ping(request: Sluice_Bench_PingRequest, context: ServerContext) async throws -> Sluice_Bench_PingReply {
        Sluice_Bench_PingReply()
    }

    func search(request: Sluice_Bench_SearchRequest, context: ServerContext) async throws -> Sluice_Bench_SearchReply {
        // pgvector's form: two bytes of dimensions, two of zero, four a component.
        let bytes = request.vector
        guard bytes.count > 4, bytes.count == 4 + 4 * (Int(bytes[0]) << 8 | Int(bytes[1])), request.k > 0 else {
            throw RPCError(code: .invalidArgument, message: "this is no search")
        }
        return reply
    }
}
