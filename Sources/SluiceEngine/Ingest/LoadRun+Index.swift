internal import SluiceCore

extension LoadRun {
    /// Builds the collection's HNSW index on each shard that has none, after the commit. What is loaded stays loaded if
    /// that fails.
    func buildIndexes(_ answer: inout LoadAnswer) async {
        var results: [Result<LoadAnswer.Index, SearchError>] = []
        await withTaskGroup(of: Result<LoadAnswer.Index, SearchError>.self) { group in
            for place in shards.indices { group.addTask { await self.buildIndex(place) } }
            for await result in group { results.append(result) }
        }
        answer.index = .wasThere
        for result in results {
            switch result {
            case .success(.built) where answer.index == .wasThere: answer.index = .built
            case .success: break
            case .failure(let error):
                answer.index = .failed
                answer.indexMessage = error.message
            }
        }
    }

    private func buildIndex(_ place: Int) async -> Result<LoadAnswer.Index, SearchError> {
        let name = shards[place].name
        do throws(BackendFailure) {
            let primary = try await lane.leasePrimary(
                name, until: executor.now().advanced(by: .seconds(10)))
            do throws(BackendFailure) {
                let outcome = try await buildIndex(place, primary)
                await lane.giveBack(primary)
                return .success(outcome)
            } catch {
                await primary.connection.close()
                _ = await lane.settle(primary.lease)
                throw error
            }
        } catch {
            return .failure(error.error(collection.name, shard: name))
        }
    }

    private func buildIndex(_ place: Int, _ primary: PrimaryLease) async throws(BackendFailure) -> LoadAnswer.Index {
        let limit = executor.now().advanced(by: limits.merge)
        let found = try await primary.connection.run(
            [statements.findIndex, IngestStatements.backendID], deadline: limit)
        let operatorClass = collection.form.operatorClass(collection.metric)
        for index in found.first?.rows ?? [] where index.count == 3 {
            if index[1] == "t", index[2] == operatorClass { return .wasThere }
            // What a build that was cut off has left.
            if index[1] == "f", index[0] == statements.indexName {
                _ = try await primary.connection.run([statements.dropIndex(statements.indexName)], deadline: limit)
            }
        }
        // One that was empty before nobody writes to but us; a build that is not concurrent lets others read.
        let create = statements.createIndex(concurrently: !shards[place].isTableEmpty)
        let watch = found.last?.firstValue.map { pid in
            Task(executorPreference: executor) { await self.watchIndex(place, primary.backend, pid: pid) }
        }
        defer { watch?.cancel() }
        _ = try await primary.connection.run([create], deadline: limit)
        return .built
    }

    /// Tells how far the build is, as long as it runs.
    private func watchIndex(_ place: Int, _ backend: Int, pid: String) async {
        while (try? await Task.sleep(for: .seconds(1))) != nil {
            let limit = executor.now().advanced(by: .seconds(2))
            guard let lease = try? await lane.lease(backend, until: limit, for: nil) else { continue }
            do throws(BackendFailure) {
                let found = try await lease.connection.run([IngestStatements.indexProgress(pid: pid)], deadline: limit)
                await lane.release(lease)
                guard let row = found.first?.rows.first, row.count == 2 else { continue }
                onEvent(
                    .progress(
                        .index, done: row[0].flatMap { Int($0) } ?? 0, total: row[1].flatMap { Int($0) } ?? 0,
                        shard: shards[place].name))
            } catch {
                _ = await lane.settle(lease)
            }
        }
    }
}
