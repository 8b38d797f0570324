internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import ServiceLifecycle
internal import SluiceCore
internal import SluiceHTTP

/// Sends what the queue says when it says so.
struct SpanExporter: Service, CustomStringConvertible {
    let description = "tracing"
    let queue: SpanQueue
    let settings: TraceExportSettings
    let call: HTTPCall
    let logger: Logger

    func run() async throws {
        let exporting = Task { await export() }
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await exporting.value
            } onGracefulShutdown: { [queue, settings] in
                queue.stop(within: settings.grace)
                // A call that is under way by then is given up.
                MultiThreadedEventLoopGroup.singleton.next().scheduleTask(in: .init(settings.grace)) {
                    exporting.cancel()
                }
            }
        } onCancel: {
            queue.stop(within: .zero)
            exporting.cancel()
        }
    }

    private func export() async {
        let encoder = OTLPEncoder(resource: settings.resource)
        var wakes = queue.wakes.stream.makeAsyncIterator()
        var isFailing = false
        while true {
            switch queue.next() {
            case .end: return
            case .send(let spans):
                guard let body = try? encoder.encode(spans) else {
                    queue.ended(.refused)
                    continue
                }
                let outcome = await deliver(body, isFirst: !isFailing)
                isFailing = outcome != .delivered
                queue.ended(outcome)
            case .wait(let until):
                let timer = until.map { until in
                    MultiThreadedEventLoopGroup.singleton.next().scheduleTask(
                        in: .init(SpanQueue.now.duration(to: until))
                    ) { queue.wake() }
                }
                _ = await wakes.next()
                timer?.cancel()
            }
        }
    }

    /// - Parameter isFirst: whether a failure is worth a line of the log.
    private func deliver(
        _ body: ByteBuffer, isFirst: Bool
    ) async -> BatchMachine<FinishedSpan>.Outcome {
        var headers = HTTPHeaders([("Content-Type", "application/json")])
        for (name, value) in settings.headers { headers.add(name: name, value: value) }
        let trouble: String
        let outcome: BatchMachine<FinishedSpan>.Outcome
        do throws(HTTPCall.Failure) {
            let answer = try await call.send(.POST, settings.path, headers, body: body)
            switch answer.status {
            case 200..<300:
                let rejected = OTLPEncoder.rejected(answer.body)
                if rejected > 0 { queue.rejected(rejected) }
                return .delivered
            // The statuses that OTLP calls retryable.
            case 429, 502, 503, 504:
                let wish = answer.headers.first(name: "Retry-After").flatMap { Int64($0) }
                outcome = .later(after: wish.map { .seconds(max(0, min($0, 3_600))) })
            default: outcome = .refused
            }
            trouble = "it answers with status \(answer.status)"
        } catch {
            outcome = .later(after: nil)
            trouble = error.description
        }
        if isFirst {
            logger.warning(
                "the trace collector does not take spans: \(trouble)",
                metadata: ["collector": "\(settings.host):\(settings.port)"])
        }
        return outcome
    }
}
