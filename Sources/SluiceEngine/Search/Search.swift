public import SluiceCore

/// A client's request, its deadline already an instant.
public struct Search: Hashable, Sendable {
    /// What one collection is asked instead of the rest; nil for the same.
    public struct Override: Hashable, Sendable {
        public var vector: QueryVector?
        public var k: Int?
        public var columns: [String]?
        public var filter: Filter?

        public init(
            vector: QueryVector? = nil, k: Int? = nil, columns: [String]? = nil, filter: Filter? = nil
        ) {
            self.vector = vector
            self.k = k
            self.columns = columns
            self.filter = filter
        }
    }

    public var collections: [String]
    public var vector: QueryVector
    public var k: Int
    public var columns: [String]
    public var filter: Filter?
    public var overrides: [String: Override] = [:]
    public var deadline: Instant
    public var settings = ScanSettings()
    /// Only rows at most so far away.
    public var maxDistance: Double?
    /// The model that made the vector: collections of another refuse it.
    public var model: String?
    /// True to compare with every row instead of using an index.
    public var exact: Bool
    /// Answer even if some legs fail, as long as one does not.
    public var allowsPartial: Bool
    /// The share of the rows that an answer must cover, 0...1; laggards get little time once it is reached. Nil: all,
    /// or with `allowsPartial` whatever comes before the deadline.
    public var minCoverage: Double?
    public var allowsHedges = true
    public var priority = SearchPriority.interactive
    /// What few searches ask for; nil for nothing of it.
    public var extras: Boxed<SearchExtras>?
    /// Nil for nobody in particular.
    public var tenant: Tenant?
    public var origin = RequestOrigin()

    public init(
        collections: [String], vector: QueryVector, k: Int, columns: [String], deadline: Instant, exact: Bool,
        allowsPartial: Bool
    ) {
        self.collections = collections
        self.vector = vector
        self.k = k
        self.columns = columns
        self.deadline = deadline
        self.exact = exact
        self.allowsPartial = allowsPartial
    }
}

/// A value that is seldom there, kept out of the way of those that always are.
public final class Boxed<Value: Sendable>: Sendable {
    public let value: Value

    public init(_ value: Value) { self.value = value }
}

extension Boxed: Equatable where Value: Equatable {
    public static func == (left: Boxed, right: Boxed) -> Bool { left.value == right.value }
}

extension Boxed: Hashable where Value: Hashable {
    public func hash(into hasher: inout Hasher) { hasher.combine(value) }
}

/// How a request is run, whatever it asks for.
struct RequestTerms: Sendable {
    var kind = RequestKind.search
    var deadline: Instant
    var allowsPartial = false
    var minCoverage: Double?
    var allowsHedges = true
    /// The answer leaves in parts, so it may be larger than a reply.
    var isStreamed = false
    var freshness: Boxed<Freshness>?
    var tenant: Tenant?
    var origin = RequestOrigin()

    /// The share of the rows that an answer must cover.
    var leastCoverage: Double { minCoverage ?? (allowsPartial ? 0 : 1) }
}

extension Search {
    func terms(isStreamed: Bool) -> RequestTerms {
        RequestTerms(
            deadline: deadline, allowsPartial: allowsPartial, minCoverage: minCoverage, allowsHedges: allowsHedges,
            isStreamed: isStreamed, freshness: extras?.value.freshness, tenant: tenant,
            origin: origin)
    }

    /// What two searches must share to have the same answer.
    var sharingKey: Search {
        var key = self
        key.deadline = Instant(nanoseconds: 0)
        key.allowsHedges = true
        // What it may not see is in its filters.
        key.tenant = nil
        key.origin = RequestOrigin()
        return key
    }

    /// About what it takes in memory.
    var bytes: Int {
        let own = overrides.values.reduce(0) { $0 + ($1.vector?.bytes.count ?? 0) + ($1.filter?.bytes ?? 0) + 128 }
        let further = extras?.value.furtherVectors.reduce(256) { $0 + $1.bytes.count + 64 } ?? 0
        return 512 + vector.bytes.count + own + further + (filter?.bytes ?? 0)
            + (collections + columns).reduce(0) { $0 + $1.utf8.count + 16 }
    }
}

/// A vector to search for, in pgvector's binary form, as it arrived.
public struct QueryVector: Hashable, Sendable {
    public var form: VectorForm
    public var dimensions: Int
    public var bytes: [UInt8]

    public init(form: VectorForm = .vector, dimensions: Int, bytes: [UInt8]) {
        self.form = form
        self.dimensions = dimensions
        self.bytes = bytes
    }

    // An array hashes and compares its elements one by one, and there are thousands.

    public func hash(into hasher: inout Hasher) {
        hasher.combine(form)
        hasher.combine(dimensions)
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
    }

    public static func == (left: QueryVector, right: QueryVector) -> Bool {
        left.form == right.form && left.dimensions == right.dimensions && left.hasBytes(of: right)
    }

    private func hasBytes(of other: QueryVector) -> Bool {
        guard bytes.count == other.bytes.count else { return false }
        return bytes.withUnsafeBytes { left in
            other.bytes.withUnsafeBytes { right in
                let end = left.count & ~7
                for place in stride(from: 0, to: end, by: 8)
                where left.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                    != right.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                { return false }
                return left[end...].elementsEqual(right[end...])
            }
        }
    }
}
