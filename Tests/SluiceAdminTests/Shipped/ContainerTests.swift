import Foundation
import Testing

/// The Containerfile, as far as it can be judged without building it.
@Suite struct ContainerTests {
    static let project = ShippedFilesTests.configs.deletingLastPathComponent()

    struct Instruction {
        var word: String
        var rest: String
        var words: [String] { rest.split(separator: " ").map(String.init) }
        /// Of the exec form, which is JSON.
        var list: [String]? { try? JSONDecoder().decode([String].self, from: Data(rest.utf8)) }
    }

    /// By stages, each with its FROM.
    static func stages() throws -> [[Instruction]] {
        let lines = try ShippedFilesTests.text("container/Containerfile").components(separatedBy: "\n")
            .filter { !$0.hasPrefix("#") && !$0.isEmpty }
        let logical = lines.joined(separator: "\n").replacing("\\\n", with: " ").components(separatedBy: "\n")
        let instructions = logical.map { line in
            let parts = line.split(separator: " ", maxSplits: 1).map(String.init)
            return Instruction(word: parts[0], rest: parts.count > 1 ? parts[1] : "")
        }
        return instructions.reduce(into: []) { stages, each in
            if each.word == "FROM" {
                stages.append([each])
            } else if !stages.isEmpty {
                stages[stages.count - 1].append(each)
            }
        }
    }

    @Test func whatIsCopiedIsThereAndNotIgnored() throws {
        let ignored = try String(contentsOf: Self.project.appending(path: ".dockerignore"), encoding: .utf8)
            .components(separatedBy: "\n")
        #expect(ignored.contains("*"), "what is not named does not come along")
        let copies = try Self.stages().joined().filter { $0.word == "COPY" && !$0.rest.hasPrefix("--from=") }
        let sources = copies.flatMap { $0.words.dropLast() }
        // Package.swift names targets in all of these; a folder that is missing fails the build.
        #expect(Set(sources).isSuperset(of: ["Package.swift", "Sources", "Tests", "Examples"]))
        for source in sources {
            #expect(FileManager.default.fileExists(atPath: Self.project.appending(path: source).path), "\(source)")
            #expect(ignored.contains("!\(source)"), "\(source)")
        }
    }

    @Test func theImageIsSmallAndRunsAsNobodyInParticular() throws {
        let stages = try Self.stages()
        #expect(stages.count == 2)
        let build = try #require(stages.first)
        #expect(build.first?.words.last == "build")
        #expect(build.contains { $0.word == "RUN" && $0.rest.contains("--product sluice --static-swift-stdlib") })
        let image = try #require(stages.last)
        #expect(image.first?.rest.hasSuffix("-slim") == true)
        let installs = image.filter { $0.word == "RUN" && $0.rest.contains("apt-get install") }.map(\.rest).joined()
        for library in ["libpq5", "libssl3", "liblz4-1", "--no-install-recommends", "rm -rf /var/lib/apt/lists"] {
            #expect(installs.contains(library), "\(library)")
        }
        #expect(!installs.contains("-dev"))
        // What comes after USER is done as that user; the number tells runAsNonRoot enough.
        let user = try #require(image.last { $0.word == "USER" }?.rest.split(separator: ":").first)
        #expect(try #require(UInt32(user)) > 0)
        let copies = image.filter { $0.word == "COPY" }
        #expect(copies.count == 1 && copies.first?.rest.hasPrefix("--from=build") == true)
        // The exec form: the gateway is the process that gets the signal.
        #expect(image.last { $0.word == "ENTRYPOINT" }?.list == ["/usr/bin/sluice"])
        #expect(image.last { $0.word == "CMD" }?.list?.prefix(2) == ["serve", "--config"])
        #expect(image.contains { $0.word == "HEALTHCHECK" })
    }

    /// One user in the image and in the pods that run it.
    @Test func theManifestsRunItAsTheSameUser() throws {
        let user = try #require(try Self.stages().last?.last { $0.word == "USER" }?.rest.split(separator: ":").first)
        for file in KubernetesTests.files {
            #expect(try KubernetesTests.Shipped(file).pod.securityContext.runAsUser == Int(user))
        }
    }
}
