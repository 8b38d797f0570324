import CollectorTestKit
import Logging
import ServiceLifecycle
import SluiceMetrics
import SluiceTracing
import Testing
import Tracing

@Suite(.timeLimit(.minutes(1))) struct TraceExportTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func settings(_ port: Int) -> TraceExportSettings {
        var settings = TraceExportSettings(
            host: "127.0.0.1", port: port, headers: [("api-key", "open sesame")], resource: [("service.name", "test")])
        settings.delay = .milliseconds(1)
        settings.retryPause = .milliseconds(1)
        settings.longestRetryPause = .milliseconds(5)
        return settings
    }

    /// Runs the export until the body has ended and everything has left.
    private func withExport(
        _ settings: TraceExportSettings, _ registry: MetricsRegistry = MetricsRegistry(),
        _ body: (TraceExport) async throws -> Void
    ) async throws {
        let export = try TraceExport(settings, metrics: registry, logger: Self.logger)
        let group = ServiceGroup(services: [export.service], logger: Self.logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            try await body(export)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    private func endSpans(_ count: Int, _ tracer: any Tracer) {
        for number in 0..<count { tracer.startSpan("span \(number)", context: .topLevel).end() }
    }

    @Test func spansGoToTheCollectorWithItsHeaders() async throws {
        let collector = try await TraceCollector.start()
        try await withExport(Self.settings(collector.port)) { export in
            let root = export.tracer.startSpan("root", context: .topLevel, ofKind: .server)
            root.updateAttributes { $0["answer"] = 42 }
            let child = export.tracer.startSpan("child", context: root.context, ofKind: .client)
            child.setStatus(SpanStatus(code: .error))
            child.end()
            root.end()
            root.end()
            try await collector.wait { try $0.spans().count == 2 }
        }
        let spans = try collector.spans()
        let root = try #require(spans.first { $0.name == "root" })
        let child = try #require(spans.first { $0.name == "child" })
        #expect(spans.count == 2 && root.service == "test")
        #expect(root.parentSpanId == nil && child.parentSpanId == root.spanId && child.traceId == root.traceId)
        #expect(root.kind == 2 && child.kind == 3 && child.status?.code == 2 && root["answer"] == "42")
        let start = try #require(UInt64(root.startTimeUnixNano))
        let end = try #require(UInt64(root.endTimeUnixNano))
        #expect(start <= end && start > 1_700_000_000_000_000_000)
        let request = try #require(collector.requests.first)
        #expect(request.path == "/v1/traces")
        #expect(request.headers.contains { $0.name == "api-key" && $0.value == "open sesame" })
        #expect(request.headers.contains { $0.name == "Content-Type" && $0.value == "application/json" })
        try await collector.stop()
    }

    @Test func aCollectorThatIsBusyForAWhileLosesNothing() async throws {
        let collector = try await TraceCollector.start([
            .init(503), .init(429, headers: [("Retry-After", "0")]), .init(503, headers: [("Retry-After", "soon")]),
        ])
        let registry = MetricsRegistry()
        try await withExport(Self.settings(collector.port), registry) { export in
            endSpans(50, export.tracer)
            try await collector.wait { try $0.spans().count == 50 }
        }
        #expect(Set(try collector.spans().map(\.spanId)).count == 50)
        #expect(collector.requests.map(\.status).prefix(4) == [503, 429, 503, 200])
        let text = MetricFormat.prometheus.text(registry.families)
        #expect(text.contains("sluice_spans_exported_total 50\n") && text.contains("sluice_spans_dropped_total 0\n"))
        try await collector.stop()
    }

    @Test func whatTheCollectorRefusesIsNotSentAgainAndCounted() async throws {
        let collector = try await TraceCollector.start([
            .init(400), .init(200, body: #"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"no"}}"#),
        ])
        let registry = MetricsRegistry()
        try await withExport(Self.settings(collector.port), registry) { export in
            endSpans(1, export.tracer)
            try await collector.wait { $0.requests.count == 1 }
            endSpans(3, export.tracer)
            try await collector.wait { try $0.spans().count == 3 }
        }
        #expect(collector.requests.map(\.status).prefix(2) == [400, 200])
        let text = MetricFormat.prometheus.text(registry.families)
        #expect(text.contains("sluice_spans_dropped_total 3\n"))
        try await collector.stop()
    }

    @Test func aDeadCollectorCostsBoundedMemoryAndWhatIsLostIsCounted() async throws {
        let gone = try await TraceCollector.start()
        var settings = Self.settings(gone.port)
        try await gone.stop()
        settings.capacity = 16
        settings.batch = 4
        settings.grace = .milliseconds(20)
        let registry = MetricsRegistry()
        try await withExport(settings, registry) { export in
            endSpans(1_000, export.tracer)
            #expect(export.queue.counts.held <= 16 && export.queue.counts.dropped >= 984)
        }
        let text = MetricFormat.prometheus.text(registry.families)
        #expect(text.contains("sluice_spans_dropped_total 1000\n") && text.contains("sluice_spans_exported_total 0\n"))
    }

    @Test func whatIsHeldLeavesWhenTheProcessEnds() async throws {
        let collector = try await TraceCollector.start()
        var settings = Self.settings(collector.port)
        settings.delay = .seconds(3_600)
        settings.batch = 2
        try await withExport(settings) { endSpans(5, $0.tracer) }
        #expect(try collector.spans().count == 5)
        try await collector.stop()
    }

    /// It has not answered when the process ends, and is not waited for beyond the grace.
    @Test func aCollectorThatNeverAnswersDoesNotKeepTheProcess() async throws {
        let collector = try await TraceCollector.start([.silence, .silence])
        var settings = Self.settings(collector.port)
        settings.batch = 3
        settings.timeout = .seconds(3_600)
        settings.grace = .milliseconds(20)
        let registry = MetricsRegistry()
        try await withExport(settings, registry) { export in
            endSpans(3, export.tracer)
            try await collector.wait { $0.requests.count == 1 }
        }
        let text = MetricFormat.prometheus.text(registry.families)
        #expect(text.contains("sluice_spans_dropped_total 3\n") && text.contains("sluice_spans_exported_total 0\n"))
        try await collector.stop()
    }

    @Test func aTraceThatIsNotRecordedCostsNothing() async throws {
        let export = try TraceExport(Self.settings(1), logger: Self.logger)
        var context = ServiceContext.topLevel
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
        export.tracer.extract(["traceparent": parent], into: &context, using: Headers())
        let span = export.tracer.startSpan("span", context: context)
        #expect(!span.isRecording)
        span.end()
        #expect(export.queue.counts.held == 0)
        // Who is called from here is told so.
        var told: [String: String] = [:]
        export.tracer.inject(span.context, into: &told, using: Headers())
        #expect(told["traceparent"]?.hasPrefix("00-0af7651916cd43dd8448eb211c80319c-") == true)
        #expect(told["traceparent"]?.hasSuffix("-00") == true && told["traceparent"] != parent)
    }

    @Test func aParentThatIsNoneBeginsANewTrace() throws {
        let export = try TraceExport(Self.settings(1), logger: Self.logger)
        var context = ServiceContext.topLevel
        export.tracer.extract(["traceparent": "00-0-0-01", "tracestate": "a=1"], into: &context, using: Headers())
        let span = export.tracer.startSpan("span", context: context)
        var told: [String: String] = [:]
        export.tracer.inject(span.context, into: &told, using: Headers())
        #expect(span.isRecording && told["traceparent"]?.hasSuffix("-01") == true && told["tracestate"] == nil)
    }

    private struct Headers: Extractor, Injector {
        func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }

        func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) { carrier[key] = value }
    }
}
