import Foundation
import SluiceClient
import Synchronization
import Testing

/// A client that does as it should, beside one that does not.
struct GoodClient {
    struct Report: Sendable {
        var answers = 0
        var worst: Duration = .zero
    }

    /// Asks for searches and pings, one after another, until the attack is over and it has asked often enough. Each
    /// must be answered, and within a second.
    static func works(
        beside gateway: RealGateway, atLeast least: Int = 50, sourceLocation: SourceLocation = #_sourceLocation,
        _ attack: () async throws -> Void
    ) async throws {
        let port = try #require(gateway.port)
        let client = try await SluiceClient.connect("sluice://127.0.0.1:\(port)")
        // The first one pays for connections and caches.
        _ = try await client.search(query)
        let isOver = Atomic<Bool>(false)
        let work = Task { try await ask(client, atLeast: least) { isOver.load(ordering: .relaxed) } }
        do {
            try await attack()
        } catch {
            work.cancel()
            throw error
        }
        isOver.store(true, ordering: .relaxed)
        let report = try await work.value
        await client.close()
        #expect(report.answers >= least, sourceLocation: sourceLocation)
        #expect(report.worst < .seconds(1), "of \(report.answers) answers", sourceLocation: sourceLocation)
    }

    private static let query = SearchQuery(collections: ["programs"], vector: Slow.vector, k: 3)

    /// One that is told to try again does so; the time counts from the first try.
    private static func search(_ client: SluiceClient, until limit: ContinuousClock.Instant) async throws {
        while true {
            do throws(SluiceError) {
                _ = try await client.search(query)
                return
            } catch {
                guard error.code == .busy, ContinuousClock.now < limit else { throw error }
            }
        }
    }

    private static func ask(
        _ client: SluiceClient, atLeast least: Int, until isOver: () -> Bool
    ) async throws -> Report {
        var report = Report()
        let clock = ContinuousClock()
        while report.answers < least || !isOver() {
            let began = clock.now
            if report.answers.isMultiple(of: 2) {
                try await search(client, until: began + .seconds(1))
            } else {
                try await client.ping()
            }
            report.answers += 1
            report.worst = max(report.worst, began.duration(to: clock.now))
        }
        return report
    }
}

extension RealGateway {
    /// The process's resident memory, in bytes.
    func residentBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(pid)/statm", encoding: .utf8)
        let pages = try #require(text.split(separator: " ").dropFirst().first.flatMap { Int($0) })
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }
}
