internal import Logging
internal import SluiceCore
internal import SluiceEngine
internal import SluiceReactor

extension Gateway {
    /// So often the databases are asked where the collections lie that are being moved.
    private static let layoutInterval = Duration.seconds(1)
    /// At least so long lies between two questions, however many writes are refused.
    private static let layoutPause = Duration.milliseconds(50)

    /// Which layout is served, asked before anything is: until it is known of all collections that are being moved, or
    /// for as long as a dial may take.
    /// - Returns: the configuration as it is to be served.
    static func firstLayouts(
        _ config: GatewayConfig, _ layouts: LayoutKeeper, _ house: House, _ logger: Logger
    ) async throws -> GatewayConfig {
        guard config.hasNextLayouts else { return config }
        let limit = house.now.advanced(by: config.pool.connectTimeout)
        while true {
            let reports = await house.shared.layouts(on: LayoutKeeper.shards(of: config))
            _ = layouts.heard(reports, of: config)
            let isKnown = layouts.choices.values.allSatisfy { $0.serving != .unknown }
            guard !isKnown, house.now.advanced(by: layoutPause) < limit else { break }
            try? await Task.sleep(for: layoutPause)
        }
        for (name, complaint) in layouts.complaints { log(complaint, of: name, logger) }
        let choices = layouts.choices
        for (name, choice) in choices {
            guard let epoch = choice.served else { continue }
            logger.notice("the collection is being moved", metadata: ["collection": "\(name)", "epoch": "\(epoch)"])
        }
        let served = config.choosing(choices)
        let blueprint = try house.blueprint(of: served)
        await house.follow(blueprint)
        let moving = served.collections.filter { $0.next != nil && $0.serving != .unknown }.map(\.asServed)
        try take(try await examine(moving, of: served), house.shared.catalogue, logger)
        return served
    }

    /// - Returns: what runs until it is cancelled.
    func beginWatchingLayouts() -> [Task<Void, Never>] {
        let doubts = house.shared.moved.doubts
        let ticking = Task {
            while (try? await Task.sleep(for: Self.layoutInterval)) != nil { doubts.continuation.yield() }
        }
        let looking = Task { [weak self] in
            await withDiscardingTaskGroup { group in
                for await _ in doubts.stream {
                    if let served = await self?.lookAtLayouts() {
                        // Whoever moves the next collection does not wait for this.
                        group.addTask { [weak self] in await self?.examine(served) }
                    }
                    guard (try? await Task.sleep(for: Self.layoutPause)) != nil else { return }
                }
            }
        }
        return [ticking, looking]
    }

    /// - Returns: what is served since then, if it is something else.
    private func lookAtLayouts() async -> ServedLayouts? {
        let config = config
        let refused = house.shared.moved.takeRefused()
        for collection in config.collections where refused.contains(collection.name) && collection.next == nil {
            logger.warning(
                "a write was refused because the collection is being moved, and the configuration has no `next` of it",
                metadata: ["collection": "\(collection.name)"])
        }
        guard config.hasNextLayouts else { return nil }
        let answers = await reports.pass { await house.shared.layouts(on: LayoutKeeper.shards(of: config)) }
        for complaint in layouts.heard(answers ?? [], of: config) {
            if let text = complaint.text {
                Self.log(text, of: complaint.collection, logger)
            } else {
                logger.notice("its epoch is clear again", metadata: ["collection": "\(complaint.collection)"])
            }
        }
        guard config.choosing(layouts.choices).collections != config.collections else { return nil }
        return await changes.pass { await self.reports.pass { await self.takeLayouts() } ?? nil }
    }

    private static func log(_ complaint: String, of collection: String, _ logger: Logger) {
        logger.error("\(complaint)", metadata: ["collection": "\(collection)"])
    }

    /// The same path that another configuration goes: what runs ends in the layout that it began in.
    private func takeLayouts() async -> ServedLayouts? {
        let old = config
        let new = old.choosing(layouts.choices)
        guard new.collections != old.collections else { return nil }
        let blueprint: Blueprint
        do { blueprint = try house.blueprint(of: new) } catch {
            logger.error("the layout that the databases name cannot be served: \(error)")
            return nil
        }
        await house.follow(blueprint)
        take(new)
        for (was, collection) in zip(old.collections, new.collections) where was.serving != collection.serving {
            let served = collection.asServed
            let text = "epoch \(served.epoch) is served, on \(served.shards.joined(separator: ", "))"
            logger.notice("\(text)", metadata: ["collection": "\(served.name)", "epoch": "\(served.epoch)"])
            house.shared.journal.add(.init(.topology, shard: "", "\(served.name): \(text)"), at: house.now)
        }
        return ServedLayouts(old: old, new: new, catalogue: blueprint.catalogue)
    }

    /// Looks at what lies in the layouts that are served now.
    private func examine(_ served: ServedLayouts) async {
        do {
            let found = try await examineNews(of: served.new, since: served.old, served.catalogue)
            try Self.take(found, served.catalogue, logger)
        } catch {
            for reason in (error as? StartRefused)?.reasons ?? ["\(error)"] { logger.error("\(reason)") }
        }
    }
}

/// A switch that has been made.
private struct ServedLayouts: Sendable {
    var old: GatewayConfig
    var new: GatewayConfig
    var catalogue: Catalogue
}
