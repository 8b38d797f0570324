internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres

extension CollectionJudge {
    /// What an index must be, to be used.
    private struct Wanted {
        var operatorClass: String
        /// For messages: the metric.
        var metric: String
        /// The key as `CREATE INDEX` has it, without the operator class.
        var key: String
        /// The words that `judge` begins with.
        var what: String
        var matches: (TableFacts.Index.Key) -> Bool
    }

    /// A missing index is the operator's choice unless the configuration says otherwise.
    private var severity: Finding.Severity { collection.requireIndex ? .error : .warning }

    mutating func judgeIndexes(_ vector: TableFacts.Column, _ facts: TableFacts) {
        guard facts.kind.hasIndexes else {
            return note(
                severity, .index,
                "\(facts.quoted) is a \(facts.kind == .view ? "view" : "foreign table"): whether an index serves it "
                    + "cannot be seen; name the table itself in `table`")
        }
        let column = vector.name
        index = judge(
            Wanted(
                operatorClass: collection.form.operatorClass(collection.metric), metric: collection.metric.rawValue,
                key: vector.quoted, what: "no index on column \(vector.quoted)", matches: { $0.column == column }),
            facts, mostDimensions: collection.form.mostIndexedDimensions)
        for coarse in collection.coarse {
            let wanted = wanted(coarse, vector)
            let most = coarse == .half ? VectorForm.halfvec.mostIndexedDimensions : VectorForm.bit.mostIndexedDimensions
            _ = judge(wanted, facts, mostDimensions: most)
        }
    }

    private func wanted(_ coarse: CoarseForm, _ vector: TableFacts.Column) -> Wanted {
        let schema = server.vectorSchema
        let expression: String
        var wanted: Wanted
        switch coarse {
        case .binary:
            expression = "\(schema).binary_quantize(\(vector.name))::bit(\(collection.dimensions))"
            wanted = Wanted(
                operatorClass: VectorForm.bit.operatorClass(.hamming), metric: Metric.hamming.rawValue,
                key: "(\(qualifier)binary_quantize(\(vector.quoted))::bit(\(collection.dimensions)))",
                what: "`coarse`: no index over binary_quantize(\(vector.quoted))", matches: { _ in false })
        case .half:
            expression = "\(vector.name)::\(schema).halfvec(\(collection.dimensions))"
            wanted = Wanted(
                operatorClass: VectorForm.halfvec.operatorClass(collection.metric), metric: collection.metric.rawValue,
                key: "(\(vector.quoted)::\(qualifier)halfvec(\(collection.dimensions)))",
                what: "`coarse`: no index over \(vector.quoted)::halfvec(\(collection.dimensions))",
                matches: { _ in false })
        }
        let plain = Self.plain(expression)
        wanted.matches = { $0.column == nil && Self.plain($0.expression) == plain }
        return wanted
    }

    /// An expression without what the server may write in several ways: parentheses, quotes and blanks.
    private static func plain(_ expression: String) -> String { expression.filter { !"()\" ".contains($0) } }

    /// What statements for people have before the extension's names.
    private var qualifier: String { server.vectorSchema == "public" ? "" : "\(server.vectorSchema)." }

    /// - Returns: the kind of the index that is as wanted; notes a finding if there is none.
    private mutating func judge(_ wanted: Wanted, _ facts: TableFacts, mostDimensions: Int) -> IndexKind {
        var serving: Set<IndexKind> = []
        var others: [String] = []
        for index in facts.indexes {
            guard let kind = IndexKind(method: index.method), let key = index.keys.first, wanted.matches(key) else {
                continue
            }
            if key.operatorClass != wanted.operatorClass {
                others.append("\(index.name) serves \(Metric.named(inClass: key.operatorClass) ?? key.operatorClass)")
            } else if index.isPartial {
                others.append("\(index.name) has a WHERE")
            } else if !index.isValid {
                others.append("\(index.name) is not valid: it is being built, or that failed and it must be dropped")
            } else {
                serving.insert(kind)
            }
        }
        if serving.contains(.hnsw) { return .hnsw }
        if serving.contains(.ivfflat) { return .ivfflat }
        let found = others.isEmpty ? "" : " (\(others.joined(separator: "; ")))"
        let advice =
            collection.dimensions > mostDimensions
            ? "it cannot have one of more than \(mostDimensions) dimensions; index a smaller form and declare it in "
                + "`coarse`"
            : "run \(createIndex(on: facts, "hnsw", "\(wanted.key) \(qualifier)\(wanted.operatorClass)"))"
        note(
            severity, .index,
            "\(wanted.what) serves \(wanted.metric)\(found): searches read the whole table; \(advice)")
        return .none
    }
}

extension IndexKind {
    /// Nil of a method that does not order by distance.
    fileprivate init?(method: String) {
        switch method {
        case "hnsw": self = .hnsw
        case "ivfflat": self = .ivfflat
        default: return nil
        }
    }
}

extension Metric {
    fileprivate static func named(inClass operatorClass: String) -> String? {
        allCases.first { operatorClass.hasSuffix("_\($0.classInfix)_ops") }?.rawValue
    }
}

extension VectorForm {
    /// pgvector's limits (HNSW_MAX_DIM and IVFFLAT_MAX_DIM in its headers, twice that for halfvec, 32 times for bit); a
    /// sparsevec's number of non-zero elements is limited instead.
    var mostIndexedDimensions: Int {
        switch self {
        case .vector: 2_000
        case .halfvec: 4_000
        case .sparsevec: maximumDimensions
        case .bit: 64_000
        }
    }
}
