public import CoreMetrics
public import Logging
internal import NIOCore
internal import NIOSSL
public import ServiceLifecycle
internal import SluiceHTTP
public import Tracing

/// Where spans go, and what they say of their process.
public struct TraceExportSettings: Sendable {
    public var host: String
    public var port: Int
    public var path: String
    public var isEncrypted: Bool
    /// Sent with every batch; they may be secret.
    public var headers: [(name: String, value: String)]
    /// Resource attributes: `service.name` and the like.
    public var resource: [(name: String, value: String)]
    /// How many spans wait at most, those on their way included.
    public var capacity = 4_096
    public var batch = 512
    /// How long the first span of a batch waits for others.
    public var delay = Duration.seconds(1)
    /// Between two attempts to send a batch: at first, and at most.
    public var retryPause = Duration.milliseconds(500)
    public var longestRetryPause = Duration.seconds(30)
    public var timeout = Duration.seconds(5)
    /// How long spans may still be sent when the process ends.
    public var grace = Duration.seconds(3)

    public init(
        host: String, port: Int, path: String = "/v1/traces", isEncrypted: Bool = false,
        headers: [(name: String, value: String)] = [], resource: [(name: String, value: String)] = []
    ) {
        self.host = host
        self.port = port
        self.path = path
        self.isEncrypted = isEncrypted
        self.headers = headers
        self.resource = resource
    }
}

/// Sends spans to an OpenTelemetry collector, by OTLP over HTTP, as JSON. A tracer for swift-distributed-tracing, and
/// the service that has to run for its spans to leave.
public struct TraceExport: Sendable {
    /// What each of the exporter's metrics says of itself, by its name.
    public static let metricHelp = [
        "sluice_spans_exported": "Spans that the collector has taken.",
        "sluice_spans_dropped":
            "Spans that were lost, because there was no room for them or the collector took them not.",
    ]

    public let tracer: any Tracer
    public let service: any Service
    package let queue: SpanQueue

    /// - Parameter metrics: what counts the spans.
    /// - Throws: NIOSSL's error if the machine's certificates cannot be read.
    public init(
        _ settings: TraceExportSettings, metrics: any MetricsFactory = NOOPMetricsHandler.instance, logger: Logger
    ) throws {
        queue = SpanQueue(settings, metrics: metrics)
        tracer = OTLPTracer(queue: queue)
        var call = HTTPCall(host: settings.host, port: settings.port)
        call.timeout = .init(settings.timeout)
        call.mostBytes = 65_536
        if settings.isEncrypted { call.tls = try NIOSSLContext(configuration: .makeClientConfiguration()) }
        service = SpanExporter(queue: queue, settings: settings, call: call, logger: logger)
    }
}
