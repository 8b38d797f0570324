import SluiceCore
import SluiceGateway
import Testing

/// What the sections `tls` and `access` say, and what is wrong with them.
@Suite struct AccessConfigTests {
    private static let base =
        ConfigErrorTests.right
        + "    filterable: {section: text, size: int}\n  - {name: other, table: o, metric: l2, dimensions: 3}\n"

    private func access(_ text: String) throws -> GatewayConfig.Access {
        try GatewayConfig.parse(Self.base + "access:\n" + text, file: "f", environment: [:]).access
    }

    private func problems(_ text: String) -> [String] {
        ConfigErrorTests.problems(Self.base + text).map { String($0.drop { $0 != " " }.dropFirst()) }
    }

    @Test func anIdentityIsReadAsItIsWritten() throws {
        let access = try access(
            """
              tokens: tokens
              identities:
                - name: shop
                  certificates: ["CN:shop", "URI:spiffe://x/shop"]
                  unix_users: [root, 1234]
                  collections:
                    programs: {allow: [search, get], filter: "section = 'net' and size < 5"}
                    "*": [search, load, write, delete, admin]
                  limits: {requests_per_second: 5, max_in_flight: 2, max_k: 10, bytes_per_second: 1MiB, pool_share: 0.5}
            """)
        #expect(access.tokens == "./tokens")
        let entry = try #require(access.identities.first)
        #expect(entry.certificates == ["CN:shop", "URI:spiffe://x/shop"] && entry.unixUsers == [0, 1_234])
        let identity = entry.identity
        #expect(identity.permissions["programs"]?.actions == [.search, .get])
        #expect(
            identity.permissions["programs"]?.filter
                == .and([
                    .compare(column: "section", .equal, .text("net")), .compare(column: "size", .less, .int(5)),
                ]))
        #expect(identity.otherwise == Permission([.search, .load, .write, .delete, .admin]))
        var limits = IdentityLimits()
        limits.requestsPerSecond = 5
        limits.maxInFlight = 2
        limits.maxK = 10
        limits.bytesPerSecond = 1_048_576
        limits.poolShare = 0.5
        #expect(identity.limits == limits)
    }

    @Test func whatIsWrongIsSaid() {
        func identity(_ rest: String) -> [String] {
            problems("access: {identities: [{name: a, \(rest)}]}\n")
        }
        #expect(problems("access: {identities: []}\n").first?.contains("names no identity") == true)
        #expect(identity("limits: {}") == ["access.identities[0].collections: is missing"])
        #expect(
            identity("collections: {progams: [search]}") == [
                "access.identities[0].collections.progams: there is no such collection; did you mean \"programs\"?"
            ])
        #expect(
            identity("collections: {programs: [serch]}").first?.hasSuffix(
                "not one of search, get, load, write, delete, admin; did you mean \"search\"?") == true)
        #expect(
            identity("collections: {programs: {allow: [search], filter: \"section = \"}}").first?.contains(
                "is no filter: at line 1, column 11 ") == true)
        #expect(
            identity("collections: {programs: {allow: [search], filter: \"colour = 'red'\"}}").first?.contains(
                "no filterable column \"colour\"") == true)
        // A general filter has to fit every collection without a permission of its own.
        #expect(
            identity("collections: {\"*\": {allow: [search], filter: \"size < 3\"}}").first?.contains(
                "collection \"other\" has no filterable column \"size\"") == true)
        #expect(identity("collections: {\"*\": {allow: [search], filter: \"size < 3\"}, other: []}") == [])
        #expect(identity("certificates: [shop], collections: {}").first?.contains("must be CN:NAME") == true)
        #expect(
            identity("unix_users: [no-such-user-here], collections: {}").first?.contains("there is no user") == true)
        #expect(identity("limits: {pool_share: 0}, collections: {}").first?.contains("pool_share") == true)
        #expect(identity("limits: {max_in_flight: 0}, collections: {}").first?.contains("max_in_flight") == true)
        #expect(
            problems(
                "access: {identities: [{name: a, certificates: [\"CN:x\"], collections: {}}, "
                    + "{name: b, certificates: [\"CN:x\"], collections: {}}]}\n"
            ).first?.contains("is an identity's already") == true)
    }

    @Test func aFiltersValueIsNotInWhatIsSaidOfIt() {
        let said = problems(
            "access: {identities: [{name: a, collections: {programs: {allow: [search], "
                + "filter: \"section = 'canary\"}}}]}\n")
        #expect(said.count == 1 && !said.description.contains("canary"))
    }

    @Test func certificatesAndAListenerGoTogether() {
        #expect(problems("listen: {tls: \"127.0.0.1:0\"}\n") == ["tls: is missing"])
        #expect(problems("tls: {certificate: c, key: k}\n").first?.contains("is for listen.tls") == true)
        let listen = "listen: {tls: \"127.0.0.1:0\"}\n"
        #expect(problems(listen + "tls: {certificate: c}\n") == ["tls.key: is missing"])
        #expect(
            problems(listen + "tls: {certificate: c, key: k, client_certificates: required}\n").first?.contains(
                "needs client_ca") == true)
        #expect(
            problems(listen + "tls: {certificate: c, key: k, min_version: 1.1}\n").first?.contains(
                "not one of 1.2, 1.3")
                == true)
        #expect(problems(listen + "tls: {certificate: c, key: k, min_version: 1.3, client_ca: a}\n") == [])
    }
}
