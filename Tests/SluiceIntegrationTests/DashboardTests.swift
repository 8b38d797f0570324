import Foundation
import Glibc
import SluiceAdmin
import SluiceClient
import Testing

extension PostgreSQL {
    /// The page at `/` in a real browser, of a gateway with real replicas and traffic.
    @Suite(
        .serialized,
        .enabled(
            if: Chromium.program != nil || ProcessInfo.processInfo.environment["CI"] != nil,
            "the page is looked at with `chromium`, of Debian's package chromium; in CI it has to be there"))
    struct DashboardTests {
        /// A gateway, a client, and a browser that shows the gateway's page.
        private struct Stage {
            var replicas: Replicas
            var gateway: RealGateway
            var client: SluiceClient
            var browser: Chromium
            /// Of the page.
            var origin: String
            var queries: [SearchQuery]

            /// Searches without pause, meanwhile.
            func underLoad(_ body: () async throws -> Void) async throws -> SteadyLoad.Tally {
                try await SteadyLoad.run(client, queries, tasks: 1) { _ in try await body() }
            }

            /// More at once than there are connections, so that they take long.
            func crowd() async throws {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<64 {
                        group.addTask { [client, query = queries[number % queries.count]] in
                            _ = try await client.search(query)
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }

        private func withStage(_ body: (Stage) async throws -> Void) async throws {
            let replicas = try Replicas()
            let more = "pool: {max_size: 4}\nlog: {slow_search: 10ms}"
            try await withRealGateway(replicas.text(extra: more), hasAdmin: true) { gateway in
                let client = try await SluiceClient.connect(gateway.address)
                let queries = try Samples().queries.map {
                    SearchQuery(collections: ["programs", "libraries"], vector: $0, k: 10, deadline: .seconds(5))
                }
                let origin = try "http://127.0.0.1:\(#require(gateway.admin).port)/"
                try await Chromium.with { browser in
                    try await browser.visit(origin)
                    try await browser.wait(until: "document.body?.dataset.connection === 'live'")
                    try await body(
                        Stage(
                            replicas: replicas, gateway: gateway, client: client, browser: browser, origin: origin,
                            queries: queries))
                }
                await client.close()
            }
        }

        private struct Replica: Decodable, Equatable {
            var shard: String
            var name: String
            var role: String
            var condition: String
            var breaker: String
        }

        private struct Picture: Decodable {
            var collections: [String]
            var shards: [String]
            var replicas: [Replica]
            var words: [String]
            var pools: Int
            var links: Int
        }

        private static let picture = """
            (() => {
              const all = (selector, read) => [...document.querySelectorAll('#topology ' + selector)].map(read);
              return {
                collections: all('.collection', (each) => each.dataset.collection),
                shards: all('.shard', (each) => each.dataset.shard),
                replicas: all('.replica', ({dataset}) => ({shard: dataset.shard, name: dataset.replica,
                  role: dataset.role, condition: dataset.condition, breaker: dataset.breaker})),
                words: all('.replica', (each) => [...each.querySelectorAll('text')].map((text) => text.textContent)
                  .join(' ')),
                pools: all('.replica .pool rect.idle, .replica .pool rect.leased', (each) => each).length,
                links: all('path.rule', (each) => each).length,
              };
            })()
            """

        private static func number(_ name: String) -> String {
            "document.querySelector('[data-name=\"\(name)\"] dd').textContent"
        }

        @Test(.timeLimit(.minutes(2))) func thePageShowsTheTopologyAndTheTraffic() async throws {
            try await withStage { stage in
                let browser = stage.browser
                let tally = try await stage.underLoad {
                    try await stage.crowd()
                    try await browser.wait(until: "Number(\(Self.number("requests/s"))) > 0")
                    let rate: String = try await browser.value(Self.number("requests/s"))
                    try await browser.wait(until: "\(Self.number("requests/s")) !== '\(rate)'")
                    for chart in ["throughput", "coverage"] {
                        try await browser.wait(
                            until: "document.querySelectorAll('#\(chart) rect.leased').length > 1")
                    }
                    try await browser.wait(until: "document.querySelectorAll('#latency .cell').length > 1")
                    try await browser.wait(until: "document.querySelectorAll('#queue rect').length > 0")
                    try await browser.wait(until: "\(Self.number("whole answers, 10 s")) === '100 %'")
                    try await browser.wait(
                        until: "[...document.querySelectorAll('.collection')].every("
                            + "(each) => /[0-9]\\/s, none partial/.test(each.textContent))")
                    try await lookAtTheTopology(stage)
                    try await lookAtASlowSearch(stage)
                }
                #expect(tally.failed == 0 && tally.wrong == 0, "\(tally)")
                try await browser.keepPicture("page")
                #expect(browser.complaints == [])
                #expect(browser.requests.contains("\(stage.origin)api/v1/live"))
                #expect(browser.requests.filter { !$0.hasPrefix(stage.origin) && !$0.hasPrefix("data:") } == [])
            }
        }

        private func lookAtTheTopology(_ stage: Stage) async throws {
            let shown: Picture = try await stage.browser.value(Self.picture)
            let expected = try stage.replicas.topology.shards.flatMap { shard in
                try shard.replicas.map { replica in
                    let isStandby = try stage.replicas.query(replica.name, "select pg_is_in_recovery()") == "t"
                    return Replica(
                        shard: shard.name, name: replica.name, role: isStandby ? "standby" : "primary",
                        condition: "good", breaker: "closed")
                }
            }
            #expect(shown.collections == ["programs", "libraries"])
            #expect(shown.shards == stage.replicas.topology.shards.map(\.name))
            #expect(shown.replicas == expected)
            #expect(shown.pools >= expected.count)
            #expect(shown.links == expected.count + shown.collections.count * shown.shards.count)
            for (replica, words) in zip(expected, shown.words) {
                #expect(words.contains(replica.name) && words.contains("serving"), "\(words)")
                #expect(words.contains(replica.role) && words.contains("breaker closed"), "\(words)")
                #expect(words.contains("lag ") == (replica.role == "standby"), "\(words)")
                #expect(words.contains("of 4 leased"), "\(words)")
            }
        }

        private func lookAtASlowSearch(_ stage: Stage) async throws {
            struct Shown: Decodable {
                var summary: String
                var legs: [String]
                /// How wide each part of each leg is, of 100.
                var bars: [[Double]]
            }
            // One that waited for connections.
            let slow = "[...document.querySelectorAll('#slow details')].find((each) => each.querySelector('.wait'))"
            try await stage.browser.wait(until: slow)
            let shown: Shown = try await stage.browser.value(
                """
                (() => {
                  const search = \(slow);
                  for (const each of document.querySelectorAll('#slow details')) each.open = each === search;
                  search.parentElement.scrollTop = search.offsetTop - search.parentElement.offsetTop;
                  return {
                    summary: search.querySelector('summary').textContent,
                    legs: [...search.querySelectorAll('.leg')].map((leg) => leg.textContent),
                    bars: [...search.querySelectorAll('.leg + .track')].map((track) =>
                      [...track.children].map((bar) => 100 * bar.offsetWidth / track.offsetWidth)),
                  };
                })()
                """)
            #expect(shown.summary.contains("programs and libraries, k 10: 100 % covered"), "\(shown)")
            #expect(shown.legs.count == 2 * stage.replicas.topology.shards.count, "\(shown)")
            #expect(shown.legs.allSatisfy { $0.contains(": ok, ") }, "\(shown)")
            #expect(shown.bars.count == shown.legs.count, "\(shown)")
            #expect(shown.bars.allSatisfy { !$0.isEmpty && $0.reduce(0, +) < 105 }, "\(shown)")
            #expect(shown.bars.contains { $0.reduce(0, +) > 20 }, "\(shown)")
        }

        @Test(.timeLimit(.minutes(2))) func aKilledReplicaIsShownAndItsReturn() async throws {
            let victim = Fault.victim
            let box = "document.querySelector('.replica[data-replica=\"\(victim)\"]')"
            try await withStage { stage in
                let browser = stage.browser
                let tally = try await stage.underLoad {
                    try await browser.wait(until: "\(box).dataset.condition === 'good'")
                    defer { _ = try? stage.replicas.script("start", victim) }
                    try stage.replicas.script("kill", victim)
                    try await browser.wait(until: "\(box).dataset.condition === 'bad'")
                    try await browser.wait(until: "\(box).textContent.includes('cannot be reached')")
                    try await browser.wait(until: Self.event("cannot be reached", victim))
                    let others: [String] = try await browser.value(
                        "[...document.querySelectorAll('.replica')].filter((each) => each !== \(box))"
                            + ".map((each) => each.dataset.condition)")
                    #expect(Set(others) == ["good"])
                    #expect(try await browser.value("document.getElementById('readiness').textContent") == "ready")
                    try await browser.keepPicture("killed-replica")
                    try stage.replicas.script("start", victim)
                    try await browser.wait(until: "\(box).dataset.condition === 'good'", atMost: .seconds(30))
                    try await browser.wait(until: "\(box).textContent.includes('serving')")
                    try await browser.wait(until: Self.event("can be reached again", victim))
                }
                #expect(tally.answered > 0 && tally.wrong == 0, "\(tally)")
                #expect(browser.complaints == [])
            }
        }

        @Test(.timeLimit(.minutes(2))) func aGatewayThatIsSilentOrGoneIsShown() async throws {
            struct Shown: Decodable {
                var words: String
                var title: String
                var opacity: String
                var isOfNow: Bool
            }
            let shown = """
                (() => {
                  const words = document.getElementById('connection').textContent;
                  const times = [...Array(20).keys()].map((ago) => new Date(Date.now() - ago * 1000));
                  return {
                    words, title: document.title, opacity: getComputedStyle(document.querySelector('main')).opacity,
                    isOfNow: times.some((each) => words.includes(' since ' + each.toLocaleTimeString() + ',')),
                  };
                })()
                """
            try await withStage { stage in
                let browser = stage.browser
                try await stage.crowd()
                try await browser.wait(until: "document.querySelector('#throughput rect')")
                do {
                    kill(stage.gateway.pid, SIGSTOP)
                    defer { kill(stage.gateway.pid, SIGCONT) }
                    try await browser.wait(until: "document.body.dataset.connection === 'lost'")
                    let silent: Shown = try await browser.value(shown)
                    #expect(silent.words.hasPrefix("disconnected since ") && silent.isOfNow, "\(silent)")
                    #expect(silent.title == "Sluice (disconnected)")
                    #expect(Double(silent.opacity).map { $0 < 0.8 } == true, "\(silent)")
                }
                try await browser.wait(until: "document.body.dataset.connection === 'live'")
                let back: Shown = try await browser.value(shown)
                #expect(back.words == "live" && back.title == "Sluice" && back.opacity == "1", "\(back)")
                #expect(await stage.gateway.stop() == 0)
                try await browser.wait(until: "document.body.dataset.connection === 'lost'")
                let gone: Shown = try await browser.value(shown)
                #expect(gone.words.hasPrefix("disconnected since ") && gone.isOfNow, "\(gone)")
                #expect(Double(gone.opacity).map { $0 < 0.8 } == true, "\(gone)")
                try await browser.keepPicture("disconnected")
            }
        }

        @Test(.timeLimit(.minutes(2))) func itCanBeReadInBothColourSchemesAndReachedWithTheKeyboard() async throws {
            try await withStage { stage in
                try await reachAllReplicas(stage)
                try await readInBothColourSchemes(stage)
            }
        }

        private func readInBothColourSchemes(_ stage: Stage) async throws {
            struct Text: Decodable {
                var words: String
                var contrast: Double
            }
            struct Look: Decodable {
                var ground: String
                var ink: String
                var panel: String
                var texts: [Text]
                /// What is wider than the window, which would have to be scrolled sideways.
                var excess: Int
            }
            let browser = stage.browser
            try await stage.crowd()
            try await browser.wait(until: "document.querySelector('#slow .leg')")
            var looks: [Look] = []
            for colours in ["light", "dark"] {
                try await browser.prefer(colours: colours)
                let look: Look = try await browser.value(Self.look)
                #expect(look.texts.count > 60)
                let faint = look.texts.filter { $0.contrast < 4.5 }
                #expect(faint.isEmpty, "\(colours): \(faint)")
                #expect(look.excess <= 0)
                looks.append(look)
                try await browser.keepPicture(colours)
            }
            #expect(Set(looks.map(\.ground)).count == 2 && Set(looks.map(\.ink)).count == 2)
            #expect(Set(looks.map(\.panel)).count == 2)
        }

        /// Each text with its contrast to what is behind it, as WCAG 2 reckons it.
        private static let look = """
            (() => {
              const numbers = (colour) => colour.match(/[0-9.]+/g).map(Number);
              const light = (colour) => numbers(colour).slice(0, 3).map((value) => value / 255)
                .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
                .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
              const behind = (element) => {
                const colour = getComputedStyle(element).backgroundColor;
                const alpha = numbers(colour)[3];
                return alpha === undefined || alpha === 1 ? colour : behind(element.parentElement);
              };
              const selector = 'h1, h2, header p, dt, dd, .legend, summary, time, .legs > span, li, svg text, .none';
              const texts = [...document.querySelectorAll(selector)]
                .filter((each) => each.textContent.trim() !== '' && each.getClientRects().length > 0)
                .map((each) => {
                  const style = getComputedStyle(each);
                  const ink = light(each instanceof SVGElement ? style.fill : style.color);
                  const ground = light(behind(each));
                  return {words: each.textContent.trim(),
                    contrast: (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05)};
                });
              return {
                texts, ground: getComputedStyle(document.body).backgroundColor,
                ink: getComputedStyle(document.body).color,
                panel: getComputedStyle(document.querySelector('section')).backgroundColor,
                excess: document.documentElement.scrollWidth - document.documentElement.clientWidth,
              };
            })()
            """

        private func reachAllReplicas(_ stage: Stage) async throws {
            struct Focus: Decodable {
                var replica: String
                var label: String
                var isMarked: Bool
                var isInView: Bool
            }
            let focus = """
                (() => {
                  const each = document.activeElement;
                  const {top, bottom} = each.getBoundingClientRect();
                  const width = (box) => parseFloat(getComputedStyle(box).strokeWidth);
                  const others = [...document.querySelectorAll('.replica .box')].filter((box) => !each.contains(box));
                  const box = each.querySelector('.box');
                  return {
                    replica: each.dataset.replica || '', label: each.getAttribute('aria-label') || '',
                    isMarked: each.matches(':focus-visible') && box !== null
                      && others.every((other) => width(other) < width(box)),
                    isInView: top >= 0 && bottom <= innerHeight,
                  };
                })()
                """
            let browser = stage.browser
            let names = stage.replicas.topology.shards.flatMap(\.replicas).map(\.name)
            try await browser.wait(until: "document.querySelectorAll('.replica').length === \(names.count)")
            for name in names {
                try await browser.press("Tab", code: 9)
                let reached: Focus = try await browser.value(focus)
                #expect(reached.replica == name && reached.isMarked && reached.isInView, "\(reached)")
                #expect(reached.label.hasPrefix("\(name) of ") && reached.label.contains("breaker"), "\(reached)")
                let more: String = try await browser.value("document.getElementById('chosen').textContent")
                #expect(more.hasPrefix("\(name): PostgreSQL ") && more.contains(" dials"), "\(more)")
            }
            // It stays where it is when the page is drawn anew.
            let about: String = try await browser.value("document.getElementById('about').textContent")
            try await browser.wait(until: "document.getElementById('about').textContent !== '\(about)'")
            let still: Focus = try await browser.value(focus)
            #expect(still.replica == names.last && still.isMarked, "\(still)")
        }

        private static func event(_ text: String, _ replica: String) -> String {
            "[...document.querySelectorAll('#events li[data-replica=\"\(replica)\"]')]"
                + ".some((each) => each.textContent.endsWith('/\(replica): \(text)'))"
        }
    }
}
