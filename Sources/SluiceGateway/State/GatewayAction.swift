internal import Logging
internal import SluiceCore
internal import SluiceEngine

/// What an operator can have a running gateway do.
package enum GatewayAction: Hashable, Sendable {
    /// No more work for it; its connections close as they come free.
    case drain
    case undrain
    /// Other bounds for its pool, over all reactors.
    case resize(minSize: Int, maxSize: Int)
    /// Nothing goes to it until it is closed by hand, or may be probed after this time.
    case openBreaker(for: Duration?)
    case closeBreaker
    /// Every connection is replaced: idle ones now, leased ones as they come back.
    case reconnect
}

/// Why an action was not taken.
package enum ActionRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    case unknownReplica(shard: String, replica: String)
    case size(String)
    /// The gateway has stopped.
    case stopped

    package var description: String {
        switch self {
        case .unknownReplica(let shard, let replica): "there is no replica \(replica) of a shard \(shard)"
        case .size(let reason): reason
        case .stopped: "the gateway has stopped"
        }
    }
}

extension Gateway {
    /// Has it done to a replica, and to its other names if the same server has several.
    package func perform(_ action: GatewayAction, shard: String, replica: String) async throws(ActionRefusal) {
        // Not while another configuration is being taken: what the operator says would be said of the earlier one.
        let done = await changes.pass {
            await self.reports.pass { await self.house.perform(action, shard: shard, replica: replica) }
        }
        guard let done else { throw .stopped }
        try done.get()
        house.shared.journal.add(.init(.action, shard: shard, replica: replica, action.words), at: house.now)
        logger.notice(
            "by an operator: \(action.words)", metadata: ["shard": "\(shard)", "replica": "\(replica)"])
    }
}

extension GatewayAction {
    fileprivate var words: String {
        switch self {
        case .drain: "drained"
        case .undrain: "not drained any more"
        case .resize(let minSize, let maxSize): "pool of \(minSize) to \(maxSize) connections"
        case .openBreaker: "breaker opened"
        case .closeBreaker: "breaker closed"
        case .reconnect: "connections replaced"
        }
    }
}

extension House {
    /// The most that `pool.max_size` may say, too.
    private static let mostConnections = 1_000

    fileprivate func check(minSize: Int, maxSize: Int) throws(ActionRefusal) {
        guard (lanes.count...Self.mostConnections).contains(maxSize) else {
            throw .size(
                "max_size must be from \(lanes.count) (a connection for each reactor) to \(Self.mostConnections)")
        }
        guard (0...maxSize).contains(minSize) else { throw .size("min_size must be from 0 to max_size") }
    }

    fileprivate func perform(
        _ action: GatewayAction, shard: String, replica: String
    ) async -> Result<Void, ActionRefusal> {
        guard let place = shared.catalogue.shards.first(where: { $0.name == shard }),
            let backend = place.replicas.first(where: { $0.name == replica })?.backend
        else { return .failure(.unknownReplica(shard: shard, replica: replica)) }
        if case .resize(let minSize, let maxSize) = action {
            do throws(ActionRefusal) { try check(minSize: minSize, maxSize: maxSize) } catch { return .failure(error) }
        }
        await perform(action, on: backend)
        return .success(())
    }

    private func perform(_ action: GatewayAction, on backend: Int) async {
        if case .resize(let minSize, let maxSize) = action {
            return await resize(backend, minSize: minSize, maxSize: maxSize)
        }
        let topology = shared.topology
        for place in topology.catalogue.served(by: backend) {
            let shard = topology.shards[place.shard]
            switch action {
            case .drain: shard.drainRequested(place.replica, true)
            case .undrain: shard.drainRequested(place.replica, false)
            case .openBreaker(let time): shard.breakerOpened(place.replica, for: time, now: now)
            case .closeBreaker: shard.breakerClosed(place.replica, now: now)
            case .reconnect, .resize: break
            }
        }
        for lane in lanes {
            switch action {
            case .drain: await lane.drain(backend: backend, true)
            case .undrain: await lane.drain(backend: backend, false)
            case .reconnect: await lane.reconnect(backend: backend)
            case .openBreaker, .closeBreaker, .resize: break
            }
        }
    }

    /// Other bounds for a backend's pool, which has less while its share of the server's budget is smaller.
    func resize(_ backend: Int, minSize: Int, maxSize: Int) async {
        if let member = fleet?.member(of: backend) {
            await member.resize(minSize: minSize, maxSize: maxSize)
        } else {
            await lanes.resize(backend, shared, minSize: minSize, maxSize: maxSize)
        }
    }
}
