package import SluiceCore

extension GatewayConfig {
    /// Where a collection's rows lie.
    package struct Layout: Hashable, Sendable {
        package var schema: String
        package var table: String
        package var shards: [String]

        package init(schema: String = "public", table: String, shards: [String]) {
            self.schema = schema
            self.table = table
            self.shards = shards
        }
    }

    /// The same with each collection served from where its choice says; one that is being moved and has none from
    /// nowhere.
    package func choosing(_ layouts: [String: LayoutChoice]) -> GatewayConfig {
        var config = self
        for number in config.collections.indices {
            let collection = config.collections[number]
            config.collections[number].serving =
                collection.next == nil ? .current : layouts[collection.name]?.serving ?? .unknown
        }
        return config
    }

    package var hasNextLayouts: Bool { collections.contains { $0.next != nil } }

    /// The same as its file has it.
    var unchosen: GatewayConfig {
        var config = self
        for number in config.collections.indices { config.collections[number].serving = .current }
        return config
    }

    /// The same without the collections that are being moved.
    var withoutNextLayouts: GatewayConfig {
        var config = self
        config.collections.removeAll { $0.next != nil }
        return config
    }
}

extension GatewayConfig.Collection {
    package var layout: GatewayConfig.Layout { .init(schema: schema, table: table, shards: shards) }

    /// As if the layout that is served were its own, and the only one.
    package var asServed: GatewayConfig.Collection {
        var collection = self
        if serving == .next, let next {
            (collection.schema, collection.table, collection.shards) = (next.schema, next.table, next.shards)
            (collection.epoch, collection.serving) = (epoch + 1, .current)
        }
        collection.next = nil
        return collection
    }
}
