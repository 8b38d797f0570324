import Foundation
import Testing

extension PostgreSQL {
    /// A token shows once, to whoever makes it, and the values of a forced filter nowhere: everything else that is
    /// printed is searched for them, the log at its most talkative.
    @Suite(.serialized) struct CanaryTokens {
        private struct Secrets {
            /// Of forced filters.
            var texts = ["canary-filter-\(UUID().uuidString.prefix(8).lowercased())"]

            /// The secret part of a token; its id may be shown.
            mutating func add(token: String) { texts += token.split(separator: "_").suffix(1).map(String.init) }

            func expectSilence(_ outcome: Binary.Outcome, sourceLocation: SourceLocation = #_sourceLocation) {
                let all = outcome.output + outcome.errors
                for secret in texts { #expect(!all.contains(secret), "\(all)", sourceLocation: sourceLocation) }
            }
        }

        private func make(_ config: String, _ secrets: inout Secrets) throws -> String {
            let made = try Binary.run(["token", "new", "--config", config, "--identity", "shop"])
            #expect(made.code == 0, "\(made.errors)")
            let token = made.output.trimmingCharacters(in: .whitespacesAndNewlines)
            secrets.add(token: token)
            #expect(secrets.texts.count > 1 && !made.errors.contains(secrets.texts.last ?? made.errors))
            return token
        }

        /// Salts and hashes are nobody's business either.
        private func addHashes(_ file: URL, _ secrets: inout Secrets) throws {
            let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
            for line in lines where !line.hasPrefix("#") {
                secrets.texts += line.split(separator: " ").dropFirst(2).prefix(2).map(String.init)
            }
            #expect(secrets.texts.count >= 7, "two tokens have a salt and a hash each")
        }

        @Test func aGatewayAtTraceLevelTellsNoTokenAndNoForcedFilter() async throws {
            let replicas = try Replicas()
            var secrets = Secrets()
            let shelf = "{name: shelf, table: programs, metric: cosine, dimensions: 384, columns: [name], "
            let extra = """
                  - \(shelf)filterable: {section: text}}
                log: {level: trace}
                access:
                  tokens: tokens
                  identities:
                    - name: shop
                      collections: {shelf: {allow: [search], filter: "section != '\(secrets.texts[0])'"}}
                """
            try await withRealGateway(replicas.text(extra: extra)) { gateway in
                let config = gateway.folder.appending(path: "gateway.yaml").path
                let (good, revoked) = (try make(config, &secrets), try make(config, &secrets))
                try addHashes(gateway.folder.appending(path: "tokens"), &secrets)
                let file = gateway.folder.appending(path: "token")
                try Data("\(good)\n".utf8).write(to: file)
                while try gateway.run("ping", "--count", "1", "--token-file", file.path).code != 0 {}

                try theOwnersRequests(gateway, file, secrets)
                try wrongTokens(gateway, good, secrets)
                secrets.expectSilence(try Binary.run(["token", "list", "--config", config]))
                secrets.expectSilence(try Binary.run(["token", "list", "--config", config, "--json"]))
                secrets.expectSilence(try Binary.run(["check", "--config", config]))
                secrets.expectSilence(try Binary.run(["doctor", "--config", config, "--json"]))

                try Data(revoked.utf8).write(to: file)
                secrets.expectSilence(try Binary.run(["token", "revoke", "--config", config, "@\(file.path)"]))
                while try gateway.run("ping", "--count", "1", "--token-file", file.path).code == 0 {}
                secrets.expectSilence(try gateway.run("collections", "--token-file", file.path))
                try Data("half a line \(revoked)\n".utf8).write(to: gateway.folder.appending(path: "tokens"))
                secrets.expectSilence(try Binary.run(["token", "list", "--config", config]))
                while !gateway.log.contains("line 1") { _ = try gateway.run("ping", "--count", "1") }
                for secret in secrets.texts { #expect(!gateway.log.contains(secret)) }
            }
        }

        private func theOwnersRequests(_ gateway: RealGateway, _ file: URL, _ secrets: Secrets) throws {
            let query = ["search", "--collection", "shelf", "--id", "1", "--token-file", file.path]
            for more in [
                [], ["--json"], ["--filter", "section = 'net'", "--json"], ["--filter", "colour = 'x'"],
                ["--deadline", "0ms"], ["--columns", "colour"],
            ] {
                secrets.expectSilence(try Binary.run(query + more + ["--gateway", gateway.address]))
            }
            for words in [
                ["search", "--collection", "libraries", "--vector", "[1,2,3]"], ["collections", "--json"],
                ["get", "--collection", "shelf", "--id", "1"],
                ["delete", "--collection", "shelf", "--id", "1", "--json"],
            ] {
                let outcome = try Binary.run(
                    words + ["--token-file", file.path, "--gateway", gateway.address])
                #expect((outcome.code == 0) == (words[0] == "collections"), "\(words): \(outcome.errors)")
                secrets.expectSilence(outcome)
            }
        }

        /// A secret that is wrong, too long or in the wrong place is a secret still.
        private func wrongTokens(_ gateway: RealGateway, _ token: String, _ secrets: Secrets) throws {
            let file = gateway.folder.appending(path: "wrong")
            for text in ["\(token)0", "x\(token)", String(token.reversed()), "\(token)\n\(token)", ""] {
                try Data(text.utf8).write(to: file)
                let outcome = try gateway.run("ping", "--count", "1", "--token-file", file.path)
                secrets.expectSilence(outcome)
            }
            let asVariable = try Binary.run(
                ["ping", "--count", "1", "--gateway", gateway.address], environment: ["SLUICE_TOKEN": "\(token)1"])
            #expect(asVariable.code != 0)
            secrets.expectSilence(asVariable)
        }
    }
}
