public import SluiceCore
internal import Synchronization

/// The word of something outside on which of a shard's servers may be written to. What a server says of itself is not
/// enough: two may say that they are the primary, and be it.
public protocol WriteFence: Sendable {
    /// Who may be written to just now.
    func verdict(now: Instant) -> ShardTopology.Verdict
    /// Who is named leader, whether or not that may be written to.
    var named: MemberPlace? { get }
    /// Of which cluster the shard is; nil while it does not know that.
    var systemIdentifier: UInt64? { get }
    /// Why this server, which says that it is the primary on this timeline, may not be written to; nil if it may.
    /// - Parameter systemIdentifier: the cluster's, by its own word; nil if it does not say it.
    func refusal(
        of place: MemberPlace, on timeline: UInt32, systemIdentifier: UInt64?, now: Instant
    ) -> WriteRefusal?
    /// A write was held up or refused for this.
    func noteRefusal(_ refusal: WriteRefusal)
}

/// The fences of shards that have one, by the shard's name.
public final class FenceBook: Sendable {
    private let fences = Mutex<[String: any WriteFence]>([:])

    public init() {}

    public func replace(_ fences: [String: any WriteFence]) { self.fences.withLock { $0 = fences } }

    subscript(_ shard: String) -> (any WriteFence)? { fences.withLock { $0[shard] } }
}

/// A shard's fence and what it is asked about.
struct FencedPlace: Sendable {
    let fence: any WriteFence
    let place: MemberPlace
    /// Of the cluster that its server says that it is of.
    let systemIdentifier: UInt64?
    /// The shard's, as it was served when this was asked for first.
    let servers: ShardState
    let shared: SharedState

    /// Also if another server has said meanwhile that it was promoted, and the source does not know yet.
    func refusal(on timeline: UInt32, now: Instant) -> WriteRefusal? {
        if let refusal = fence.refusal(of: place, on: timeline, systemIdentifier: systemIdentifier, now: now) {
            return refusal
        }
        // Those of another configuration that has come meanwhile, too: from then on servers tell only them.
        let successors = shared.topology.shards.first { $0.name == servers.name }
        let latest = [servers, successors].compactMap { $0?.latestTimeline(of: systemIdentifier) }
        return latest.contains { timeline < $0 } ? .timelineBack : nil
    }

    func check(on timeline: UInt32, now: Instant) throws(BackendFailure) {
        guard let refusal = refusal(on: timeline, now: now) else { return }
        fence.noteRefusal(refusal)
        throw .fenced(refusal)
    }
}

extension BackendFailure {
    /// Nothing has been sent.
    static func fenced(_ refusal: WriteRefusal) -> BackendFailure {
        var failure = BackendFailure(.unreachable, detail: "nothing is written: \(refusal.words)")
        failure.fencedBy = refusal
        return failure
    }
}
