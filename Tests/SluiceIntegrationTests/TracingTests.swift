import CollectorTestKit
import Foundation
import Logging
import ServiceLifecycle
import SluiceAdmin
import SluiceClient
import SluiceTracing
import Testing
import Tracing

extension PostgreSQL {
    /// Real searches of `sluice serve`, as a collector sees them.
    @Suite(.serialized, .timeLimit(.minutes(2))) struct TracesOfAGateway {
        private func text(_ collector: TraceCollector, sample: Double) throws -> String {
            try Replicas().text(
                extra: """
                    log: {level: debug, slow_search: 1us}
                    tracing: {endpoint: "http://127.0.0.1:\(collector.port)/v1/traces", sample: \(sample)}
                    """)
        }

        @Test func aSearchIsOneTraceFromTheApplicationToEachReplica() async throws {
            let collector = try await TraceCollector.start([.init(503), .init(429)])
            var settings = TraceExportSettings(
                host: "127.0.0.1", port: collector.port, resource: [("service.name", "app")])
            settings.retryPause = .milliseconds(10)
            let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let export = try TraceExport(settings, logger: quiet)
            let exporting = Task { try await export.service.run() }
            try await withRealGateway(try text(collector, sample: 0), hasAdmin: true) { gateway in
                let refusal = try await ask(gateway, export.tracer)
                try await collector.wait { try $0.spans().count { $0.name == "sluice get" } == 2 }
                let id = try expectLinks(try collector.spans(), refusal)
                // The log and the journal lead to it.
                #expect(gateway.log.contains("trace_id=\(id)") && gateway.log.contains("code=unknown_collection"))
                let admin = try #require(gateway.admin)
                let journal = try await admin.get("/api/v1/journal")
                #expect(journal.body.contains("\"\(id)\""))
            }
            exporting.cancel()
            try await exporting.value
            try await collector.stop()
        }

        /// A search, and a request that is refused.
        private func ask(_ gateway: RealGateway, _ tracer: any Tracer) async throws -> SluiceError? {
            let vector = try #require(try Samples().queries.first)
            var options = SluiceClient.Options()
            options.tracer = tracer
            let client = try await SluiceClient.connect(gateway.address, options: options)
            _ = try await client.search(SearchQuery(collections: ["programs"], vector: vector, k: 5))
            let refusal: SluiceError?
            do throws(SluiceError) {
                _ = try await client.get("nothing", ids: [1])
                refusal = nil
            } catch {
                refusal = error
            }
            await client.close()
            return refusal
        }

        /// - Returns: the id of the search's trace.
        private func expectLinks(_ spans: [CollectedSpan], _ refusal: SluiceError?) throws -> String {
            let call = try #require(spans.first { $0.service == "app" && $0.name == "sluice search" })
            let trace = spans.filter { $0.traceId == call.traceId }
            let request = try #require(trace.first { $0.parentSpanId == call.spanId })
            #expect(request.service == "sluice" && request.kind == 2 && request["sluice.coverage"] == "1.0")
            let legs = trace.filter { $0.parentSpanId == request.spanId }
            #expect(Set(legs.compactMap { $0["sluice.shard"] }) == ["s0", "s1"] && legs.count == 2)
            for leg in legs { #expect(trace.contains { $0.name == "attempt" && $0.parentSpanId == leg.spanId }) }
            let refused = try #require(spans.first { $0.service == "app" && $0.name == "sluice get" })
            #expect(refusal?.code == .unknownCollection && refusal?.traceID == refused.traceId)
            return call.traceId
        }

        @Test func whatWasRecordedLeavesBeforeTheGatewayEnds() async throws {
            let collector = try await TraceCollector.start()
            try await withRealGateway(try text(collector, sample: 1), hasAdmin: true) { gateway in
                let client = try await SluiceClient.connect(gateway.address)
                for _ in 0..<20 { _ = try await client.count("programs") }
                await client.close()
                let admin = try #require(gateway.admin)
                let metrics = try await admin.get("/metrics")
                #expect(metrics.body.contains("# HELP sluice_spans_dropped"))
            }
            #expect(try collector.spans().count { $0.name == "sluice count" && $0.parentSpanId == nil } == 20)
            try await collector.stop()
        }

        @Test func aCollectorThatIsNotThereIsNoneOfTheClientsBusiness() async throws {
            let collector = try await TraceCollector.start()
            let config = try text(collector, sample: 1)
            try await collector.stop()
            try await withRealGateway(config) { gateway in
                let client = try await SluiceClient.connect(gateway.address)
                for _ in 0..<20 { _ = try await client.count("programs") }
                await client.close()
            }
        }
    }
}
