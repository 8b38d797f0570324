internal import SluiceCore

/// Legs that run side by side.
struct Stage: Sendable {
    var legs: [PlannedLeg] = []
    /// One for each leg.
    var inputs: [LegInput] = []

    init() {}

    /// Legs that all ask the same.
    init(_ legs: [PlannedLeg], asking input: LegInput) {
        self.legs = legs
        inputs = Array(repeating: input, count: legs.count)
    }

    mutating func append(_ other: Stage) {
        legs += other.legs
        inputs += other.inputs
    }
}

/// A search made ready to run. A class, since it passes many hands.
final class SearchPlan: Sendable {
    let search: Search
    let stage: Stage
    /// One for each collection.
    let parts: [PlannedPart]
    let maxDistance: Double

    init(search: Search, stage: Stage, parts: [PlannedPart], maxDistance: Double) {
        self.search = search
        self.stage = stage
        self.parts = parts
        self.maxDistance = maxDistance
    }

    /// How many vectors are searched for.
    var vectorCount: Int { 1 + (search.extras?.value.furtherVectors.count ?? 0) }
    var isSeparate: Bool { search.extras?.value.isSeparate ?? false }
    /// The row that is not to be found.
    var like: SearchExtras.RowReference? { search.extras?.value.like }

    /// How many rows a merged list can need.
    var needed: Int { Planner.needed(search, k: search.k) }

    func asked(of part: PlannedPart) -> Int {
        part.legs.isEmpty ? 0 : stage.legs[part.legs.lowerBound].shape.rowLimit
    }

    /// The same search of one of its collections.
    func only(_ place: Int) -> SearchPlan {
        var search = search
        search.collections = [parts[place].collection.value.name]
        var part = parts[place]
        let stage = Stage(Array(stage.legs[part.legs]), asking: part.input)
        part.legs = stage.legs.indices
        return SearchPlan(search: search, stage: stage, parts: [part], maxDistance: maxDistance)
    }
}

/// One collection's part of a search.
struct PlannedPart: Sendable {
    let collection: Boxed<Collection>
    let columns: [String]
    /// How many rows of it are wanted.
    let k: Int
    /// How many an answer can need: one more if one of them may be left out.
    let needed: Int
    let filter: FilterPlan?
    /// What its legs ask.
    let input: LegInput
    /// Its legs' places in the stage.
    var legs: Range<Int>
}

/// What a leg asks besides its shape: settings and parameters. A class, since it passes many hands.
final class LegInput: Sendable {
    let settings: SearchSettings
    let subject: [UInt8]
    let furtherSubjects: [[UInt8]]
    let parameters: [ParameterValue]
    /// What to do about too few rows; nil if what comes is all there is.
    let ladder: LegLadder?
    /// There is an answer already, and this is for a better one: it must not take so long that neither is given.
    let isExtra: Bool

    init(
        settings: SearchSettings, subject: [UInt8], furtherSubjects: [[UInt8]] = [],
        parameters: [ParameterValue] = [], ladder: LegLadder? = nil, isExtra: Bool = false
    ) {
        self.isExtra = isExtra
        self.settings = settings
        self.subject = subject
        self.furtherSubjects = furtherSubjects
        self.parameters = parameters
        self.ladder = ladder
    }

    /// The same asked in another way, for a better answer.
    func again(_ settings: SearchSettings, _ ladder: LegLadder?, isExtra: Bool = true) -> LegInput {
        LegInput(
            settings: settings, subject: subject, furtherSubjects: furtherSubjects, parameters: parameters,
            ladder: ladder, isExtra: isExtra)
    }
}

/// How a leg that found too few rows can be searched harder.
final class LegLadder: Sendable {
    struct Rungs: Sendable {
        var wider: SearchSettings
        var iterative: SearchSettings
        var exact: SearchSettings
        /// In the order of the collection's shards.
        var exactLegs: [PlannedLeg]
    }

    /// A filter thins out what the index gives.
    let mayUnderReturn: Bool
    /// Nil if the scan goes on where `ef_search` ends, or a wider one is not allowed.
    let efSearch: Int?
    /// The scan iterates already.
    let iterates: Bool
    /// From how many rows on a leg has not found too few: more candidates are welcome, and not missed.
    let enough: Int
    /// Who has seen a row beyond it has seen all that matter.
    let maxDistance: Double
    /// Nil if the reply only has to say so.
    let rungs: Rungs?

    init(mayUnderReturn: Bool, efSearch: Int?, iterates: Bool, enough: Int, maxDistance: Double, rungs: Rungs?) {
        self.enough = enough
        self.mayUnderReturn = mayUnderReturn
        self.efSearch = efSearch
        self.iterates = iterates
        self.maxDistance = maxDistance
        self.rungs = rungs
    }
}

/// One (collection, shard) of a kind of search: made once, shared by all searches of that kind.
public final class PlannedLeg: Sendable {
    public let collection: String
    let collectionRank: Int
    /// Its place in the configuration.
    let collectionNumber: Int
    public let shape: SearchShape
    let shardIndex: Int
    let shard: Catalogue.Shard
    /// What the numbers stand for.
    let topology: Topology
    /// Its place among the collection's shards.
    let place: Int
    /// How many rows of the collection are there.
    let estimate: RowEstimate
    /// Which index is there.
    let index: IndexNote
    let timeout: Duration?
    /// What a replica gives must not be older.
    let maxStaleness: Duration?
    /// Legs of one kind take about as long.
    let latencyClass: Int
    public var shardName: String { shard.name }
    var shardState: ShardState { topology.shards[shardIndex] }
    var meters: EngineMeters { topology.meters }

    init(
        _ collection: Collection, shape: SearchShape, place: Int, shardIndex: Int, topology: Topology
    ) {
        self.topology = topology
        index = topology.catalogue.index(of: collection.name, shard: shardIndex)
        self.collection = collection.name
        collectionRank = collection.rank
        collectionNumber = collection.number
        self.shape = shape
        self.place = place
        self.shardIndex = shardIndex
        shard = topology.catalogue.shards[shardIndex]
        estimate = topology.catalogue.estimate(of: collection.name, shard: shardIndex)
        timeout = collection.timeout
        maxStaleness = collection.maxStaleness
        latencyClass = SearchShape.latencyKinds * collection.number + shape.latencyKind
    }
}
