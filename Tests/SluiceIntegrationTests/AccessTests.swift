import Foundation
import SluiceClient
import SluiceGateway
import Testing

extension PostgreSQL {
    /// Who is let in, and what the identities may do, on real servers.
    @Suite(.serialized) struct Access {
        /// `net` sees a part of `programs` and nothing else; `all` everything; `reader` may only search and get.
        private static let identities = """
                - name: net
                  collections: {programs: {allow: [search, get, write, delete, load], filter: "section = 'net'"}}
                - {name: all, collections: {"*": [search, get, load, write, delete]}}
                - {name: reader, collections: {"*": [search]}, limits: {max_k: 5}}
                - {name: user, unix_users: ["\(getuid())"], collections: {libraries: [search]}}

            """

        private func withGuarded(
            _ identities: String = Self.identities, extra: String = "", _ body: (GuardedGateway) async throws -> Void
        ) async throws {
            try await GuardedGateway.with(try Replicas(), identities: identities, extra: extra, body)
        }

        private static let vector = Result { try Samples().queries[0] }

        private static func query(_ collections: [String] = ["programs"], k: Int = 50) throws -> SearchQuery {
            SearchQuery(collections: collections, vector: try vector.get(), k: k, columns: ["section"])
        }

        private static let net = Value.string("net")

        // MARK: Letting in

        @Test func onlyWhoIsKnownIsLetIn() async throws {
            try await withGuarded { guarded in
                let token = try await guarded.token("all")
                #expect(await code { _ = try await guarded.connect(nil) } == .unauthenticated)
                #expect(await code { _ = try await guarded.connect("nonsense") } == .unauthenticated)
                let other = try Token.random().revealed
                #expect(await code { _ = try await guarded.connect(other) } == .unauthenticated)
                let client = try await guarded.connect(token.revealed)
                #expect(try await client.search(Self.query()).hits.count == 50)
                await client.close()
            }
        }

        @Test func theUserAtAUnixSocketIsKnownByTheKernelsWord() async throws {
            try await withGuarded { guarded in
                let client = try await guarded.connect(nil, at: guarded.unixAddress)
                #expect(try await client.collections().map(\.name) == ["libraries"])
                #expect(try await client.search(Self.query(["libraries"])).hits.count == 50)
                #expect(await code { _ = try await client.search(Self.query(["programs"])) } == .permissionDenied)
                await client.close()
            }
        }

        @Test func aRevokedTokenEndsItsSessionsWithinASecond() async throws {
            try await withGuarded { guarded in
                let (doomed, other) = (try await guarded.token("all"), try await guarded.token("all"))
                let client = try await guarded.connect(doomed.revealed)
                let stays = try await guarded.connect(other.revealed)
                _ = try await client.search(Self.query())
                let began = ContinuousClock.now
                try guarded.revoke(doomed)
                // Each ping is answered until the session ends.
                while await code(of: { try await client.ping(timeout: .seconds(5)) }) == nil {}
                #expect(ContinuousClock.now - began < .seconds(1))
                #expect(await code { _ = try await guarded.connect(doomed.revealed) } == .unauthenticated)
                _ = try await stays.search(Self.query())
                await client.close()
                await stays.close()
            }
        }

        @Test func aTokenWhoseTimeIsOverEndsItsSessionsToo() async throws {
            try await withGuarded { guarded in
                let token = try await guarded.token("all", lifetime: 2)
                let client = try await guarded.connect(token.revealed)
                let began = ContinuousClock.now
                while await code(of: { try await client.ping(timeout: .seconds(5)) }) == nil {}
                #expect(ContinuousClock.now - began < .seconds(3.5))
                await client.close()
            }
        }

        @Test func whatTheConfigurationTakesAwayIsGoneAtOnce() async throws {
            let replicas = try Replicas()
            try await withGuarded { guarded in
                let token = try await guarded.token("all")
                let reader = try await guarded.token("reader")
                let (client, other) = (
                    try await guarded.connect(token.revealed), try await guarded.connect(reader.revealed)
                )
                _ = try await client.search(Self.query(["libraries"]))
                let access = "access:\n  tokens: \(guarded.folder.path)/tokens\n  identities:\n"
                let narrower = "    - {name: all, collections: {programs: [search]}}\n"
                await guarded.gateway.reload(try replicas.config(extra: access + narrower))
                // The session has been told in a turn of its loop that came before the next frame.
                #expect(await code { _ = try await client.search(Self.query(["libraries"])) } == .permissionDenied)
                _ = try await client.search(Self.query(["programs"]))
                // Its identity is not there any more.
                while await code(of: { try await other.ping(timeout: .seconds(5)) }) == nil {}
                #expect(await code { _ = try await guarded.connect(reader.revealed) } == .unauthenticated)
                await client.close()
                await other.close()
            }
        }

        // MARK: Permission

        @Test func whatIsNotAllowedIsRefusedInTheSameWordsWhetherItExistsOrNot() async throws {
            try await withGuarded { guarded in
                try await guarded.withClient("net") { client in
                    let shown = try await client.collections()
                    #expect(shown.map(\.name) == ["programs"])
                    for name in ["libraries", "no-such-collection"] {
                        let error = await #expect(throws: SluiceError.self) {
                            try await client.search(Self.query([name]))
                        }
                        #expect(error?.code == .permissionDenied)
                        #expect(error?.message == "this identity may not search in \"\(name)\"")
                        #expect(await code { _ = try await client.get(name, ids: [1]) } == .permissionDenied)
                        #expect(await code { _ = try await client.count(name) } == .permissionDenied)
                        #expect(await code { _ = try await client.delete(name, ids: [1]) } == .permissionDenied)
                        #expect(
                            await code { _ = try await client.upsert(name, rows: [LoadTable.row(1)]) }
                                == .permissionDenied)
                        #expect(
                            await code { _ = try await client.load(name, rows: LoadTable.rows(0..<1)) }
                                == .permissionDenied)
                    }
                    // One that is allowed does not open the other.
                    #expect(
                        await code { _ = try await client.search(Self.query(["programs", "libraries"])) }
                            == .permissionDenied)
                }
                try await guarded.withClient("reader") { client in
                    #expect(await code { _ = try await client.get("programs", ids: [1]) } == .permissionDenied)
                    #expect(await code { _ = try await client.delete("programs", ids: [1]) } == .permissionDenied)
                    #expect(await code { _ = try await client.search(Self.query(k: 5)) } == nil)
                    #expect(await code { _ = try await client.search(Self.query(k: 6)) } == .invalidArgument)
                    #expect(
                        await code { _ = try await client.search(Self.query(["nope"], k: 1)) } == .unknownCollection)
                }
            }
        }

        // MARK: Forced filters

        @Test func noSearchFindsWhatTheFilterHides() async throws {
            try await withGuarded { guarded in
                try await guarded.withClient("net") { client in
                    var queries = [try Self.query()]
                    for filter: Filter in [
                        .column("section") == "libs", !(.column("section") == "net"),
                        .or([.column("section") != "net", .column("section").isNotNull]),
                    ] {
                        var query = try Self.query()
                        query.filter = filter
                        queries.append(query)
                        query.filter = nil
                        query.overrides = ["programs": .init(filter: filter)]
                        queries.append(query)
                    }
                    var exact = try Self.query()
                    exact.exact = true
                    var text = try Self.query()
                    text.text = .init("server or library or python")
                    var grouped = try Self.query(k: 10)
                    grouped.group = .init(by: "section")
                    var coarse = try Self.query()
                    coarse.twoPhase = .init(.binary)
                    var complete = try Self.query(k: 200)
                    complete.complete = true
                    queries += [exact, text, grouped, coarse, complete]
                    var found = 0
                    for query in queries {
                        let hits = try await client.search(query).hits
                        found += hits.count
                        #expect(hits.allSatisfy { $0.columns["section"] == Self.net })
                        guard query.group == nil else { continue }
                        for try await page in client.pages(query, size: 7) {
                            #expect(page.hits.allSatisfy { $0.columns["section"] == Self.net })
                        }
                    }
                    #expect(found > 100)
                    #expect(
                        try await client.search(queries[1]).hits.isEmpty, "another section and-ed with the forced one")
                }
            }
        }

        @Test func rowsOfOthersAreNeitherGotNorCountedNorAnExample() async throws {
            try await withGuarded { guarded in
                let all = try await guarded.connect(try await guarded.token("all").revealed)
                var query = try Self.query()
                query.filter = .column("section") != "net"
                let hidden = try #require(try await all.search(query).hits.first)
                let total = try await all.count("programs", filter: .column("section") == "net", exact: true).rows
                try await guarded.withClient("net") { client in
                    let mine = try #require(try await client.search(Self.query()).hits.first)
                    let reply = try await client.get("programs", ids: [hidden.id, mine.id], columns: ["section"])
                    #expect(reply.rows.map(\.id) == [mine.id] && reply.missing == [hidden.id])
                    #expect(try await client.count("programs", exact: true).rows == total)
                    #expect(
                        try await client.count("programs", filter: .column("section") != "net", exact: true).rows == 0)
                    var like = try Self.query(k: 5)
                    like.target = .row(id: mine.id, collection: "programs")
                    #expect(try await client.search(like).hits.allSatisfy { $0.columns["section"] == Self.net })
                    like.target = .row(id: hidden.id, collection: "programs")
                    let error = await #expect(throws: SluiceError.self) { try await client.search(like) }
                    like.target = .row(id: 999_999_999, collection: "programs")
                    let absent = await #expect(throws: SluiceError.self) { try await client.search(like) }
                    // As if it were not there.
                    #expect(error?.code == absent?.code)
                    #expect(
                        error?.message == absent?.message.replacing("999999999", with: String(hidden.id)))
                }
                await all.close()
            }
        }

        @Test func theCacheDoesNotGiveOneWhatAnotherMaySee() async throws {
            let identities = """
                    - {name: net, collections: {cached: {allow: [search], filter: "section = 'net'"}}}
                    - {name: all, collections: {"*": [search]}}

                """
            let cached = """
                  - {name: cached, table: programs, metric: cosine, dimensions: 384, columns: [section],
                     filterable: {section: text}, cache: true, single_flight: true}
                """
            try await GuardedGateway.with(
                try Replicas(), identities: identities, extra: "cache: {ttl: 1h}\n", extraCollections: cached
            ) { guarded in
                let all = try await guarded.connect(try await guarded.token("all").revealed)
                for _ in 0..<2 { _ = try await all.search(Self.query(["cached"])) }
                #expect(try await all.search(Self.query(["cached"])).source == .cache)
                try await guarded.withClient("net") { client in
                    for _ in 0..<2 {
                        let hits = try await client.search(Self.query(["cached"])).hits
                        #expect(hits.allSatisfy { $0.columns["section"] == Self.net } && !hits.isEmpty)
                    }
                }
                await all.close()
            }
        }

        // MARK: Limits

        @Test func aSecondHasItsRequestsAndNoMore() async throws {
            let identities = """
                    - {name: slow, collections: {"*": [search]}, limits: {requests_per_second: 3}}
                    - {name: other, collections: {"*": [search]}}

                """
            try await withGuarded(identities) { guarded in
                let token = try await guarded.token("slow").revealed
                let (one, two) = (try await guarded.connect(token), try await guarded.connect(token))
                // Over both sessions together.
                for client in [one, two, one] { _ = try await client.search(Self.query(k: 1)) }
                let error = await #expect(throws: SluiceError.self) { try await two.search(Self.query(k: 1)) }
                #expect(error?.code == .busy && error?.isRetryable == true)
                #expect((error?.retryAfter ?? .zero) > .zero && (error?.retryAfter ?? .zero) <= .milliseconds(334))
                try await guarded.withClient("other") { client in _ = try await client.search(Self.query(k: 1)) }
                await one.close()
                await two.close()
            }
        }

        @Test func itsRequestsInFlightAreCountedOverItsSessions() async throws {
            let identities = "    - {name: few, collections: {\"*\": [search]}, limits: {max_in_flight: 2}}\n"
            try await withGuarded(identities) { guarded in
                let token = try await guarded.token("few").revealed
                let clients = [try await guarded.connect(token), try await guarded.connect(token)]
                let codes = await withTaskGroup(of: SluiceError.Code?.self) { group in
                    for number in 0..<40 {
                        group.addTask {
                            let client = clients[number % 2]
                            return await code { _ = try await client.search(Self.query(["programs", "libraries"])) }
                        }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                #expect(Set(codes).isSubset(of: [nil, .busy]))
                #expect(codes.contains(.busy) && codes.contains(nil))
                // All places are free again.
                for client in clients { _ = try await client.search(Self.query()) }
                for client in clients { await client.close() }
            }
        }

        @Test func aShareOfThePoolIsAllThatItHolds() async throws {
            let identities = """
                    - {name: part, collections: {"*": [search]}, limits: {pool_share: 0.25}}
                    - {name: other, collections: {"*": [search]}}

                """
            try await withGuarded(identities, extra: "hedging: {enabled: false}\n") { guarded in
                let token = try await guarded.token("part").revealed
                let client = try await guarded.connect(token)
                let codes = await withTaskGroup(of: SluiceError.Code?.self) { group in
                    for _ in 0..<60 {
                        group.addTask { await code { _ = try await client.search(Self.query()) } }
                    }
                    return await group.reduce(into: []) { $0.append($1) }
                }
                // Its share is one connection of four at each replica; what is beyond is told to come again.
                #expect(Set(codes).isSubset(of: [nil, .busy]) && codes.contains(.busy) && codes.contains(nil))
                try await guarded.withClient("other") { other in _ = try await other.search(Self.query()) }
                _ = try await client.search(Self.query())
                await client.close()
            }
        }
    }
}
