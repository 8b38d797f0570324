internal import NIOCore
internal import SluiceWire

extension SluiceClient {
    /// Inserts rows, or puts them in the place of those with the same ids.
    ///
    /// As `write(_:columns:rows:deletes:key:deadline:)`.
    public func upsert(
        _ collection: String, columns: [String] = [], rows: [LoadRow], key: WriteKey? = nil, deadline: Duration? = nil
    ) async throws(SluiceError) -> WriteReport {
        try await write(collection, columns: columns, rows: rows, key: key, deadline: deadline)
    }

    /// Deletes the rows of these ids.
    ///
    /// As `write(_:columns:rows:deletes:key:deadline:)`.
    public func delete(
        _ collection: String, ids: [Int64], key: WriteKey? = nil, deadline: Duration? = nil
    ) async throws(SluiceError) -> WriteReport {
        try await write(collection, deletes: ids, key: key, deadline: deadline)
    }

    /// Inserts or replaces rows and deletes others: all or nothing for each shard, not over all of them. The report
    /// says what became of each row; look at its `isDone`.
    ///
    /// A write that may have been done is never sent a second time, unless it has a key, by which the gateway knows it
    /// again; then a lost connection is tried anew once, at
    /// another gateway if there is one.
    /// - Parameters:
    ///   - collection: where the rows are.
    ///   - columns: what each row's values are of, at most 256.
    ///   - rows: with `deletes` 1 to 10,000; no id twice.
    ///   - deletes: the ids of rows to delete.
    ///   - key: one of its own for each write, the same for its repetitions.
    ///   - deadline: how long it may take; nil for the gateway's default.
    /// - Throws: `outcomeUnknown` if the write was sent and no answer came: it may have been done, in whole or in part.
    ///   Every other error but `cancelled` and `closed` says that nothing was done.
    public func write(
        _ collection: String, columns: [String] = [], rows: [LoadRow] = [], deletes: [Int64] = [],
        key: WriteKey? = nil, deadline: Duration? = nil
    ) async throws(SluiceError) -> WriteReport {
        let count = rows.count + deletes.count
        guard WriteRequest.changeRange.contains(count) else {
            throw SluiceError(.invalidArgument, "\(count) rows are to be written; it must be 1 to 10000")
        }
        var block = LoadBlock()
        for row in rows { try block.append(row) }
        let request = WriteRequest(
            collection: collection, columns: columns, rows: block.writer.bytes, deletes: deletes, key: key?.wire)
        do throws(WireError) { try request.validate() } catch { throw SluiceError(error) }
        let limit = limit(deadline, grace: Self.grace)
        let frame: Frame
        do throws(SluiceError) {
            frame = try await send(request, limit)
        } catch {
            guard error.code == .connectionLost, key != nil else { throw Self.verdict(error, key) }
            do throws(SluiceError) {
                frame = try await send(request, limit)
            } catch {
                throw Self.verdict(error, key, isRepetition: true)
            }
        }
        do throws(SluiceError) {
            let result = try decoded { () throws(WireError) in try WriteResult(decoding: frame.payload) }
            guard result.rows.count == rows.count, result.deletes.count == deletes.count else {
                throw SluiceError(.protocolViolation, "the gateway's answer has not as many outcomes as there are rows")
            }
            return WriteReport(result)
        } catch {
            throw Self.verdict(error, key)
        }
    }

    private func send(_ request: WriteRequest, _ limit: TimeLimit) async throws(SluiceError) -> Frame {
        // A lost answer is the caller's affair: the second attempt's words do not say what the first has done.
        try await call(
            .write, until: limit, answeredBy: .writeResult, repetition: request.key == nil ? .never : .afterRefusal
        ) { request.encode(into: &$0) }.frame
    }

    /// - Parameter isRepetition: the first attempt was sent, so whatever the second says, the first may have been done.
    private static func verdict(
        _ error: SluiceError, _ key: WriteKey?, isRepetition: Bool = false
    ) -> SluiceError {
        let isOpen = error.isUnanswered || [.connectionLost, .noAnswer, .protocolViolation].contains(error.code)
        guard isOpen || isRepetition, error.code != .cancelled, error.code != .closed else { return error }
        let advice =
            key == nil
            ? "; the write may have been done, in whole or in part"
            : "; the write may have been done, in whole or in part: sent again with its key it is not done twice"
        return SluiceError(.outcomeUnknown, error.message + advice, isRetryable: key != nil)
    }
}
