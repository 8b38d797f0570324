/// A kind of request that a load is made of.
package enum RequestKind: String, Hashable, Sendable, CaseIterable {
    case ping
    /// One vector in one collection, the collections in turn.
    case search
    /// The same with a filter.
    case filtered
    /// One vector in all collections at once.
    case multi
    /// Several vectors in one request.
    case batch
    /// A row by its id.
    case get
    /// A COPY of new rows.
    case load

    package var hasVectors: Bool { self != .ping && self != .get }
}

/// Which kinds of requests a load has, and how often each.
package struct RequestMix: Sendable, Equatable {
    package struct Problem: Error, Equatable, CustomStringConvertible {
        package let description: String
    }

    /// In the order given, each once.
    package let parts: [(kind: RequestKind, weight: Double)]
    private let total: Double

    /// All requests are of this kind.
    package init(_ kind: RequestKind) { self.init(parts: [(kind, 1)]) }

    private init(parts: [(kind: RequestKind, weight: Double)]) {
        self.parts = parts
        total = parts.reduce(0) { $0 + $1.weight }
    }

    /// - Parameter text: like `search=70,get=20,batch=10`, or one kind's name alone.
    package init(parsing text: String) throws(Problem) {
        var parts: [(kind: RequestKind, weight: Double)] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let words = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = words.first.map { String($0.filter { $0 != " " }) } ?? ""
            guard let kind = RequestKind(rawValue: name) else {
                let names = RequestKind.allCases.map(\.rawValue).joined(separator: ", ")
                throw Problem(description: "there is no kind of request \"\(name)\"; there are \(names)")
            }
            guard !parts.contains(where: { $0.kind == kind }) else {
                throw Problem(description: "\(name) is there twice")
            }
            guard words.count == 2 || !text.contains(",") else {
                throw Problem(description: "\(name) needs a weight, like \(name)=20")
            }
            let weight = words.count == 2 ? Double(words[1].filter { $0 != " " }) : 1
            guard let weight, weight > 0, weight <= 1e9 else {
                throw Problem(description: "the weight of \(name) must be a number above 0")
            }
            parts.append((kind, weight))
        }
        self.init(parts: parts)
    }

    package func has(_ kind: RequestKind) -> Bool { parts.contains { $0.kind == kind } }

    /// The kind of the next request.
    package func draw(using random: inout some RandomNumberGenerator) -> RequestKind {
        guard parts.count > 1 else { return parts.first?.kind ?? .ping }
        var left = Double.random(in: 0..<total, using: &random)
        for part in parts {
            left -= part.weight
            if left < 0 { return part.kind }
        }
        return parts[parts.count - 1].kind
    }

    package static func == (left: RequestMix, right: RequestMix) -> Bool {
        left.parts.elementsEqual(right.parts) { $0 == $1 }
    }
}

extension RequestMix: CustomStringConvertible {
    package var description: String {
        guard parts.count > 1 else { return parts.first?.kind.rawValue ?? "" }
        return parts.map { part in
            let isWhole = part.weight == part.weight.rounded()
            return "\(part.kind.rawValue)=\(isWhole ? String(Int(part.weight)) : String(part.weight))"
        }.joined(separator: ",")
    }
}
