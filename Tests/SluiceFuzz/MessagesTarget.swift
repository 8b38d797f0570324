import NIOCore
import SluiceWire

/// The first byte chooses the message, the rest is its payload. What decodes is encoded and decoded again, and must be
/// the same.
enum MessagesTarget {
    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        var control = FuzzControl(input)
        let choice = Int(control.byte())
        let payload = ByteBuffer(bytes: control.rest)
        switch kinds[choice % kinds.count] {
        case .hello: try roundTrip(Hello.self, payload)
        case .welcome: try roundTrip(Welcome.self, payload)
        case .goAway: try roundTrip(GoAway.self, payload)
        case .error: try roundTrip(ErrorReply.self, payload)
        case .search: try search(payload)
        case .result: try result(payload)
        case .collectionList: try roundTrip(CollectionList.self, payload)
        case .get: try get(payload)
        case .count: try count(payload)
        case .countResult: try roundTrip(CountResult.self, payload)
        case .next: try roundTrip(CursorRequest.self, payload)
        case .load: try? roundTrip(LoadRequest.self, payload)?.validate()
        case .loadReady: try roundTrip(LoadReady.self, payload)
        case .loadCredit: try roundTrip(LoadCredit.self, payload)
        case .loadEnd: try roundTrip(LoadEnd.self, payload)
        case .loadProgress: try roundTrip(LoadProgress.self, payload)
        case .loadResult: try roundTrip(LoadResult.self, payload)
        case .write: try write(payload)
        case .writeResult: try roundTrip(WriteResult.self, payload)
        case .filter: if let filter = try? FilterExpression(decoding: payload) { try check(filter) }
        case .vector: try vector(payload)
        }
    }

    private enum Kind: CaseIterable {
        case hello, welcome, goAway, error, search, result, collectionList, get, count, countResult, next, load
        case loadReady, loadCredit, loadEnd, loadProgress, loadResult, write, writeResult, filter, vector
    }

    private static let kinds = Kind.allCases

    // MARK: Properties

    /// - Returns: the message; nil if the payload is none.
    @discardableResult
    private static func roundTrip<Message: WireMessage>(
        _: Message.Type, _ payload: ByteBuffer
    ) throws(FuzzFinding) -> Message? {
        guard let first = try? Message(decoding: payload) else { return nil }
        var encoded = ByteBuffer()
        first.encode(into: &encoded)
        let second: Message
        do { second = try Message(decoding: encoded) } catch {
            throw FuzzFinding("what was encoded does not decode: \(error)")
        }
        // A NaN is unlike itself, but not in an array that is compared with itself.
        let twin = try? Message(decoding: payload)
        try expect(first != twin || first == second, "another \(Message.self) came back")
        var again = ByteBuffer()
        second.encode(into: &again)
        try expect(encoded == again, "\(Message.self) has two encodings")
        return first
    }

    private static func checkCount(_ count: Int, _ most: Int) throws(FuzzFinding) {
        try expect(count <= most, "\(count) elements where \(most) are the most")
    }

    private static func search(_ payload: ByteBuffer) throws(FuzzFinding) {
        guard let request = try roundTrip(SearchRequest.self, payload) else { return }
        try checkCount(request.collections.count, SearchRequest.maximumCollections)
        try checkCount(request.columns.count, SearchRequest.maximumColumns)
        try checkCount(request.vectors.count, SearchRequest.maximumVectors)
        if let filter = request.filter { try check(filter) }
        guard (try? request.validate()) != nil else { return }
        try expect(request.k >= 1 && request.listCount <= SearchRequest.maximumLists, "a valid search is none")
        for vector in request.vectors + request.overrides.compactMap(\.vector) { try check(vector) }
    }

    /// A filter that has come can be sent, too.
    private static func check(_ filter: FilterExpression) throws(FuzzFinding) {
        var bytes = ByteBuffer()
        let again: FilterExpression
        do {
            try filter.encode(into: &bytes)
            again = try FilterExpression(decoding: bytes)
        } catch {
            throw FuzzFinding("a filter was accepted and is refused: \(error)")
        }
        try expect(again == filter, "another filter came back")
        try expect(bytes.readableBytes <= FilterExpression.maximumEncodedBytes, "a filter above its limit")
    }

    private static func get(_ payload: ByteBuffer) throws(FuzzFinding) {
        guard let request = try roundTrip(GetRequest.self, payload) else { return }
        try checkCount(request.ids.count, GetRequest.idRange.upperBound)
        try? request.validate()
    }

    private static func count(_ payload: ByteBuffer) throws(FuzzFinding) {
        if let filter = try roundTrip(CountRequest.self, payload)?.filter { try check(filter) }
    }

    private static func write(_ payload: ByteBuffer) throws(FuzzFinding) {
        guard let request = try roundTrip(WriteRequest.self, payload) else { return }
        try checkCount(request.deletes.count, WriteRequest.changeRange.upperBound)
        try? request.validate()
    }

    private static func result(_ payload: ByteBuffer) throws(FuzzFinding) {
        guard let result = try roundTrip(SearchResult.self, payload) else { return }
        try checkCount(result.lists.count, SearchRequest.maximumLists)
        for list in result.lists {
            guard let hits = try? list.hits(of: result.legs) else { continue }
            try expect(hits.count == list.count && hits.count * 18 <= payload.readableBytes, "more hits than bytes")
            var writer = HitWriter(capacity: hits.count)
            for hit in hits {
                var cells = ByteBuffer()
                for cell in hit.cells {
                    cells.writeInteger(cell.map { Int32(clamping: $0.readableBytes) } ?? -1)
                    if let cell { cells.writeImmutableBuffer(cell) }
                }
                writer.append(leg: hit.leg, id: hit.id, distance: hit.distance, cells: cells.readableBytesView)
            }
            try expect(writer.finish() == list, "other hits came back")
        }
    }

    // MARK: Vectors

    /// The first byte is the form.
    private static func vector(_ payload: ByteBuffer) throws(FuzzFinding) {
        var bytes = payload
        let byte = bytes.readInteger(as: UInt8.self) ?? 0
        let form = VectorForm.allCases[Int(byte) % VectorForm.allCases.count]
        let vector = VectorBytes(unchecked: bytes, form: form)
        // Of one that is not valid as well: nobody is made to ask first.
        _ = (vector.dimensions, vector.floats(), vector.nonZero(), vector.bits())
        if (try? vector.validate()) != nil { try check(vector) }
    }

    /// Taken apart and put together it has the same bytes.
    private static func check(_ vector: VectorBytes) throws(FuzzFinding) {
        let again: VectorBytes? =
            switch vector.form {
            case .vector: VectorBytes(vector.floats())
            case .halfvec: VectorBytes(half: vector.floats())
            case .sparsevec:
                vector.nonZero().map {
                    VectorBytes(sparse: vector.dimensions, indices: $0.indices, values: $0.values)
                }
            case .bit: vector.bits().map { VectorBytes(bits: $0) }
            }
        try expect(again == vector, "a \(vector.form.name) does not come back")
    }

    // MARK: Seeds

    private static func choice(of kind: FrameKind) -> Kind? {
        switch kind {
        case .hello: .hello
        case .welcome: .welcome
        case .goAway: .goAway
        case .error: .error
        case .search: .search
        case .result, .resultPart: .result
        case .collectionList: .collectionList
        case .get: .get
        case .count: .count
        case .countResult: .countResult
        case .next: .next
        case .load: .load
        case .loadReady: .loadReady
        case .loadCredit: .loadCredit
        case .loadEnd: .loadEnd
        case .loadProgress: .loadProgress
        case .loadResult: .loadResult
        case .write: .write
        case .writeResult: .writeResult
        case .ping, .pong, .cancel, .collections, .loadRows: nil
        }
    }

    private static func seed(_ name: String, _ kind: Kind, _ payload: [UInt8]) -> FuzzSeed {
        FuzzSeed(name, [UInt8(kinds.firstIndex(of: kind) ?? 0)] + payload)
    }

    static var seeds: [FuzzSeed] {
        let frames = GoldenFrames.all.compactMap { frame in
            FrameKind(rawValue: frame.kind).flatMap(choice(of:)).map { seed(frame.name, $0, frame.payload) }
        }
        return frames + filters + vectors
    }

    private static var filters: [FuzzSeed] {
        let leaf = FilterExpression.compare(column: "name", .equal, .text("gzip"))
        let filters: [FilterExpression] = [
            leaf, .and([leaf, .not(.isNull(column: "a"))]), .or([leaf, .oneOf(column: "n", [.int(1), .double(2.5)])]),
            .between(column: "at", low: .timestamp(0), high: .timestamp(1)), .hasPrefix(column: "p", "lib"),
            .overlaps(column: "tags", ["a", "b"]), .compare(column: "u", .notEqual, .uuid(high: 1, low: 2)),
            .compare(column: "t", .equal, .textArray(["x", ""])),
        ]
        return filters.enumerated().compactMap { place, filter in
            var bytes = ByteBuffer()
            guard (try? filter.encode(into: &bytes)) != nil else { return nil }
            return seed("filter-\(place)", .filter, Array(bytes.readableBytesView))
        }
    }

    private static var vectors: [FuzzSeed] {
        let vectors = [
            VectorBytes([1, -2.5, 0.25]), VectorBytes(half: [1, 65_504, -0]),
            VectorBytes(sparse: 9, indices: [0, 7], values: [0.5, -2]),
            VectorBytes(bits: [true, false, true, true, false, true, false, true, true]),
        ]
        return vectors.map {
            seed("vector-\($0.form.name)", .vector, [$0.form.rawValue] + $0.bytes.readableBytesView)
        }
    }
}

private protocol WireMessage: Equatable {
    init(decoding payload: ByteBuffer) throws(WireError)
    func encode(into buffer: inout ByteBuffer)
}

extension Hello: WireMessage {}
extension Welcome: WireMessage {}
extension GoAway: WireMessage {}
extension ErrorReply: WireMessage {}
extension SearchRequest: WireMessage {
    init(decoding payload: ByteBuffer) throws(WireError) { try self.init(decoding: payload, filters: .init()) }
}
extension SearchResult: WireMessage {}
extension CollectionList: WireMessage {}
extension GetRequest: WireMessage {}
extension CountRequest: WireMessage {
    init(decoding payload: ByteBuffer) throws(WireError) { try self.init(decoding: payload, filters: .init()) }
}
extension CountResult: WireMessage {}
extension CursorRequest: WireMessage {}
extension LoadRequest: WireMessage {}
extension LoadReady: WireMessage {}
extension LoadCredit: WireMessage {}
extension LoadEnd: WireMessage {}
extension LoadProgress: WireMessage {}
extension LoadResult: WireMessage {}
extension WriteRequest: WireMessage {}
extension WriteResult: WireMessage {}
