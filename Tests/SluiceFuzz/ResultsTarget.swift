import CLibpq
import NIOCore
import SluiceClient
import SluicePostgres
import SluiceWire

/// The first byte chooses: a result as libpq holds it, read as a leg's rows or as a plan, or a gateway's answer as the
/// client library gives it to its caller.
enum ResultsTarget {
    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        var control = FuzzControl(input)
        switch control.byte() % 6 {
        case 0: try rows(&control)
        case 1: try plan(control.rest)
        case 2: try search(ByteBuffer(bytes: control.rest))
        case 3: get(&control)
        case 4: others(&control)
        default: value(&control)
        }
    }

    // MARK: From a database

    private static let token: Int64 = 0x0102_0304_0506_0708
    private static let mostRows = 8
    private static let mostBytes = 256

    private static func rows(_ control: inout FuzzControl) throws(FuzzFinding) {
        let shape = Int(control.byte())
        let (columns, asked) = (shape % 6, shape / 6 % 4)
        guard let result = PQmakeEmptyPGresult(nil, PGRES_TUPLES_OK) else { return }
        defer { PQclear(result) }
        fill(result, columns: columns, isText: shape >= 250, &control)
        let reader = RowReader(token: token, maximumRows: mostRows, maximumBytes: mostBytes, columnCount: asked)
        guard let batch = try? reader.read(result) else { return }
        try expect(columns == asked + 3, "another number of columns was accepted")
        try expect(batch.count <= mostRows && batch.distances.count == batch.count, "more rows than asked for")
        try expect(batch.cells.count <= mostBytes && batch.offsets.count == batch.count + 1, "more bytes than allowed")
        var rest = ByteBuffer(bytes: batch.cells)
        for end in batch.offsets.dropFirst() {
            for type in batch.columnTypes {
                guard let length = rest.readInteger(as: Int32.self) else { throw FuzzFinding("a row is cut short") }
                let cell = length < 0 ? nil : rest.readSlice(length: Int(length))
                try expect(length == -1 || cell != nil, "a cell of \(length) bytes")
                _ = Value(cell, typeOID: type)
            }
            try expect(rest.readerIndex == end, "a row ends where another begins")
        }
    }

    /// Rows of cells, each with a length byte: 255 is null, 254 stands for the token.
    private static func fill(
        _ result: OpaquePointer, columns: Int, isText: Bool, _ control: inout FuzzControl
    ) {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 2) { name in
            _ = name.initialize(fromContentsOf: [CChar(UInt8(ascii: "c")), 0])
            var attributes = (0..<columns).map { place in
                var attribute = PGresAttDesc()
                attribute.name = name.baseAddress
                attribute.format = isText && place == columns - 1 ? 0 : 1
                attribute.typid = Oid([20, 20, 701, 25, 2_950, 16][place % 6])
                return attribute
            }
            PQsetResultAttrs(result, Int32(columns), &attributes)
        }
        var row: Int32 = 0
        while columns > 0, row <= Int32(mostRows), !control.rest.isEmpty {
            for column in 0..<Int32(columns) { set(result, row, column, &control) }
            row += 1
        }
    }

    private static func set(_ result: OpaquePointer, _ row: Int32, _ column: Int32, _ control: inout FuzzControl) {
        let length = control.byte()
        if length == 255 {
            PQsetvalue(result, row, column, nil, -1)
            return
        }
        var bytes = length == 254 ? withUnsafeBytes(of: token.bigEndian) { Array($0) } : []
        if length < 254 { for _ in 0..<min(Int(length), control.rest.count) { bytes.append(control.byte()) } }
        bytes.withUnsafeMutableBytes { bytes in
            let start = bytes.assumingMemoryBound(to: CChar.self).baseAddress
            var empty: CChar = 0
            PQsetvalue(result, row, column, start ?? withUnsafeMutablePointer(to: &empty) { $0 }, Int32(bytes.count))
        }
    }

    private static func plan(_ text: UnsafeRawBufferPointer) throws(FuzzFinding) {
        guard let result = PQmakeEmptyPGresult(nil, PGRES_TUPLES_OK) else { return }
        defer { PQclear(result) }
        var control = FuzzControl(UnsafeRawBufferPointer(rebasing: text.prefix(0)))
        fill(result, columns: 1, isText: true, &control)
        var bytes = Array(text.prefix(4_096)) + [0]
        bytes.withUnsafeMutableBytes { bytes in
            let start = bytes.assumingMemoryBound(to: CChar.self).baseAddress
            _ = PQsetvalue(result, 0, 0, start, Int32(bytes.count - 1))
        }
        guard let plan = try? RowReader.plan(result) else { return }
        try expect(plan.steps.utf8.count < 4_096, "a plan of \(plan.steps.utf8.count) bytes")
        try expect(!plan.steps.unicodeScalars.contains { $0.properties.generalCategory == .control }, "several lines")
        try expect(plan.readsIndex || !plan.isOrderedByIndex, "an order of no index")
        try expect(plan.rows >= 0 && plan.cost >= 0, "less than nothing")
        _ = try? RowReader.estimate(result)
    }

    // MARK: From a gateway

    private static func search(_ payload: ByteBuffer) throws(FuzzFinding) {
        guard let result = try? SearchResult(decoding: payload), let reply = try? SearchReply(result) else { return }
        try expect(reply.hits.count == result.hits.count && reply.legs.count == result.legs.count, "another answer")
        try expect(reply.groups.last.map { $0.upperBound == reply.hits.count } != false, "groups that are not the hits")
        try expect(reply.ranks.isEmpty || reply.ranks.count == reply.hits.count, "ranks that are not the hits'")
    }

    private static func get(_ control: inout FuzzControl) {
        let withVectors = control.byte() % 2 == 1
        guard let result = try? SearchResult(decoding: ByteBuffer(bytes: control.rest)) else { return }
        _ = try? GetReply(result, withVectors: withVectors)
    }

    private static func others(_ control: inout FuzzControl) {
        let choice = control.byte() % 5
        let payload = ByteBuffer(bytes: control.rest)
        switch choice {
        case 0: _ = (try? CountResult(decoding: payload)).map { CountReply($0) }
        case 1: _ = (try? LoadResult(decoding: payload)).map { LoadReport($0, id: .random()) }
        case 2: _ = (try? WriteResult(decoding: payload)).map { WriteReport($0).isDone }
        case 3: _ = (try? CollectionList(decoding: payload)).map { $0.collections.map { CollectionDescription($0) } }
        default: _ = (try? ErrorReply(decoding: payload)).map { "\(SluiceError($0))" }
        }
    }

    private static let types: [UInt32] = [16, 19, 20, 21, 23, 25, 700, 701, 1_042, 1_043, 2_950, 0]

    private static func value(_ control: inout FuzzControl) {
        let type = types[Int(control.byte()) % types.count]
        _ = Value(ByteBuffer(bytes: control.rest), typeOID: type)
    }

    // MARK: Seeds

    static var seeds: [FuzzSeed] {
        let id: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 0, 5]
        let distance: [UInt8] = [8, 0x3F, 0xF0, 0, 0, 0, 0, 0, 0]
        let row = [254] + id + distance
        let plain: [FuzzSeed] = [
            FuzzSeed("made-rows", [0, 3] + row + row),
            FuzzSeed("made-rows-column", [0, 10] + row + [4] + "gzip".utf8 + row + [255]),
            FuzzSeed("made-rows-no-distance", [0, 3, 254] + id + [255]),
            FuzzSeed("made-rows-foreign", [0, 3] + id + id + distance),
            FuzzSeed("made-rows-short-id", [0, 3, 254, 2, 0, 1] + distance),
            FuzzSeed("made-rows-text", [0, 255] + row),
            FuzzSeed("made-plan", [1] + "[{\"Plan\": {\"Plan Rows\": 1234}}]".utf8), FuzzSeed("made-plan-none", [1]),
            FuzzSeed("made-plan-index", [1] + indexPlan.utf8),
        ]
        let values = types.indices.map { FuzzSeed("value-\(types[$0])", [5, UInt8($0), 0, 0, 0, 1]) }
        return plain + values + GoldenFrames.all.flatMap(answers)
    }

    private static let indexPlan = #"""
        [{"Plan": {"Node Type": "Limit", "Total Cost": 84.23, "Plan Rows": 3, "Plans": [{"Node Type": "Index Scan",
        "Index Name": "a\"b\\\u0001", "Order By": "(e <-> '[1]'::vector)", "Plan Rows": 5, "Sort Key": ["e", null]}]}}]
        """#

    private static func answers(_ frame: GoldenFrames.Frame) -> [FuzzSeed] {
        let other: [FrameKind: UInt8] = [
            .countResult: 0, .loadResult: 1, .writeResult: 2, .collectionList: 3, .error: 4,
        ]
        switch FrameKind(rawValue: frame.kind) {
        case .result, .resultPart:
            return [
                FuzzSeed(frame.name, [2] + frame.payload), FuzzSeed("get-of-" + frame.name, [3, 1] + frame.payload),
            ]
        case let kind?: return other[kind].map { [FuzzSeed(frame.name, [4, $0] + frame.payload)] } ?? []
        case nil: return []
        }
    }
}
