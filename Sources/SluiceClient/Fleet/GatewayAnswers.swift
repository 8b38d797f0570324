internal import NIOCore
package import SluiceDNS
internal import SluiceWire

extension GatewayChoice.Outcome {
    /// - Parameter took: nil for what says nothing of the gateway's speed.
    init(_ answer: Request.Answer, took: TimeAmount?) {
        guard case .failure(let failure) = answer else {
            self = .answered(took: took)
            return
        }
        switch Failover.Failure(failure) {
        case .refused: self = .refused(retryAfter: failure.error.retryAfter.map { TimeAmount($0) })
        case .unsent, .lost: self = .ended
        case .other:
            let isSilent = failure.error.code == .noAnswer
            self = isSilent ? .silent : failure.isAnswer ? .answered(took: nil) : .ended
        }
    }
}

extension Failover.Failure {
    init(_ failure: RequestFailure) {
        if failure.isMovable {
            self = .unsent
        } else if failure.isAnswer {
            let isRefusal = [.unavailable, .busy, .tooManyInFlight].contains(failure.error.code)
            self = isRefusal ? .refused : .other
        } else {
            // The connection's own end, whatever was said with it.
            let isLoss = [.connectionLost, .shuttingDown, .busy].contains(failure.error.code)
            self = isLoss ? .lost : .other
        }
    }
}

extension GatewayTarget {
    /// Where the records say that the gateways are.
    ///
    /// The records come over the network as anybody may have sent them. With TLS a gateway's certificate has to show
    /// its host's name; that would prove nothing if the host could be anyone's, so it has to be in the service's own
    /// domain, unless the application itself says which name the certificates have.
    package static func targets(
        of records: [ServiceRecord], service: ServiceName, isTLS: Bool, serverName: String?
    ) throws(SluiceError) -> [GatewayTarget] {
        // A single "." means: decidedly not here.
        var records = records.filter { !$0.host.isEmpty && $0.port > 0 }
        if isTLS, serverName == nil {
            let strangers = records.filter { !service.isHome(of: $0.host) }
            records.removeAll { !service.isHome(of: $0.host) }
            if records.isEmpty, let stranger = strangers.first {
                throw SluiceError(
                    .notConnected,
                    "\(service) names \(stranger.host.prefix(200)), which is not in \(service.domain): say by "
                        + "tls.serverName which name the gateways' certificates have")
            }
        }
        guard !records.isEmpty else {
            throw SluiceError(.notConnected, "\(service) names no gateway", isRetryable: true)
        }
        return records.prefix(GatewaySource.mostGateways).map { record in
            let (host, port) = (record.host, Int(record.port))
            return GatewayTarget(
                isTLS ? .tls(host: host, port: port) : .tcp(host: host, port: port), priority: record.priority,
                weight: record.weight)
        }
    }
}

extension SluiceError {
    private static let mostNamed = 3

    /// None of several gateways is there.
    init(unreachable gateways: [(address: Address, trouble: SluiceError?)]) {
        let troubles = gateways.compactMap(\.trouble)
        // What all of them say is the matter, as a token that is not theirs, is not a matter of the network.
        let isCommon = troubles.count == gateways.count && Set(troubles.map(\.code)).count == 1
        var texts = gateways.prefix(Self.mostNamed).map { gateway in
            "\(gateway.address): \(gateway.trouble?.message ?? "no connection yet")"
        }
        if gateways.count > Self.mostNamed { texts.append("and \(gateways.count - Self.mostNamed) more") }
        self.init(
            isCommon ? troubles[0].code : .notConnected,
            "none of the \(gateways.count) gateways can be reached: \(texts.joined(separator: "; "))",
            isRetryable: troubles.isEmpty || troubles.contains(where: \.isRetryable),
            retryAfter: troubles.compactMap(\.retryAfter).min())
    }
}

extension Address: CustomStringConvertible {
    package var description: String {
        switch self {
        case .tcp(let host, let port), .tls(let host, let port):
            host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): path
        }
    }
}
