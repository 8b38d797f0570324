internal import SluiceCore

/// One thing that an examination of the databases has found.
package struct Finding: Hashable, Sendable, CustomStringConvertible {
    package enum Severity: String, Hashable, Sendable {
        /// It works, but not as it should.
        case warning
        /// Some searches fail.
        case error
    }

    package enum Topic: Hashable, Sendable {
        /// A server that cannot be reached, or does not answer.
        case reach
        /// How a server is reached.
        case transport
        /// What the source of a shard's topology says.
        case topology
        /// What is not as the configuration says.
        case schema
        /// An index that is not there, or serves another metric.
        case index
    }

    package var severity: Severity
    package var topic: Topic
    /// Nil if it is about the server, or the shard as a whole.
    package var collection: String?
    package var shard: String
    /// Nil if it is about all replicas of the shard.
    package var replica: String?
    /// What is wrong and what to do, on one line.
    package let message: String

    /// - Parameter message: its control characters, which a name may have, are replaced.
    package init(
        _ severity: Severity, _ topic: Topic = .schema, collection: String? = nil, shard: String,
        replica: String? = nil, _ message: String
    ) {
        self.severity = severity
        self.topic = topic
        self.collection = collection
        self.shard = shard
        self.replica = replica
        self.message = message.withoutControls
    }

    /// `warning: programs on s0/s0-a: …`
    package var description: String {
        let place = replica.map { "\(shard)/\($0)" } ?? shard
        return "\(severity.rawValue): \(collection.map { "\($0) on \(place)" } ?? place): \(message)"
    }
}
