internal import NIOCore
package import SluiceWire

/// Rows by their ids.
public struct GetReply: Sendable {
    public struct Row: Hashable, Sendable {
        public var id: Int64
        public var columns: [String: Value]
        /// If vectors were asked for: the row's, or nil if it has none.
        public var vector: SearchQuery.Vector?
        /// Where it was found.
        public var shard: String
        public var replica: String
    }

    /// In the order of the ids asked for.
    public var rows: [Row]
    /// The ids that no row has, in the order asked for. With `allowPartial`, those on shards that did not answer are
    /// neither here nor there.
    public var missing: [Int64]
    public var legs: [LegReport]
    /// The share of the rows, by estimate, that the shards which answered have, from 0 to 1.
    public var coverage: Double
    /// What the gateway took.
    public var elapsed: Duration

    package init(_ result: SearchResult, withVectors: Bool) throws(WireError) {
        missing = result.missing
        legs = result.legs.map(LegReport.init)
        coverage = result.coverage
        elapsed = result.elapsed
        let form = withVectors ? result.vectorForm : nil
        rows = try result.hits.hits(of: result.legs).map { hit throws(WireError) in
            try Row(hit, result.legs[hit.leg], vectorForm: form)
        }
    }
}

extension GetReply.Row {
    /// - Parameter vectorForm: of the last column; nil if that is a column like others.
    fileprivate init(
        _ hit: WireHit, _ leg: SluiceWire.LegReport, vectorForm: VectorForm?
    ) throws(WireError) {
        self.init(id: hit.id, columns: [:], vector: nil, shard: leg.shard, replica: leg.replica)
        var (names, cells) = (leg.columns[...], hit.cells[...])
        if let vectorForm {
            guard names.popLast() != nil, let cell = cells.popLast() else {
                throw WireError(.malformed, "RESULT: a row without its vector")
            }
            vector = try cell.map { (cell: ByteBuffer) throws(WireError) in
                guard let vector = SearchQuery.Vector(cell, form: vectorForm) else {
                    throw WireError(.malformed, "RESULT: a cell that is no \(vectorForm.name)")
                }
                return vector
            }
        }
        for (column, cell) in zip(names, cells) { columns[column.name] = Value(cell, typeOID: column.typeOID) }
    }
}

/// How many rows there are.
public struct CountReply: Hashable, Sendable {
    /// Over all shards; an estimate of the planner may have a fraction.
    public var rows: Double
    /// They were counted, not estimated.
    public var isExact: Bool
    public var legs: [LegReport]

    package init(_ result: CountResult) {
        rows = result.rows
        isExact = result.isExact
        legs = result.legs.map(LegReport.init)
    }
}
