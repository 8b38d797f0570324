internal import Logging
internal import SluiceCore

extension SearchLane {
    /// A server of another cluster is asked as before, as there are replicas that are fed otherwise than by
    /// PostgreSQL's own replication. It is not written to.
    func noteStranger(_ served: ServedReplica, _ isStranger: Bool) {
        let text =
            isStranger
            ? "is of another cluster than most of its shard (its system identifier is another): it is not written to"
            : "is of the same cluster as most of its shard"
        let shard = topology.catalogue.shards[served.shard]
        let replica = shard.replicas[served.replica].name
        shared.journal.add(.init(.role, shard: shard.name, replica: replica, text), at: executor.now())
        logger.warning("the replica \(text)", metadata: ["shard": "\(shard.name)", "replica": "\(replica)"])
    }
}
