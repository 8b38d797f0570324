import SluiceGateway
import Testing

@Suite struct LeftServersTests {
    @Test func onlySoManyServersThatHaveLeftAreRemembered() throws {
        try LeftServers.check(known: LeftServers.most + 3, wanted: 3)
        let error = #expect(throws: LeftServers.TooMany.self) {
            try LeftServers.check(known: LeftServers.most + 4, wanted: 3)
        }
        #expect(error?.description.contains("restart it") == true)
    }
}
