internal import Foundation
internal import Hummingbird
internal import NIOCore
internal import ServiceLifecycle
package import SluiceGateway
internal import SluiceMetrics

/// All there is to show of a gateway: `/api/v1/frame` is this as JSON, and the page gets one every second.
package struct LiveFrame: Codable, Hashable, Sendable {
    /// How many requests there were since the start, by result, and how long they took.
    package struct Requests: Codable, Hashable, Sendable {
        package var results: [String: Double] = [:]
        /// The upper bounds of the buckets, in seconds, ascending; what is above the last is in one more.
        package var bounds: [Double] = []
        /// Not cumulative.
        package var counts: [Double] = []
    }

    /// Of one collection since the start. A search of several counts for each of them.
    package struct Searches: Codable, Hashable, Sendable {
        package var collection: String
        /// However they ended.
        package var ended: Double
        package var partial: Double
    }

    /// Since 1970 (UTC), in seconds.
    package var at: Double
    package var state: GatewayState
    package var requests: Requests
    package var searches: [Searches]
    package var shed: Double
    package var retries: Double
    package var hedges: Double
    /// Those that are new, oldest first.
    package var events: [GatewayJournal.Event]
    /// The same, and those that have their plan only now.
    package var slowSearches: [GatewayJournal.SlowSearch]
}

/// Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): a frame a second, until the
/// client goes or the gateway ends.
struct LiveFeed: Sendable {
    let door: GatewayDoor
    let registry: MetricsRegistry

    private static let pause = Duration.seconds(1)

    /// What of the journal has been sent.
    private struct Seen {
        var event: UInt64 = 0
        var search: UInt64 = 0
        /// The searches that had their plan: it comes after them.
        var planned: Set<UInt64> = []

        func isNew(_ search: GatewayJournal.SlowSearch) -> Bool {
            search.number > self.search || search.plan != nil && !planned.contains(search.number)
        }
    }

    func response() -> Response {
        Response(
            status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"],
            body: ResponseBody { writer in
                var seen = Seen()
                // Whoever has lost the connection comes again after a second.
                try await writer.write(ByteBuffer(string: "retry: 1000\n\n"))
                while let gateway = door.gateway, !gateway.isDraining {
                    guard let frame = await frame(of: gateway, &seen) else { break }
                    let data = try Reply.encoder.encode(frame)
                    try await writer.write(ByteBuffer(string: "data: \(String(decoding: data, as: UTF8.self))\n\n"))
                    let goesOn = await cancelWhenGracefulShutdown { (try? await Task.sleep(for: Self.pause)) != nil }
                    guard goesOn else { break }
                }
                try await writer.finish(nil)
            })
    }

    /// One frame, with all of the journal.
    func frame(of gateway: Gateway) async -> LiveFrame? {
        var seen = Seen()
        return await frame(of: gateway, &seen)
    }

    /// Nil once the gateway has stopped.
    private func frame(of gateway: Gateway, _ seen: inout Seen) async -> LiveFrame? {
        guard let state = await gateway.state() else { return nil }
        let journal = gateway.journal
        let families = Dictionary(registry.families.map { ($0.name, $0) }) { first, _ in first }
        func samples(_ name: String) -> [MetricFamily.Sample] { families[name]?.samples ?? [] }
        func total(_ name: String) -> Double { samples(name).reduce(0) { $0 + $1.value } }
        let frame = LiveFrame(
            at: Date().timeIntervalSince1970, state: state,
            requests: .init(samples("sluice_request_duration_seconds")),
            searches: LiveFrame.searches(
                samples("sluice_search_duration_seconds"), partial: samples("sluice_partial_answers")),
            shed: total("sluice_shed"),
            retries: total("sluice_retries"), hedges: total("sluice_hedges"),
            events: journal.events.filter { $0.number > seen.event },
            slowSearches: journal.slowSearches.filter(seen.isNew))
        seen = Seen(
            event: journal.events.last?.number ?? 0, search: journal.slowSearches.last?.number ?? 0,
            planned: Set(journal.slowSearches.filter { $0.plan != nil }.map(\.number)))
        return frame
    }
}

extension LiveFrame.Requests {
    /// Adds up the histograms of all kinds of requests.
    init(_ samples: [MetricFamily.Sample]) {
        var cumulative: [Double: Double] = [:]
        for sample in samples {
            if sample.suffix == "_count", let result = sample.label("result") {
                results[result, default: 0] += sample.value
            }
            guard sample.suffix == "_bucket", let limit = sample.label("le") else { continue }
            cumulative[Double(limit) ?? .infinity, default: 0] += sample.value
        }
        let limits = cumulative.keys.sorted()
        bounds = limits.filter(\.isFinite)
        var before = 0.0
        counts = limits.map { limit in
            let count = cumulative[limit, default: before]
            defer { before = count }
            return count - before
        }
    }
}

extension LiveFrame {
    fileprivate static func searches(
        _ ended: [MetricFamily.Sample], partial: [MetricFamily.Sample]
    ) -> [Searches] {
        ended.filter { $0.suffix == "_count" }.compactMap { sample in
            guard let collection = sample.label("collection") else { return nil }
            return Searches(
                collection: collection, ended: sample.value,
                partial: partial.first { $0.label("collection") == collection }?.value ?? 0)
        }
    }
}

extension MetricFamily.Sample {
    fileprivate func label(_ name: String) -> String? { labels.first { $0.name == name }?.value }
}
