import SluicePostgres
import Testing

@Suite struct StatementCacheTests {
    private final class Text: StatementText {
        func sql(for facts: ServerFacts) -> String { "SELECT 1" }
    }

    @Test func theLeastRecentlyUsedMakesRoom() {
        let (first, second, third) = (Text(), Text(), Text())
        var cache = StatementCache(capacity: 2)
        #expect(prepare(first, &cache) == nil)
        #expect(prepare(second, &cache) == nil)
        let oldName = cache.name(of: second)
        _ = cache.name(of: first)
        #expect(prepare(third, &cache) == oldName)
        let kept = cache.name(of: first)
        let gone = cache.name(of: second)
        #expect(kept != nil && gone == nil)
    }

    @Test func aNameIsNeverUsedTwice() {
        let texts = [Text(), Text(), Text()]
        var cache = StatementCache(capacity: 1)
        var names: Set<String> = []
        for round in 0..<50 {
            _ = prepare(texts[round % 3], &cache)
            cache.forget(texts[round % 2])
            let name = cache.newName()
            #expect(names.insert(name).inserted)
        }
    }

    @Test func equalTextsAreNotTheSameStatement() {
        var cache = StatementCache(capacity: 4)
        _ = prepare(Text(), &cache)
        let other = cache.name(of: Text())
        #expect(other == nil)
    }

    private func prepare(_ text: Text, _ cache: inout StatementCache) -> String? {
        let name = cache.newName()
        return cache.prepared(text, as: name)
    }
}

@Suite struct ConnectionStringTests {
    @Test func keywordsAndURIsAreUnderstood() throws {
        for text in ["host=db port=6432 dbname=v user=u", "postgresql://u@db:6432/v"] {
            let target = try ConnectionString(text)
            #expect(target.target == "db:6432/v" && target.nameToResolve == "db" && !target.hasPassword)
        }
    }

    @Test(arguments: [
        "host=127.0.0.1", "host=::1", "host=/var/run/postgresql", "hostaddr=10.0.0.1 host=db", "dbname=x",
    ])
    func nothingIsLookedUpThatNeedsNoLookUp(text: String) throws {
        #expect(try ConnectionString(text).nameToResolve == nil)
    }

    @Test(arguments: ["host", "nonsense=1", "host=a,b", "port=1,2 host=a"])
    func whatIsNoReplicaIsRefusedWithoutQuotingIt(text: String) {
        #expect {
            try ConnectionString(text + " password=geheim")
        } throws: { error in
            !"\(error)".contains("geheim") && (error as? PostgresFailure)?.kind == .unusable
        }
    }

    @Test func whatTheCallerWroteWinsOverTheDefaults() throws {
        let target = try ConnectionString("host=db keepalives_idle=7", password: "p")
        let parameters = Dictionary(
            target.dialling(address: "10.0.0.1", throughPooler: false)
        ) { first, _ in first }
        #expect(parameters["keepalives_idle"] == "7" && parameters["keepalives_count"] == "3")
        #expect(parameters["hostaddr"] == "10.0.0.1" && parameters["host"] == "db" && parameters["password"] == "p")
        #expect(parameters["options"] == "-c search_path=pg_catalog")
        let pooled = target.dialling(address: nil, throughPooler: true)
        #expect(!pooled.contains { $0.0 == "options" })
    }

    @Test func aNameThatOthersLookForWinsOverTheCallers() throws {
        let target = try ConnectionString("host=db application_name=mine")
        #expect(target.dialling(address: nil, throughPooler: false).contains { $0 == ("application_name", "mine") })
        let parameters = Dictionary(
            target.dialling(address: nil, throughPooler: false, applicationName: "sluice/a", isMissedSoon: true)
        ) { first, _ in first }
        #expect(parameters["application_name"] == "sluice/a")
        #expect(parameters["options"]?.hasPrefix("-c search_path=pg_catalog -c tcp_keepalives_idle=") == true)
    }

    @Test func relativePathsAreRelativeToTheConfiguration() throws {
        let text = "host=db sslrootcert=ca.pem sslcert=/etc/client.pem sslkey=keys/client.key"
        let target = try ConnectionString(text, folder: "/etc/sluice")
        let parameters = Dictionary(target.dialling(address: nil, throughPooler: false)) { first, _ in first }
        #expect(parameters["sslrootcert"] == "/etc/sluice/ca.pem" && parameters["sslcert"] == "/etc/client.pem")
        #expect(parameters["sslkey"] == "/etc/sluice/keys/client.key")
        let asWritten = try ConnectionString(text)
        #expect(asWritten.dialling(address: nil, throughPooler: false).contains { $0 == ("sslrootcert", "ca.pem") })
        let system = try ConnectionString("host=db sslrootcert=system", folder: "/etc/sluice")
        #expect(system.dialling(address: nil, throughPooler: false).contains { $0 == ("sslrootcert", "system") })
    }
}
