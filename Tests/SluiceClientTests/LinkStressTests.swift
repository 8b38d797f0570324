import NIOCore
import SluiceClient
import SluiceWire
import Testing

/// Many calls at once over several connections that come and go, for the thread sanitizer to look at.
@Suite struct LinkStressTests {
    @Test func callsOverConnectionsThatBreakAllEnd() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming(inFlight: 8) { session, frame in
                switch frame.kind {
                case .ping: session.send(.pong, frame.requestID) { $0.writeImmutableBuffer(frame.payload) }
                case .search where frame.requestID % 40 == 39: session.close()
                case .search where frame.requestID % 7 == 3: session.fail(.unavailable, frame.requestID)
                case .search: session.answer(frame.requestID, id: Int64(frame.requestID))
                default: break
                }
            })
        var options = SluiceClient.Options()
        options.connections = 4
        let client = try await SluiceClient.connect(gateway.address, options: options)
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<400 {
                group.addTask {
                    let call = Task {
                        if number.isMultiple(of: 4) {
                            _ = try await client.ping(timeout: .seconds(30))
                        } else {
                            _ = try await client.search(SearchQuery(collections: ["a"], vector: [1, 2, 3]))
                        }
                    }
                    if number.isMultiple(of: 9) { call.cancel() }
                    do { try await call.value } catch {
                        #expect(error is SluiceError, "call \(number): \(error)")
                    }
                }
            }
        }
        await client.close()
        try await gateway.stop()
    }
}
