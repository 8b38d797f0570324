import Foundation
import Testing

/// The documentation is about this code: what it shows compiles, and what it names is there.
@Suite struct DocumentationTests {
    private static let catalogue = "Sources/SluiceClient/SluiceClient.docc"

    static let articles =
        HouseTests.files(below: catalogue, ending: ".md") + HouseTests.files(below: "docs/guide", ending: ".md")

    /// Examples/Articles is built with everything else, so a block that is in it compiles.
    @Test(arguments: articles)
    func codeOfTheArticlesIsInAFileThatIsBuilt(article: HouseTests.File) {
        let examples = HouseTests.files(below: "Examples/Articles").flatMap(\.lines)
        for block in Self.blocks(of: article, in: "swift") {
            #expect(Self.contains(examples, block), "not in Examples/Articles: \(block.joined(separator: "\n"))")
        }
    }

    @Test func thereIsCodeToLookFor() {
        let examples = HouseTests.files(below: "Examples/Articles").flatMap(\.lines)
        #expect(Self.articles.flatMap { Self.blocks(of: $0, in: "swift") }.count > 15)
        #expect(!Self.contains(examples, ["let reply = try await client.research(query)"]))
    }

    private static func blocks(of file: HouseTests.File, in language: String) -> [[String]] {
        var blocks: [[String]] = []
        var block: [String]?
        for line in file.lines {
            if let open = block {
                if line == "```" { blocks.append(open) }
                block = line == "```" ? nil : open + [line]
            } else if line == "```\(language)" {
                block = []
            }
        }
        return blocks
    }

    /// Whether the lines have the block, all of it indented by as much.
    private static func contains(_ lines: [String], _ block: [String]) -> Bool {
        lines.indices.contains { start in
            guard lines.count - start >= block.count, let first = block.first, lines[start].hasSuffix(first) else {
                return false
            }
            let indent = String(lines[start].prefix { $0 == " " })
            return zip(lines[start...], block).allSatisfy { $0 == ($1.isEmpty ? "" : indent + $1) }
        }
    }

    // MARK: Names

    /// Like `pool.max_size`: every such name in the documents is one of the reference's, which is the code's.
    @Test(arguments: HouseTests.files(below: "docs", ending: ".md"))
    func keysOfTheConfigurationAreThere(document: HouseTests.File) throws {
        let reference = HouseTests.root.appending(path: "docs/configuration-reference.md")
        let keys = try String(contentsOf: reference, encoding: .utf8).matches(of: /\n\| `([^`]+)` \|/)
            .map { String($0.output.1) }
        let sections = Set(keys.map { $0.prefix { $0 != "." && $0 != "[" } })
        for name in document.lines.flatMap({ $0.matches(of: /`([a-z]+(?:\[\])?\.[a-z_.\[\]]+)`/) }).map(\.output.1)
        where sections.contains(name.prefix { $0 != "." && $0 != "[" }) {
            #expect(
                keys.contains { key in
                    key == name || key.hasPrefix("\(name).") || key.hasPrefix("\(name)[") || name.hasPrefix("\(key).")
                }, "\(document.path): there is no key \(name)")
        }
    }

    @Test(arguments: HouseTests.files(below: "docs/guide", ending: ".md"))
    func metricsOfTheGuideAreThere(document: HouseTests.File) {
        let code = HouseTests.files(below: "Sources").flatMap(\.lines).filter { $0.contains("\"sluice_") }
        for match in document.lines.flatMap({ $0.matches(of: /sluice_[a-z_]+/) }) {
            let name = ["_total", "_count", "_sum", "_bucket"].reduce(String(match.output)) { name, ending in
                name.hasSuffix(ending) ? String(name.dropLast(ending.count)) : name
            }
            #expect(code.contains { $0.contains("\"\(name)\"") }, "\(document.path): there is no metric \(name)")
        }
    }

    // MARK: Links

    static let documents =
        ["docs", "proto-spec", "bench"].flatMap { HouseTests.files(below: $0, ending: ".md") } + atTheTop

    private static var atTheTop: [HouseTests.File] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: HouseTests.root.path)) ?? []
        return names.filter { $0.hasSuffix(".md") }.sorted().compactMap { name in
            guard let text = try? String(contentsOf: HouseTests.root.appending(path: name), encoding: .utf8) else {
                return nil
            }
            return HouseTests.File(path: name, lines: text.components(separatedBy: "\n"))
        }
    }

    @Test(arguments: documents)
    func linksLeadToFilesAndHeadingsThatAreThere(document: HouseTests.File) throws {
        let folder = HouseTests.root.appending(path: document.path).deletingLastPathComponent()
        for link in document.lines.flatMap(Self.links) where !link.contains("://") && !link.hasPrefix("mailto:") {
            let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let target =
                parts[0].isEmpty
                ? HouseTests.root.appending(path: document.path) : folder.appending(path: parts[0])
            guard FileManager.default.fileExists(atPath: target.path) else {
                Issue.record("\(document.path): \(link) leads nowhere")
                continue
            }
            guard parts.count == 2 else { continue }
            let text = try String(contentsOf: target, encoding: .utf8)
            let anchors = text.components(separatedBy: "\n").filter { $0.hasPrefix("#") }.map(Self.anchor)
            #expect(anchors.contains(parts[1]), "\(document.path): \(link) names no heading")
        }
    }

    private static func links(of line: String) -> [String] {
        line.matches(of: /\]\(([^)\s]+)\)/).map { String($0.output.1) }
    }

    /// As GitHub makes one of a heading.
    private static func anchor(of heading: String) -> String {
        let text = heading.drop { $0 == "#" }.trimmingCharacters(in: .whitespaces).lowercased()
        return String(text.filter { $0.isLetter || $0.isNumber || "-_ ".contains($0) }).replacing(" ", with: "-")
    }
}
