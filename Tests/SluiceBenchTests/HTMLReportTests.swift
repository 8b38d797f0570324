import Foundation
import FoundationXML
import SluiceBench
import Testing

private typealias Measurement = SluiceBench.Measurement

@Suite struct HTMLReportTests {
    private static let fault = Measurement.Fault(kind: "stop", replica: "s0-b", from: 1, until: 2)

    private static var whole: Measurement {
        Sample.measurement(
            [500.0, 1_000, 1_500].flatMap { rate in
                (0..<3).map { turn in
                    Sample.run(
                        rate: rate, throughput: min(rate, 1_234) - Double(turn), p50: Int(rate) + turn,
                        errors: ["busy": turn], faults: [fault])
                }
            }, knee: .init(rate: 1_000, reason: "p99 was over 50 ms"),
            recall: [
                .init(efSearch: 20, recall: 0.913, leastRecall: 0.6, throughput: 2_222, p50: 450, p99: 900),
                .init(efSearch: 80, recall: 0.9871, leastRecall: 0.8, throughput: 1_111, p50: 900, p99: 1_800),
            ])
    }

    @Test func aPageIsWellFormedAndHasEverySection() throws {
        let page = try Page(HTMLReport.page(of: Self.whole))
        #expect(
            page.headings == [
                "In short", "Loads", "Latency by percentile", "Requests over time", "Latency over time",
                "Rate asked for, and answered", "Latency by rate", "Recall against throughput", "Legs by shard",
                "Kinds of request", "Faults", "Machine", "Versions", "Asked for", "Command",
            ])
    }

    @Test func everyPictureHasATitleAndADescriptionOfItsOwn() throws {
        let page = try Page(HTMLReport.page(of: Self.whole))
        #expect(page.pictures.count == 8)
        for label in page.pictures {
            let ids = label.split(separator: " ").map(String.init)
            #expect(ids.count == 2)
            for id in ids { #expect(page.ids.filter { $0 == id }.count == 1) }
        }
        #expect(Set(page.ids).count == page.ids.count)
    }

    @Test func thePageRunsNothingAndAsksForNothing() throws {
        let text = HTMLReport.page(of: Self.whole)
        let page = try Page(text)
        #expect(page.elements["script"] == nil)
        #expect(text.contains("default-src 'none'") || text.contains("default-src &#39;none&#39;"))
        let outside = page.links.filter { $0 != "data:," }
        #expect(outside == [])
        #expect(!text.contains("url(") && !text.contains("@import"))
    }

    @Test func theNumbersOfEachFigureAreThere() throws {
        let page = try Page(HTMLReport.page(of: Self.whole))
        for number in ["1,232/s", "1 ms", "0.913", "0.9871", "2,222/s", "1,111/s", "p99 was over 50 ms", "stop s0-b"] {
            #expect(page.text.contains(number), "\(number) is missing")
        }
        // The median over the repeats of the second with two failures, and of the legs at the knee.
        #expect(page.text.contains("1,000") && page.text.contains("701 µs"))
        #expect(page.text.contains("knee, 1,000/s"))
    }

    @Test func whatIsNamedBadlyStaysText() throws {
        let bad = "<script>alert(1)</script>\"'&\u{1B}[31m\u{0}\u{FFFE}\u{202E}</style>]]>"
        var run = Sample.run(target: bad, errors: [bad: 1])
        run.kinds = [bad: Sample.latency(500)]
        run.legs[0].shard = bad
        run.faults = [.init(kind: bad, replica: bad, from: 0, until: 1)]
        let measurement = Sample.measurement([run, run], command: ["sluice", bad], settings: [bad: bad])
        let text = HTMLReport.page(of: measurement)
        let page = try Page(text)
        #expect(page.elements["script"] == nil)
        #expect(page.elements["style"] == 1)
        #expect(page.text.contains("<script>alert(1)</script>\"'&\u{FFFD}[31m\u{FFFD}\u{FFFD}\u{FFFD}</style>]]>"))
    }

    @Test func withoutRunsThereIsAPageThatSaysSo() throws {
        let page = try Page(HTMLReport.page(of: Sample.measurement([])))
        #expect(page.text.contains("there is no run"))
        #expect(page.headings == ["In short", "Machine", "Versions", "Asked for", "Command"])
    }

    @Test func aRunWithoutAnAnswerHasNoLatency() throws {
        var run = Sample.run(throughput: 0, errors: ["unavailable": 7])
        run.answered = 0
        run.latency = .init(count: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, p9999: 0, max: 0, curve: [])
        (run.kinds, run.legs, run.timeline) = (["search": run.latency], [], [])
        let page = try Page(HTMLReport.page(of: Sample.measurement([run])))
        #expect(page.headings == ["In short", "Machine", "Versions", "Asked for", "Command"])
        #expect(page.text.contains("100 %"))
    }

    @Test func oneRunHasNoRangeAndNoTableOfLoads() throws {
        let text = HTMLReport.page(of: Sample.measurement([Sample.run()]))
        #expect(try !Page(text).headings.contains("Loads"))
        #expect(!text.contains("class=\"band"))
        #expect(HTMLReport.page(of: Sample.measurement([Sample.run(), Sample.run(p50: 600)])).contains("class=\"band"))
    }

    @Test func numbersOfAnySizeAreDrawnOrLeftOut() throws {
        var run = Sample.run(rate: 1e300)
        run.throughput = .infinity
        run.latency.p99 = .max
        run.latency.curve.append(.init(percentile: .nan, microseconds: .max))
        run.latency.curve.append(.init(percentile: 1e9, microseconds: .min))
        run.legs[0].waiting = .nan
        run.legs[0].executing = 1e308
        run.legs[0].attempts = .max
        run.timeline = [
            .init(second: .max, answered: .max, failed: .min, p50: .max, p99: .min),
            .init(second: 0, answered: .max, failed: .max, p50: .max, p99: .max),
            .init(second: 9_999_999, answered: 1, failed: 0, p50: 1, p99: 1),
        ]
        run.faults = [.init(kind: "slow", replica: "r", from: -.infinity, until: .nan)]
        var other = Sample.run(rate: -5)
        other.throughput = -1e308
        let point = Measurement.RecallPoint(
            efSearch: .max, recall: 1e300, leastRecall: .nan, throughput: 0, p50: .max, p99: .min)
        let measurement = Sample.measurement(
            [run, run, other], knee: .init(rate: .infinity, reason: ""), recall: [point, point])
        let page = try Page(HTMLReport.page(of: measurement))
        #expect(page.headings.contains("Latency by percentile"))
        #expect(page.paths.allSatisfy { !$0.contains("nan") && !$0.contains("inf") && !$0.contains("e+") })
    }

    @Test func aSweepOfManyRatesDrawsAFewAndSaysSo() throws {
        let runs = (1...20).map { Sample.run(rate: Double($0) * 100, throughput: Double($0) * 100) }
        let page = try Page(
            HTMLReport.page(of: Sample.measurement(runs, knee: .init(rate: 1_350, reason: "late"))))
        #expect(page.text.contains("6 of the 20 loads are drawn"))
        // The knee's own rate is what is looked into: the last that is not above it.
        #expect(page.text.contains("Of gateway, 1,300/s"))
    }
}

/// What a test asks of a page: read as XML, which is stricter than a browser.
private final class Page: NSObject, XMLParserDelegate {
    private(set) var elements: [String: Int] = [:]
    private(set) var headings: [String] = []
    private(set) var pictures: [String] = []
    private(set) var ids: [String] = []
    private(set) var links: [String] = []
    private(set) var paths: [String] = []
    private(set) var text = ""
    private var heading: String?

    init(_ source: String) throws {
        super.init()
        let parser = XMLParser(data: Data(source.utf8))
        parser.delegate = self
        guard parser.parse() else { throw parser.parserError ?? CocoaError(.propertyListReadCorrupt) }
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        elements[name, default: 0] += 1
        if name == "h2" { heading = "" }
        if name == "svg", let label = attributes["aria-labelledby"] { pictures.append(label) }
        if let id = attributes["id"] { ids.append(id) }
        if let path = attributes["d"] { paths.append(path) }
        links += ["href", "src"].compactMap { attributes[$0] }
    }

    func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
        if name == "h2", let ended = heading {
            headings.append(ended)
            heading = nil
        }
    }

    func parser(_ parser: XMLParser, foundCharacters characters: String) {
        text += characters
        if heading != nil { heading?.append(characters) }
    }
}
