internal import SluiceCore

/// What loads and writes ask of a primary besides rows.
extension SearchLane {
    /// Makes the journal on a shard's primary.
    func makeJournal(_ shard: String, until limit: Instant) async throws(BackendFailure) {
        let primary = try await leasePrimary(shard, until: limit)
        do throws(BackendFailure) {
            _ = try await primary.connection.run(IngestStatements.createJournal, deadline: limit)
            giveBack(primary)
        } catch {
            _ = settle(primary.lease)
            // Another session was faster.
            if error.sqlState == "23505" || error.sqlState == "42P06" || error.sqlState == "42P07" { return }
            guard error.sqlState == "42501" else { throw error }
            throw BackendFailure(
                .statement, sqlState: error.sqlState,
                detail: "the database role may not create the table sluice_gateway.journal, which loads and keyed "
                    + "writes are noted in; let the owner run the statements of `sluice create-collection`")
        }
    }

    /// Where the shard's log is now; nil if that cannot be had.
    func position(_ primary: PrimaryLease, until limit: Instant) async -> UInt64? {
        let found = try? await primary.connection.run([IngestStatements.position], deadline: limit)
        return found?.first?.firstValue.flatMap { UInt64($0) }
    }

    /// What became of a transaction whose connection was lost at its commit, as whoever is the primary now knows it.
    func fate(
        of key: WriteKey, transaction: String?, shard: String, timeline: UInt32
    ) async -> (outcome: ShardReport.Outcome, position: UInt64?) {
        let limit = executor.now().advanced(by: Self.fateTime)
        var pause = Duration.milliseconds(50)
        while executor.now() < limit {
            await shared.lookAgain(at: shard)
            if let primary = try? await leasePrimary(shard, until: limit) {
                if let fate = await fate(of: key, transaction, primary, timeline, until: limit) { return fate }
            }
            guard (try? await Task.sleep(for: pause)) != nil else { break }
            pause = min(pause * 2, .seconds(1))
        }
        return (.unknown, nil)
    }

    private static var fateTime: Duration { .seconds(10) }

    /// Nil while it is not decided.
    private func fate(
        of key: WriteKey, _ transaction: String?, _ primary: PrimaryLease, _ timeline: UInt32, until limit: Instant
    ) async -> (outcome: ShardReport.Outcome, position: UInt64?)? {
        do throws(BackendFailure) {
            let found = try await primary.connection.run([IngestStatements.find(key)], deadline: limit)
            var fate: (outcome: ShardReport.Outcome, position: UInt64?)?
            if found.first?.rows.isEmpty == false {
                fate = (.committed, await position(primary, until: limit))
            } else if primary.timeline != timeline {
                // Another server's history, which the transaction is not part of.
                fate = (.notApplied, nil)
            } else if let transaction {
                let status = try await primary.connection.run(
                    [IngestStatements.status(ofTransaction: transaction)], deadline: limit)
                if status.first?.firstValue == "aborted" { fate = (.notApplied, nil) }
            }
            giveBack(primary)
            return primary.isSuperseded(now: executor.now()) ? nil : fate
        } catch {
            _ = await abandon(primary)
            return nil
        }
    }
}
