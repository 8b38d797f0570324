import CollectorTestKit
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import SluiceClient
import SluiceCore
import SluiceEngine
import SluiceGateway
import SluiceReactor
import SluiceTracing
import Synchronization
import Testing
import Tracing

/// From the client's span to each attempt's, through a session, over scripted replicas, as a collector sees it.
@Suite(.timeLimit(.minutes(1))) struct TracedSearchTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// What an application and a gateway have that both send their spans to one collector.
    private struct Traced {
        var client: SluiceClient
        var collector: TraceCollector
        var tracer: any Tracer
        var shared: SharedState
    }

    private static func limits() throws -> GatewayConfig.Limits {
        let text = """
            shards: [{name: s0, replicas: [{dsn: host=nowhere}]}]
            collections: [{name: a, table: a, metric: cosine, dimensions: 3}]
            """
        return try GatewayConfig.parse(text, file: "gateway.yaml", environment: [:]).limits
    }

    private func withTraced(
        _ shards: [[ScriptedBackend]], share: Double = 0, spansPerSecond: Int = 10_000, hasTracer: Bool = true,
        shardConfiguration: ShardMachine.Configuration = .init(),
        _ body: @escaping (Traced) async throws -> Void
    ) async throws {
        let collector = try await TraceCollector.start()
        let pool = PoolMachine.Configuration(minSize: 2, maxSize: 2, maxWaiting: 100)
        try await withLanes(shards, slices: [pool], shardConfiguration: shardConfiguration) { lanes, shared in
            let (app, gateway) = (try Self.export("app", collector), try Self.export("gateway", collector))
            let exporting = [app, gateway].map { export in Task { try await export.service.run() } }
            let tracing = RequestTracing(
                gateway.tracer, share: share, spansPerSecond: spansPerSecond,
                now: Instant(nanoseconds: Reactor.now()))
            let listener = try await Self.listen(lanes[0], shared, try Self.limits(), tracing)
            var options = SluiceClient.Options()
            if hasTracer { options.tracer = app.tracer }
            let client = try await SluiceClient.connect(
                "sluice://127.0.0.1:\(listener.localAddress?.port ?? 0)", options: options)
            try await body(Traced(client: client, collector: collector, tracer: app.tracer, shared: shared))
            await client.close()
            try await listener.close()
            for task in exporting { task.cancel() }
            for task in exporting { try await task.value }
        }
        try await collector.stop()
    }

    private static func export(_ name: String, _ collector: TraceCollector) throws -> TraceExport {
        var settings = TraceExportSettings(
            host: "127.0.0.1", port: collector.port, resource: [("service.name", name)])
        settings.delay = .milliseconds(1)
        return try TraceExport(settings, logger: logger)
    }

    private static func listen(
        _ lane: SearchLane, _ shared: SharedState, _ limits: GatewayConfig.Limits, _ tracing: RequestTracing
    ) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    _ = try SessionPort(
                        on: channel, lane: lane, shared: shared, limits: limits, collections: [], tracing: tracing,
                        logger: logger)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    private func query(_ deadline: Duration? = .seconds(20)) -> SearchQuery {
        SearchQuery(collections: ["a"], vector: [0.27182818, 1, 2], k: 2, deadline: deadline)
    }

    /// The trace of one call, once its last span, the client's, has come.
    private func trace(
        _ traced: Traced, _ call: String = "sluice search", number: Int = 0
    ) async throws -> [CollectedSpan] {
        func calls() throws -> [CollectedSpan] {
            try traced.collector.spans().filter { $0.name == call && $0.kind == 3 }
        }
        // The gateway's spans may come after the client's.
        try await traced.collector.wait { collector in
            let calls = try calls()
            guard calls.count > number else { return false }
            return try collector.spans().contains { $0.parentSpanId == calls[number].spanId }
        }
        let id = try calls()[number].traceId
        return try traced.collector.spans().filter { $0.traceId == id }
    }

    private func children(_ name: String, of parent: CollectedSpan, in trace: [CollectedSpan]) -> [CollectedSpan] {
        trace.filter { $0.name == name && $0.parentSpanId == parent.spanId }
    }

    @Test func oneTraceHasTheCallTheRequestItsLegsAndTheirAttempts() async throws {
        let first = ScriptedBackend(.rows([(5, 0.1)]))
        let second = ScriptedBackend(shard: "s1", replica: "s1-a", .rows([(2, 0.2)]))
        try await withTraced([[first], [second]]) { traced in
            let work = traced.tracer.startSpan("work", context: .topLevel)
            try await ServiceContext.withValue(work.context) { () async throws in
                let reply = try await traced.client.search(query())
                #expect(reply.hits.map(\.id) == [5, 2])
            }
            work.end()
            let trace = try await trace(traced)
            let call = try #require(trace.first { $0.service == "app" && $0.name == "sluice search" })
            #expect(call.kind == 3 && call.parentSpanId != nil)
            let request = try #require(children("sluice search", of: call, in: trace).first)
            #expect(request.service == "gateway" && request.kind == 2 && request["sluice.k"] == "2")
            #expect(request["sluice.collections"] == "a" && request["sluice.coverage"] == "1.0")
            #expect(request["sluice.session"] == "1" && request["sluice.request"] != nil)
            let legs = children("leg", of: request, in: trace)
            #expect(Set(legs.compactMap { $0["sluice.shard"] }) == ["s0", "s1"])
            #expect(legs.count == 2 && legs.allSatisfy { $0["sluice.result"] == "ok" && $0["sluice.rows"] == "1" })
            for leg in legs {
                let attempts = children("attempt", of: leg, in: trace)
                #expect(attempts.map { $0["sluice.attempt.kind"] } == ["first"])
                #expect(attempts.allSatisfy { $0.kind == 3 && $0["sluice.result"] == "ok" })
                #expect(attempts.map { $0["sluice.replica"] } == [leg["sluice.replica"]])
            }
            // A vector is told in no form.
            #expect(!traced.collector.requests.contains { $0.body.contains("0.2718") })
        }
    }

    @Test func aRetryShowsBothAttempts() async throws {
        let bad = ScriptedBackend(.fail(.connectionLost, sqlState: "57P01"))
        let good = ScriptedBackend(replica: "s0-b", .rows([(1, 0.5)]))
        var generous = ShardMachine.Configuration()
        generous.budget = .init(share: 1, minimumPerSecond: 1_000)
        try await withTraced([[bad, good]], shardConfiguration: generous) { traced in
            var searches = 0
            while bad.seen.withLock({ $0.searches.isEmpty }), searches < 100 {
                _ = try await traced.client.search(query())
                searches += 1
            }
            let trace = try await trace(traced, number: searches - 1)
            let leg = try #require(trace.first { $0.name == "leg" })
            let attempts = children("attempt", of: leg, in: trace)
                .sorted { $0.startTimeUnixNano < $1.startTimeUnixNano }
            #expect(attempts.map { $0["sluice.attempt.kind"] } == ["first", "retry"])
            #expect(attempts.map { $0["sluice.replica"] } == ["s0-a", "s0-b"])
            #expect(attempts.map { $0["sluice.result"] } == ["connection_lost", "ok"])
            #expect(attempts[0]["db.response.status_code"] == "57P01" && attempts[0].status?.code == 2)
            #expect(leg["sluice.attempts"] == "2" && leg["sluice.result"] == "ok" && leg.status?.code == 0)
        }
    }

    @Test func anErrorSaysWhichTraceToLookAt() async throws {
        let backend = ScriptedBackend(.fail(.statement, sqlState: "42P01"))
        try await withTraced([[backend]]) { traced in
            var found: SluiceError?
            do throws(SluiceError) { _ = try await traced.client.search(query()) } catch { found = error }
            let error = try #require(found)
            let trace = try await trace(traced)
            let request = try #require(trace.first { $0.kind == 2 })
            #expect(error.code == .backendError && error.traceID == request.traceId)
            #expect(request["error.type"] == "backend_error" && request.status?.code == 2)
            let call = try #require(trace.first { $0.spanId == request.parentSpanId })
            #expect(call["error.type"] == "backend_error")
        }
    }

    /// Refused before anything of it ran.
    @Test func aRequestThatIsRefusedHasItsSpanToo() async throws {
        try await withTraced([[ScriptedBackend()]]) { traced in
            var query = query()
            query.collections = ["made-up", "a"]
            var found: SluiceError?
            do throws(SluiceError) { _ = try await traced.client.search(query) } catch { found = error }
            let trace = try await trace(traced)
            let request = try #require(trace.first { $0.kind == 2 })
            #expect(request["error.type"] == "unknown_collection" && !trace.contains { $0.name == "leg" })
            #expect(found?.traceID == request.traceId)
            // What a client makes up goes no further.
            #expect(request["sluice.collections"] == "a" && request["sluice.collections.asked"] == "2")
            #expect(!traced.collector.requests.contains { $0.body.contains("made-up") })
        }
    }

    @Test func countsAndRowsAreTracedAsWell() async throws {
        try await withTraced([[ScriptedBackend(.rows([(7, 0)]))]]) { traced in
            _ = try await traced.client.count("a")
            _ = try await traced.client.get("a", ids: [7])
            for kind in ["count", "get"] {
                let trace = try await trace(traced, "sluice \(kind)")
                let request = try #require(trace.first { $0.kind == 2 })
                #expect(request["sluice.request.kind"] == kind)
                let leg = try #require(children("leg", of: request, in: trace).first)
                #expect(children("attempt", of: leg, in: trace).count == 1)
            }
        }
    }

    @Test func requestsWithoutATraceGetOneAsOftenAsIsAskedFor() async throws {
        for share in [0.0, 1.0] {
            try await withTraced([[ScriptedBackend(.rows([]))]], share: share, hasTracer: false) { traced in
                for _ in 0..<5 { _ = try await traced.client.search(query()) }
                // It comes after all others.
                traced.tracer.startSpan("last", context: .topLevel).end()
                let wanted = share > 0 ? 5 : 0
                try await traced.collector.wait { collector in
                    let spans = try collector.spans()
                    return spans.contains { $0.name == "last" } && spans.count { $0.kind == 2 } >= wanted
                }
                let requests = try traced.collector.spans().filter { $0.kind == 2 }
                #expect(requests.count == wanted && requests.allSatisfy { $0.parentSpanId == nil })
            }
        }
    }

    @Test func aClientCannotHaveMoreTracedThanMayBe() async throws {
        try await withTraced([[ScriptedBackend(.rows([]))]], spansPerSecond: 3) { traced in
            for _ in 0..<50 { _ = try await traced.client.search(query()) }
            try await traced.collector.wait { try $0.spans().count { $0.kind == 3 && $0.service == "app" } == 50 }
            let requests = try traced.collector.spans().count { $0.kind == 2 }
            // Three spans a request; the first second has as many as may be in one, and the rest takes seconds.
            #expect(requests < 25)
        }
    }

    @Test func aRequestIsKnownInTheLogBySessionNumberAndTrace() {
        let search = Search.of()
        var traced = search
        let trace = RequestTrace(
            "search", id: "0af7651916cd43dd8448eb211c80319c", isRecorded: false, TraceHeaders(), by: nil,
            now: Instant(nanoseconds: 0))
        traced.origin = RequestOrigin(session: 3, request: 9, trace: trace)
        #expect(
            traced.origin.metadata == [
                "session": "3", "request": "9", "trace_id": "0af7651916cd43dd8448eb211c80319c",
            ])
        #expect(trace?.isRecorded == false && search.origin.metadata == ["session": "0", "request": "0"])
    }
}
