internal import SluiceCore
internal import SluiceEngine

extension GatewayState {
    /// A collection whose rows are being moved to another list of shards.
    package struct Move: Codable, Hashable, Sendable {
        /// Of the layout that the rows are being moved to.
        package var nextEpoch: Int
        package var nextShards: [String]
        /// What the databases said when one of them answered last.
        package var toldEpoch: Int?
        /// Why it is not known, or not clear, which layout is the true one.
        package var complaint: String?
    }
}

extension Gateway {
    /// - Parameter serving: the shards that can answer.
    func collectionState(
        _ collection: SluiceEngine.Collection, _ catalogue: Catalogue, serving: Set<String>
    ) -> GatewayState.Collection {
        let names = collection.shards.map { catalogue.shards[$0].name }
        var state = GatewayState.Collection(
            name: collection.name, metric: collection.metric.rawValue, dimensions: collection.dimensions,
            shards: names, isReady: !collection.isHeld && serving.isSuperset(of: names))
        if !collection.isHeld { state.epoch = collection.epoch }
        if let own = config.collections.first(where: { $0.name == collection.name }), let next = own.next {
            state.move = GatewayState.Move(
                nextEpoch: own.epoch + 1, nextShards: next.shards, toldEpoch: layouts.choices[own.name]?.told,
                complaint: layouts.complaints[own.name])
        }
        return state
    }
}
