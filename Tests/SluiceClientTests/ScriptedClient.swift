import SluiceClient

/// A client of a gateway that follows a script; both end with the body.
func withScriptedGateway(
    _ script: @escaping ScriptedGateway.Script, _ body: (ScriptedGateway, SluiceClient) async throws -> Void
) async throws {
    let gateway = try await ScriptedGateway.start(ScriptedGateway.welcoming(script))
    let client = try await SluiceClient.connect(gateway.address)
    try await body(gateway, client)
    await client.close()
    try await gateway.stop()
}

/// What the body throws; nil if it does not.
func failure(_ body: () async throws -> Void) async -> SluiceError? {
    do {
        try await body()
        return nil
    } catch {
        return error as? SluiceError
    }
}

func failureCode(_ body: () async throws -> Void) async -> SluiceError.Code? { await failure(body)?.code }
