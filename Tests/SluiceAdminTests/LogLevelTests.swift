import Logging
import SluiceAdmin
import SluiceGateway
import Testing

@Suite struct LogLevelTests {
    @Test func theLevelIsChangedWhileTheGatewayRuns() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            #expect(try await fixture.client.get("/api/v1/log-level").body == "{\"level\":\"info\"}\n")
            let changed = try await fixture.client.post("/api/v1/log-level", json: #"{"level": "debug"}"#)
            #expect(changed.status == 200 && changed.body == "{\"level\":\"debug\"}\n")
            #expect(fixture.levels.level == .debug)
            #expect(try await fixture.client.get("/api/v1/log-level").body == changed.body)
        }
    }

    @Test func whatIsNoLevelChangesNothing() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            for wrong in [
                "", "{}", "debug", #"{"level": "loud"}"#, #"{"level": 1}"#, #"{"level": "DEBUG"}"#, #"["debug"]"#,
                #"{"level": ""# + String(repeating: "a", count: 3_000) + #""}"#,
            ] {
                let answer = try await fixture.client.post("/api/v1/log-level", json: wrong)
                #expect(answer.status == 400 && answer.body.contains("error"), "\(answer)")
                #expect(!answer.body.contains("loud"))
            }
            #expect(fixture.levels.level == .info)
        }
    }
}
