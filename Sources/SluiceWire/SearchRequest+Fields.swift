public import NIOCore

extension SearchRequest {
    /// - Throws: `malformed` for what cannot be read, `invalidArgument` for what is out of its range. The vectors, and
    ///   whether the fields go together, are for `validate()` to say.
    public init(decoding payload: ByteBuffer, filters: FilterBounds = .init()) throws(WireError) {
        self.init(collections: [], vectors: [], k: 0)
        var form = VectorForm.vector
        var (first, further): (ByteBuffer?, [ByteBuffer]) = (nil, [])
        var hasK = false
        var filters = filters
        var reader = FieldReader(
            payload, of: "SEARCH",
            once: [
                2, 3, 5, 6, 7, 8, 9, 10, 11, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 31, 60,
            ],
            most: FieldReader.requestFields)
        while let field = try reader.next() {
            switch field.tag {
            case 1: try take(collection: field)
            case 2: first = field.value
            case 3:
                k = try field.count("SEARCH")
                hasK = true
            case 12:
                guard further.count + 1 < Self.maximumVectors else { throw Self.tooManyVectors }
                further.append(field.value)
            case 13: form = try field.choice("SEARCH")
            case 4...11: try takeOption(field)
            case 14...28: try takeQuery(field, &filters)
            case 29...31: try freshness.take(field, field.tag - 29, "SEARCH")
            case TraceContext.tag: trace = try field.traceContext("SEARCH")
            default: break
            }
        }
        guard !collections.isEmpty else { throw WireError(.malformed, "SEARCH: without a collection") }
        guard first != nil || canBeWithoutVector && further.isEmpty else {
            throw WireError(.malformed, "SEARCH: without a vector")
        }
        guard hasK else { throw WireError(.malformed, "SEARCH: without k") }
        if let first { vectors = ([first] + further).map { VectorBytes(unchecked: $0, form: form) } }
    }

    private var canBeWithoutVector: Bool { byID != nil || overrides.contains { $0.vector != nil } }

    private mutating func take(collection field: FieldReader.Field) throws(WireError) {
        guard collections.count < Self.maximumCollections else {
            throw Rules.wrong("a search names at most \(Self.maximumCollections) collections")
        }
        collections.append(try field.text("SEARCH"))
    }

    /// The fields of version 1.0.
    private mutating func takeOption(_ field: FieldReader.Field) throws(WireError) {
        switch field.tag {
        case 4:
            guard columns.count < Self.maximumColumns else {
                throw Rules.wrong("a search asks for at most \(Self.maximumColumns) columns")
            }
            columns.append(try field.text("SEARCH"))
        case 5: deadline = try field.microseconds("SEARCH")
        case 6: efSearch = try field.count("SEARCH")
        case 7: exact = try field.flag("SEARCH")
        case 8: allowPartial = try field.flag("SEARCH")
        case 9:
            let share = try field.double("SEARCH")
            try Self.check(minCoverage: share)
            minCoverage = share
        case 10: allowHedges = try field.flag("SEARCH")
        default:
            priority = try field.integer(as: UInt8.self, "SEARCH")
            guard priority <= 1 else { throw WireError(.malformed, "SEARCH: field 11 must be 0 or 1") }
        }
    }

    /// Those of version 1.1.
    private mutating func takeQuery(
        _ field: FieldReader.Field, _ filters: inout FilterBounds
    ) throws(WireError) {
        switch field.tag {
        case 14:
            try filters.take(field.value.readableBytes)
            filter = try FilterExpression(decoding: field.value, within: filters)
        case 15:
            guard overrides.count < Self.maximumCollections else {
                throw Rules.wrong("a search has at most \(Self.maximumCollections) overrides")
            }
            overrides.append(try CollectionOverride(decoding: field.value, filters: &filters))
        case 16: separate = try field.flag("SEARCH")
        case 17: settings = try ScanSettings(decoding: field.value)
        case 18:
            let distance = try field.double("SEARCH")
            try Self.check(maxDistance: distance)
            maxDistance = distance
        case 19: complete = try field.flag("SEARCH")
        case 20:
            let share = try field.double("SEARCH")
            try Self.check(probability: share)
            probability = share
        case 21: group = try Grouping(decoding: field.value)
        case 22: text = try TextSearch(decoding: field.value)
        case 23: twoPhase = try TwoPhase(decoding: field.value)
        case 24: model = try field.text("SEARCH")
        case 25: pageSize = try field.count("SEARCH")
        case 26: bypassCache = try field.flag("SEARCH")
        case 27: stream = try field.flag("SEARCH")
        default: byID = try RowReference(decoding: field.value)
        }
    }

    /// In the order of the tags. The bytes of what `validate()` refuses are refused by the gateway, too.
    public func encode(into buffer: inout ByteBuffer) {
        for collection in collections { buffer.writeField(1, collection) }
        if let first = vectors.first { buffer.writeField(2) { $0.writeImmutableBuffer(first.bytes) } }
        buffer.writeField(3, count: k)
        for column in columns { buffer.writeField(4, column) }
        if let deadline { Self.write(deadline: deadline, into: &buffer) }
        if let efSearch { buffer.writeField(6, count: efSearch) }
        buffer.writeFlag(7, exact)
        buffer.writeFlag(8, allowPartial)
        if let minCoverage { buffer.writeField(9, minCoverage) }
        if !allowHedges { buffer.writeField(10, UInt8(0)) }
        if priority != 0 { buffer.writeField(11, priority) }
        for vector in vectors.dropFirst() { buffer.writeField(12) { $0.writeImmutableBuffer(vector.bytes) } }
        if let form = vectors.first?.form, form != .vector { buffer.writeField(13, form.rawValue) }
        encodeQuery(into: &buffer)
    }

    private func encodeQuery(into buffer: inout ByteBuffer) {
        if let filter { buffer.writeField(14) { filter.encodeOrNothing(into: &$0) } }
        for override in overrides { buffer.writeField(15) { override.encode(into: &$0) } }
        buffer.writeFlag(16, separate)
        if !settings.isEmpty { buffer.writeField(17) { settings.encode(into: &$0) } }
        if let maxDistance { buffer.writeField(18, maxDistance) }
        buffer.writeFlag(19, complete)
        if let probability { buffer.writeField(20, probability) }
        if let group { buffer.writeField(21) { group.encode(into: &$0) } }
        if let text { buffer.writeField(22) { text.encode(into: &$0) } }
        if let twoPhase { buffer.writeField(23) { twoPhase.encode(into: &$0) } }
        if let model { buffer.writeField(24, model) }
        if let pageSize { buffer.writeField(25, count: pageSize) }
        buffer.writeFlag(26, bypassCache)
        buffer.writeFlag(27, stream)
        if let byID { buffer.writeField(28) { byID.encode(into: &$0) } }
        freshness.encode(from: 29, into: &buffer)
        trace?.writeField(into: &buffer)
    }

    /// What `write(deadline:into:)` adds to a request.
    public static let deadlineFieldLength = 14

    /// The field of the time left, for a request that was encoded without: fields come in any order, so it can be added
    /// in the moment the request is sent. GET and COUNT have the same field.
    public static func write(deadline: Duration, into buffer: inout ByteBuffer) {
        buffer.writeField(5, microsecondsOf: max(.zero, deadline))
    }
}
