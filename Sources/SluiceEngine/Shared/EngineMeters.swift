public import CoreMetrics
internal import SluiceCore

/// What a request asks for, in metrics.
public enum RequestKind: String, Hashable, Sendable, CaseIterable {
    case search
    case get
    case count
    case write
}

/// Why a request was told that we are busy, in metrics.
public enum ShedCause: Hashable, Sendable, CaseIterable {
    /// As many searches run and wait as may.
    case admission
    /// A replica's pool was full.
    case pool
    case memory
    /// The identity had used up its allowance.
    case identity
}

/// Measures what requests, legs and attempts do. Every handle is made once, for the names of the catalogue: looking one
/// up costs more than using it.
public final class EngineMeters: Sendable {
    private let requests: [RequestKind: [Timer]]
    private let collections: [CollectionMeters]
    private let shards: [ShardMeters]
    /// By shard and replica.
    private let replicas: [[ReplicaMeters]]
    private let sheds: [ShedCause: Counter]
    private let queue: Timer
    private let merge: Timer

    /// What each metric says of itself, by its name.
    public static let help = [
        "sluice_request_duration_seconds": "Requests that reached a reactor, from their arrival there to their answer.",
        "sluice_search_duration_seconds": "Searches; one of several collections counts for each of them.",
        "sluice_partial_answers": "Answers to searches that do not cover all of the collection.",
        "sluice_explained":
            "Slow searches whose plan was looked at: by an index of the vectors, another one, or none.",
        "sluice_leg_duration_seconds": "Legs of requests, with their waits, retries and hedges.",
        "sluice_retries": "Attempts that were made because another had failed.",
        "sluice_hedges": "Attempts that were made because another took long.",
        "sluice_hedge_wins": "Hedges that answered first.",
        "sluice_execute_duration_seconds": "Attempts on a replica, from sending the statement to its last row.",
        "sluice_pool_wait_duration_seconds": "Waits for a connection of those attempts that had to wait.",
        "sluice_connect_duration_seconds": "Connections that were made, from the dial to the session's settings.",
        "sluice_attempts": "Attempts by their result.",
        "sluice_breaker_trips": "How often the breaker has opened, by its cause.",
        "sluice_shed": "Requests that were told that we are busy, by what was full.",
        "sluice_queue_duration_seconds": "From a request's arrival to its being let in.",
        "sluice_merge_duration_seconds": "Merging the legs' rows.",
    ]

    /// - Parameter factory: what keeps the measurements.
    public init(_ catalogue: Catalogue, factory: any MetricsFactory) {
        let make = MeterMaker(factory: factory)
        requests = Dictionary(
            uniqueKeysWithValues: RequestKind.allCases.map { kind in
                let timers = RequestResult.allCases.map { result in
                    make.timer(
                        "sluice_request_duration_seconds", [("kind", kind.rawValue), ("result", snakeCased(result))])
                }
                return (kind, timers)
            })
        collections = catalogue.numbered.map { CollectionMeters($0, catalogue, make) }
        shards = catalogue.shards.map { ShardMeters($0, make) }
        replicas = catalogue.shards.map { shard in
            shard.replicas.map { ReplicaMeters([("shard", shard.name), ("replica", $0.name)], make) }
        }
        sheds = Dictionary(
            uniqueKeysWithValues: ShedCause.allCases.map {
                ($0, make.counter("sluice_shed", [("cause", snakeCased($0))]))
            })
        queue = make.timer("sluice_queue_duration_seconds")
        merge = make.timer("sluice_merge_duration_seconds")
    }

    /// From any thread.
    public func shed(_ cause: ShedCause) { sheds[cause]?.increment() }

    func queued(for duration: Duration) { queue.record(duration) }

    func merged(in duration: Duration) { merge.record(duration) }

    func requestEnded(_ kind: RequestKind, _ error: SearchError?, took: Duration) {
        requests[kind]?[RequestResult(error).place].record(took)
    }

    /// A search of several collections counts for each of them.
    func searchEnded(_ collection: Int, coverage: Double?, took: Duration) {
        guard collections.indices.contains(collection) else { return }
        collections[collection].search.record(took)
        if let coverage, coverage < 1 { collections[collection].partial.increment() }
    }

    func explained(_ collection: Int, _ use: PlanOutline.IndexUse) {
        guard collections.indices.contains(collection) else { return }
        collections[collection].explained[use]?.increment()
    }

    func legEnded(_ leg: PlannedLeg, took: Duration) {
        guard collections.indices.contains(leg.collectionNumber),
            collections[leg.collectionNumber].legs.indices.contains(leg.place)
        else { return }
        collections[leg.collectionNumber].legs[leg.place].record(took)
    }

    func attemptStarted(_ kind: AttemptKind, shard: Int) {
        guard shards.indices.contains(shard) else { return }
        switch kind {
        case .first: break
        case .retry: shards[shard].retries.increment()
        case .hedge: shards[shard].hedges.increment()
        }
    }

    func hedgeWon(shard: Int) { if shards.indices.contains(shard) { shards[shard].hedgeWins.increment() } }

    func attemptEnded(_ pick: ShardMachine.Pick, shard: Int, failure: AttemptFailure?, wait: Duration, took: Duration) {
        guard let meters = replica(shard, pick.replica) else { return }
        if took > .zero { meters.execute.record(took) }
        if wait > .zero { meters.wait.record(wait) }
        meters.attempts[failure.map { $0.place + 1 } ?? 0].increment()
    }

    func breakerOpened(shard: Int, replica place: Int, cause: BreakerMachine.Cause) {
        replica(shard, place)?.trips[cause]?.increment()
    }

    /// - Parameter served: the names that the server has.
    func dialEnded(_ served: [ServedReplica], took: Duration) {
        guard let first = served.first else { return }
        replica(first.shard, first.replica)?.connect.record(took)
    }

    private func replica(_ shard: Int, _ replica: Int) -> ReplicaMeters? {
        guard replicas.indices.contains(shard), replicas[shard].indices.contains(replica) else { return nil }
        return replicas[shard][replica]
    }
}

/// How a request ended, in metrics.
private enum RequestResult: CaseIterable {
    case ok
    case busy
    case deadlineExceeded
    case cancelled
    case unavailable
    case backendError
    /// The request was at fault.
    case refused

    init(_ error: SearchError?) {
        self =
            switch error?.code {
            case nil: .ok
            case .busy: .busy
            case .deadlineExceeded: .deadlineExceeded
            case .cancelled: .cancelled
            case .unavailable, .shuttingDown: .unavailable
            case .backendError: .backendError
            case .invalidArgument, .unknownCollection, .unknownColumn, .dimensionMismatch, .modelMismatch,
                .notSupported, .unknownCursor, .malformed, .badRow, .permissionDenied:
                .refused
            }
    }

    var place: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

private struct CollectionMeters: Sendable {
    let search: Timer
    let partial: Counter
    let explained: [PlanOutline.IndexUse: Counter]
    /// In the order of the collection's shards.
    let legs: [Timer]

    init(_ collection: Collection, _ catalogue: Catalogue, _ make: MeterMaker) {
        let label = ("collection", collection.name)
        search = make.timer("sluice_search_duration_seconds", [label])
        partial = make.counter("sluice_partial_answers", [label])
        explained = Dictionary(
            uniqueKeysWithValues: PlanOutline.IndexUse.allCases.map {
                ($0, make.counter("sluice_explained", [label, ("index_used", $0.rawValue)]))
            })
        legs = collection.shards.map {
            make.timer("sluice_leg_duration_seconds", [label, ("shard", catalogue.shards[$0].name)])
        }
    }
}

private struct ShardMeters: Sendable {
    let retries: Counter
    let hedges: Counter
    let hedgeWins: Counter

    init(_ shard: Catalogue.Shard, _ make: MeterMaker) {
        let labels = [("shard", shard.name)]
        retries = make.counter("sluice_retries", labels)
        hedges = make.counter("sluice_hedges", labels)
        hedgeWins = make.counter("sluice_hedge_wins", labels)
    }
}

private struct ReplicaMeters: Sendable {
    let execute: Timer
    let wait: Timer
    let connect: Timer
    /// The first is of those that succeeded, the others in the order of `AttemptFailure`.
    let attempts: [Counter]
    let trips: [BreakerMachine.Cause: Counter]

    init(_ labels: [(String, String)], _ make: MeterMaker) {
        execute = make.timer("sluice_execute_duration_seconds", labels)
        wait = make.timer("sluice_pool_wait_duration_seconds", labels)
        connect = make.timer("sluice_connect_duration_seconds", labels)
        attempts = (["ok"] + AttemptFailure.allCases.map(snakeCased)).map {
            make.counter("sluice_attempts", labels + [("result", $0)])
        }
        trips = Dictionary(
            uniqueKeysWithValues: BreakerMachine.Cause.allCases.map {
                ($0, make.counter("sluice_breaker_trips", labels + [("cause", snakeCased($0))]))
            })
    }
}

private struct MeterMaker {
    let factory: any MetricsFactory

    func timer(_ name: String, _ labels: [(String, String)] = []) -> Timer {
        Timer(label: name, dimensions: labels, factory: factory)
    }

    func counter(_ name: String, _ labels: [(String, String)] = []) -> Counter {
        Counter(label: name, dimensions: labels, factory: factory)
    }
}

extension Timer {
    fileprivate func record(_ duration: Duration) { recordNanoseconds(duration.nanoseconds) }
}

/// A case's name as metrics have it: `outOfResources` is `out_of_resources`.
func snakeCased(_ value: some Any) -> String {
    String(describing: value).reduce(into: "") { text, character in
        text += character.isUppercase ? "_" + character.lowercased() : String(character)
    }
}

extension AttemptFailure {
    fileprivate var place: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
