import ArgumentParser
import Foundation
import SluiceClient
import SluiceTools
import UnixSignals

struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Load the gateway with searches or pings, in a closed loop or at a fixed rate, and report.")

    @OptionGroup var gateway: GatewayOption

    @Option(help: "How long to measure.")
    var seconds = 10.0

    @Option(help: "How long to run before measuring.")
    var warmup = 1.0

    @Option(help: "How many requests are in flight on each connection.")
    var concurrency = 16

    @Option(help: "How many connections.")
    var connections = 1

    @Option(help: "Requests a second, begun on time whatever has been answered, instead of a closed loop.")
    var rate: Double?

    @Option(help: "A collection to search; repeat it to search several at once.")
    var collection: [String] = []

    @Option(help: "A .npy file to draw the vectors from; else they are random unit vectors.")
    var vectorFile: String?

    @Option(name: [.customShort("k"), .customLong("k")], help: "How many neighbours.")
    var k = 10

    @Option(help: "How many vectors each request has (1 to 64).")
    var batch = 1

    @Option(help: "hnsw.ef_search for the searches.")
    var efSearch: Int?

    @Option(help: "How long each search may take, like 40ms.")
    var deadline: String?

    @Flag(inversion: .prefixedNo, help: "Let the gateway ask a second replica when the first is slow.")
    var hedges = true

    @Flag(help: "Send pings instead of searches.")
    var ping = false

    @Flag(help: "Print JSON (docs/cli.md describes it).")
    var json = false

    func validate() throws {
        guard ping || !collection.isEmpty else { throw ValidationError("give --collection, or --ping") }
        try Checks.search(k: k, efSearch: efSearch)
        guard (1...64).contains(batch) else { throw ValidationError("--batch must be from 1 to 64") }
        if let deadline, DurationText.parse(deadline) == nil {
            throw ValidationError("--deadline is a time like 40ms or 2s, not \"\(deadline)\"")
        }
        guard seconds > 0, seconds <= 86_400, warmup >= 0, warmup <= 3_600 else {
            throw ValidationError("--seconds must be above 0, --warmup at least 0")
        }
        guard (1...65_536).contains(concurrency), (1...4_096).contains(connections) else {
            throw ValidationError("--concurrency must be 1 to 65536, --connections 1 to 4096")
        }
        if let rate, !(0.1...1_000_000).contains(rate) { throw ValidationError("--rate must be 0.1 to 1000000") }
    }

    func run() async throws {
        try await withClient(gateway, connections: connections) { client in
            let vectors = ping ? [] : try await self.vectors(client)
            // Calls take the connections in turn: each is made before the clock runs.
            for _ in 0..<connections { try await client.ping() }
            let tally = Tally()
            let clock = ContinuousClock()
            let start = clock.now.advanced(by: .seconds(warmup))
            let end = start.advanced(by: .seconds(seconds))
            let load = Task {
                await withDiscardingTaskGroup { group in
                    if let rate {
                        await arrive(at: rate, from: start.advanced(by: .seconds(-warmup)), to: end) { turn in
                            group.addTask { await self.ask(client, vectors, turn, countedFrom: start, tally) }
                        }
                    } else {
                        for worker in 0..<(concurrency * connections) {
                            group.addTask { await self.work(client, vectors, worker, start: start, end: end, tally) }
                        }
                    }
                }
            }
            // Ctrl-C ends the measurement, not the command: what was measured so far is reported.
            let interrupt = Task {
                for await _ in await UnixSignalsSequence(trapping: .sigint) { load.cancel() }
            }
            await load.value
            interrupt.cancel()
            let measured = max(.microseconds(1), start.duration(to: clock.now))
            let report = tally.report(seconds: Double(Output.microseconds(measured)) / 1e6, of: self)
            if json { try Output.json(report) } else { report.show() }
            if report.searches == 0 { throw Exit.software }
        }
    }

    /// One request after another.
    private func work(
        _ client: SluiceClient, _ vectors: [[Float]], _ worker: Int, start: ContinuousClock.Instant,
        end: ContinuousClock.Instant, _ tally: Tally
    ) async {
        var local = Tally.Part()
        var turn = worker
        while ContinuousClock.now < end, !Task.isCancelled {
            await once(client, vectors, turn, began: .now, countedFrom: start, &local)
            turn += 1
            if local.count >= 1_024 { tally.add(&local) }
        }
        tally.add(&local)
    }

    /// One request, its latency counted from when it was due.
    private func ask(
        _ client: SluiceClient, _ vectors: [[Float]], _ arrival: Arrival, countedFrom start: ContinuousClock.Instant,
        _ tally: Tally
    ) async {
        var local = Tally.Part()
        await once(client, vectors, arrival.number, began: arrival.due, countedFrom: start, &local)
        tally.add(&local)
    }

    private func once(
        _ client: SluiceClient, _ vectors: [[Float]], _ turn: Int, began: ContinuousClock.Instant,
        countedFrom start: ContinuousClock.Instant, _ local: inout Tally.Part
    ) async {
        let patience = deadline.flatMap(DurationText.parse)
        do throws(SluiceError) {
            if ping {
                try await client.ping()
            } else {
                var query = SearchQuery(
                    collections: collection, vector: vectors[turn % vectors.count], k: k, deadline: patience,
                    efSearch: efSearch)
                query.allowHedges = hedges
                let legs = try await search(query, vectors, turn, with: client)
                if began >= start { local.note(legs) }
            }
            if began >= start { local.answered(after: began.duration(to: .now), deadline: patience) }
        } catch {
            if began >= start, !Task.isCancelled { local.failed(error.code, after: began.duration(to: .now)) }
            if error.code == .notConnected { try? await Task.sleep(for: .milliseconds(50)) }
        }
    }

    private func search(
        _ query: SearchQuery, _ vectors: [[Float]], _ turn: Int, with client: SluiceClient
    ) async throws(SluiceError) -> [LegReport] {
        guard batch > 1 else { return try await client.search(query).legs }
        let several = (0..<batch).map { SearchQuery.Vector.float(vectors[(turn + $0) % vectors.count]) }
        return try await client.searchBatch(several, query).first?.legs ?? []
    }

    private struct Arrival {
        var number: Int
        var due: ContinuousClock.Instant
    }

    /// Calls `begin` at even intervals; what the machine was too slow for is made up for at once.
    private func arrive(
        at rate: Double, from first: ContinuousClock.Instant, to end: ContinuousClock.Instant,
        _ begin: (Arrival) -> Void
    ) async {
        let pause = Duration.nanoseconds(Int64(1e9 / rate))
        var arrival = Arrival(number: 0, due: first)
        while arrival.due < end, !Task.isCancelled {
            if arrival.due > .now { try? await Task.sleep(until: arrival.due, tolerance: .zero, clock: .continuous) }
            begin(arrival)
            arrival = Arrival(number: arrival.number + 1, due: arrival.due.advanced(by: pause))
        }
    }

    private func vectors(_ client: SluiceClient) async throws -> [[Float]] {
        if let vectorFile {
            do {
                let file = try NumpyFile(path: vectorFile)
                let rows = (0..<min(file.rowCount, 10_000)).compactMap { file.row($0) }
                guard !rows.isEmpty else { throw NumpyFile.Problem("\(vectorFile): the array is empty") }
                return rows
            } catch {
                Output.complain("sluice: \(error)")
                throw Exit.data
            }
        }
        let known = try await client.collections()
        guard let description = known.first(where: { collection.contains($0.name) }) else {
            Output.complain("sluice: the gateway has none of the collections \(collection.joined(separator: ", "))")
            throw Exit.software
        }
        return (0..<1_000).map { _ in
            let raw = (0..<description.dimensions).map { _ in Float.random(in: -1...1) }
            let length = raw.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return raw.map { $0 / max(length, .leastNormalMagnitude) }
        }
    }
}
