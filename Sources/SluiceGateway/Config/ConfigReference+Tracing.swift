extension ConfigReference {
    static var tracingKeys: [Entry] {
        [
            .init(
                "tracing.endpoint", else: "none",
                "where spans are sent by OTLP over HTTP, `http://HOST:PORT/v1/traces` or `https` "
                    + "([operations](operations.md#tracing)); nothing is traced without it"),
            .init(
                "tracing.headers", else: "none",
                "sent with every batch of spans, at most 32; write what is secret as `${NAME}`"),
            .init(
                "tracing.sample", \.tracing.sample,
                "the share of the requests without a trace of their own that get one"),
            .init("tracing.max_spans_per_second", \.tracing.maxSpansPerSecond, "whatever clients ask for"),
            .init("tracing.service_name", \.tracing.serviceName, "the resource attribute `service.name`"),
        ]
    }
}
