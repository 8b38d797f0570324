internal import SluiceCore
package import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor

/// Judges what a database says of a collection's layouts. Pure.
package enum LayoutJudge {
    package static func findings(
        _ answer: LayoutAnswer, of collection: GatewayConfig.Collection, shard: String, replica: String
    ) -> [Finding] {
        func finding(_ severity: Finding.Severity, _ message: String) -> [Finding] {
            [Finding(severity, collection: collection.name, shard: shard, replica: replica, message)]
        }
        let (epoch, isMoving) = (collection.epoch, collection.next != nil)
        let told: Int
        switch answer {
        case .failed(let reason):
            guard isMoving else { return [] }
            return finding(
                .error,
                "`next`: it cannot be read which layout is the true one: \(reason); GRANT SELECT ON "
                    + "\(LayoutTable.schema).\(LayoutTable.table) to the gateway's role")
        case .epochs(let epochs):
            guard let found = epochs[collection.name], found != epoch else { return [] }
            told = found
        }
        if isMoving, told == epoch + 1 {
            return finding(
                .warning,
                "`next`: its rows have been moved: give the collection the table and the shards of `next` and "
                    + "`epoch: \(told)`, and take `next` away")
        }
        if isMoving {
            return finding(
                .error,
                "`epoch`: the database says \(told), and the configuration has \(epoch) and, as `next`, \(epoch + 1): "
                    + "gateways switch nothing; correct `epoch`, `table`, `shards` and `next`")
        }
        guard told > epoch else {
            return finding(
                .error,
                "`epoch`: the database says \(told), the configuration \(epoch): its rows have not been moved; say "
                    + "`epoch: \(told)` with the table and the shards of that, and the new ones as `next`")
        }
        return finding(
            .error,
            "`epoch`: the database says \(told), the configuration \(epoch): its rows have been moved, so writes are "
                + "refused here and searches see old rows; give the collection the table and the shards that they were "
                + "moved to, and `epoch: \(told)`")
    }
}

/// Asks a server where collections lie.
struct LayoutProbe: Sendable {
    let connection: PostgresConnection
    /// Each statement's time.
    let patience: Duration

    /// - Throws: what ended the connection.
    func answer() async throws(PostgresFailure) -> LayoutAnswer {
        do throws(PostgresFailure) {
            guard try await rows(LayoutTable.isThere).first?.first == "t" else { return .epochs([:]) }
            return .epochs(LayoutTable.epochs(try await rows(LayoutTable.read)))
        } catch {
            guard await connection.settle() else { throw error }
            return .failed(error.description)
        }
    }

    private func rows(_ sql: String) async throws(PostgresFailure) -> [[String?]] {
        let deadline = Instant(nanoseconds: Reactor.now()).advanced(by: patience).nanoseconds
        return try await connection.rows(sql, [], deadline: deadline)
    }
}
