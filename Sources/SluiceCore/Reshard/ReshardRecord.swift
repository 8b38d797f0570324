/// What is kept in the database of a move of a collection to a new table on other shards, so that another process can
/// go on with it wherever the last one ended.
package struct ReshardRecord: Hashable, Sendable, Codable {
    package enum Phase: String, Hashable, Sendable, Codable {
        /// The new tables, the change logs and the fences are made.
        case prepare
        case copy
        /// The new tables get the old one's indexes.
        case index
        /// Changes of the old tables are taken over while they go on.
        case catchUp = "catch_up"
        /// No writes, until the switch or for as long as a pause may be.
        case fence
        /// From here on there is no way back: some gateway may use the new tables already.
        case switchOver = "switch"
        case done
    }

    /// One of the old shards.
    package struct Source: Hashable, Sendable, Codable {
        package var isCopied = false
        /// All ids up to it are copied.
        package var lastID: Int64?
        package var rows = 0

        package init() {}
    }

    package var phase = Phase.prepare
    package var sources: [Source]

    package init(sources: Int) { self.sources = Array(repeating: Source(), count: max(0, sources)) }

    /// Writes go to the old tables as before once their fences are lifted.
    package var canBeAborted: Bool {
        switch phase {
        case .prepare, .copy, .index, .catchUp, .fence: true
        case .switchOver, .done: false
        }
    }
}
