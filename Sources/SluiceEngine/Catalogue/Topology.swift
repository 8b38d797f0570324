internal import CoreMetrics
public import SluiceCore

/// What is served just now, as one thing: a catalogue, and the backends and shards that its numbers stand for. A change
/// of the configuration makes another one; whatever began in one ends in it.
///
/// A backend keeps its number for as long as the process lives, also once nothing is served by it any more. The numbers
/// of shards and collections are a topology's own.
public final class Topology: Sendable {
    public let catalogue: Catalogue
    /// In the order of the catalogue's backend numbers.
    public let backends: [any SearchBackend]
    /// In the order of the catalogue's shards.
    public let shards: [ShardState]
    public let meters: EngineMeters
    let board: LaneBoard
    let answers: SharedAnswers<Search, SearchAnswer>
    private let cache: ResultCache<Search, SearchAnswer>.Configuration
    private let metrics: any MetricsFactory

    init(
        catalogue: Catalogue, backends: [any SearchBackend], shards: [ShardState], lanes: Int,
        cache: ResultCache<Search, SearchAnswer>.Configuration, metrics: any MetricsFactory
    ) {
        self.catalogue = catalogue
        self.backends = backends
        self.shards = shards
        self.cache = cache
        self.metrics = metrics
        meters = EngineMeters(catalogue, factory: metrics)
        board = LaneBoard(lanes: lanes, backends: backends.count)
        answers = Self.answers(cache)
    }

    /// - Parameters:
    ///   - backends: those there are, perhaps in other words, and new ones after them.
    ///   - cache: where it is another one, or the collections are others, earlier answers are not given any more.
    public init(
        after earlier: Topology, catalogue: Catalogue, backends: [any SearchBackend], shards: [ShardState],
        cache: ResultCache<Search, SearchAnswer>.Configuration
    ) {
        self.catalogue = catalogue
        self.backends = backends
        self.shards = shards
        self.cache = cache
        metrics = earlier.metrics
        meters = EngineMeters(catalogue, factory: metrics)
        board = LaneBoard(after: earlier.board, backends: backends.count)
        let isAlike = cache == earlier.cache && catalogue.serves(as: earlier.catalogue)
        answers = isAlike ? earlier.answers : Self.answers(cache)
    }

    private static func answers(
        _ cache: ResultCache<Search, SearchAnswer>.Configuration
    ) -> SharedAnswers<Search, SearchAnswer> {
        SharedAnswers(
            cache: cache, size: { $0.bytes + $1.bytes }, mayStore: { $0.coverage >= 1 && !$0.isCurtailed },
            isOwn: { SharedAnswers<Search, SearchAnswer>.isOwnFailure($0) || $0.success?.isCurtailed == true })
    }
}
