internal import NIOCore

// The parts of SEARCH that are payloads of their own. What can be read is checked, too: a part that was decoded is one
// that may be used.

extension ScanSettings {
    init(decoding payload: ByteBuffer) throws(WireError) {
        self.init()
        var reader = FieldReader(payload, of: "settings", once: [1, 2, 3, 4, 5])
        while let field = try reader.next() {
            switch field.tag {
            case 1: probes = try field.count("settings")
            case 2: iterativeScan = try field.choice("settings")
            case 3: maxScanTuples = try field.count("settings")
            case 4: scanMemoryMultiplier = try field.double("settings")
            case 5: workMemKiB = try field.count("settings")
            default: break
            }
        }
        try validate()
    }

    func encode(into buffer: inout ByteBuffer) {
        if let probes { buffer.writeField(1, count: probes) }
        if let iterativeScan { buffer.writeField(2, iterativeScan.rawValue) }
        if let maxScanTuples { buffer.writeField(3, count: maxScanTuples) }
        if let scanMemoryMultiplier { buffer.writeField(4, scanMemoryMultiplier) }
        if let workMemKiB { buffer.writeField(5, count: workMemKiB) }
    }
}

extension Grouping {
    init(decoding payload: ByteBuffer) throws(WireError) {
        var (column, size): (String?, Int?)
        var reader = FieldReader(payload, of: "group", once: [1, 2])
        while let field = try reader.next() {
            switch field.tag {
            case 1: column = try field.text("group")
            case 2: size = try field.count("group")
            default: break
            }
        }
        guard let column else { throw WireError(.malformed, "group: without a column") }
        self.init(column: column, size: size ?? 1)
        try validate()
    }

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, column)
        buffer.writeField(2, count: size)
    }
}

extension TextSearch {
    init(decoding payload: ByteBuffer) throws(WireError) {
        self.init("")
        var hasQuery = false
        var reader = FieldReader(payload, of: "text", once: [1, 2, 3, 4, 5, 6])
        while let field = try reader.next() {
            switch field.tag {
            case 1:
                query = try field.text("text", maximumBytes: Self.maximumQueryBytes)
                hasQuery = true
            case 2: textWeight = try field.double("text")
            case 3: vectorWeight = try field.double("text")
            case 4: fusion = try field.choice("text")
            case 5: rankConstant = try field.double("text")
            case 6: candidates = try field.count("text")
            default: break
            }
        }
        guard hasQuery else { throw WireError(.malformed, "text: without a query") }
        try validate()
    }

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, query)
        if textWeight != 1 { buffer.writeField(2, textWeight) }
        if vectorWeight != 1 { buffer.writeField(3, vectorWeight) }
        if fusion != .reciprocalRank { buffer.writeField(4, fusion.rawValue) }
        if rankConstant != 60 { buffer.writeField(5, rankConstant) }
        if let candidates { buffer.writeField(6, count: candidates) }
    }
}

extension TwoPhase {
    init(decoding payload: ByteBuffer) throws(WireError) {
        var (coarse, candidates): (Coarse?, Int?)
        var reader = FieldReader(payload, of: "two_phase", once: [1, 2])
        while let field = try reader.next() {
            switch field.tag {
            case 1: coarse = try field.choice("two_phase") as Coarse
            case 2: candidates = try field.count("two_phase")
            default: break
            }
        }
        guard let coarse else { throw WireError(.malformed, "two_phase: without its coarse form") }
        self.init(coarse, candidates: candidates)
        try validate()
    }

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, coarse.rawValue)
        if let candidates { buffer.writeField(2, count: candidates) }
    }
}

extension RowReference {
    init(decoding payload: ByteBuffer) throws(WireError) {
        var (collection, id): (String?, Int64?)
        var reader = FieldReader(payload, of: "by_id", once: [1, 2])
        while let field = try reader.next() {
            switch field.tag {
            case 1: collection = try field.text("by_id")
            case 2: id = try field.integer(as: Int64.self, "by_id")
            default: break
            }
        }
        guard let collection, let id else { throw WireError(.malformed, "by_id: without a collection or an id") }
        self.init(collection: collection, id: id)
    }

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, collection)
        buffer.writeField(2, id)
    }
}
