internal import Foundation

/// What is done to a local replica while a load runs.
package struct FaultPlan: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        /// SIGKILL; started again afterwards.
        case kill
        /// SIGSTOP; then it goes on.
        case stop
        /// Stopped and let go on again and again.
        case slow
    }

    /// A call of `scripts/replicas`.
    package struct Step: Sendable, Equatable {
        /// Since the measurement began.
        package var at: Duration
        package var command: String

        package init(at: Duration, command: String) {
            self.at = at
            self.command = command
        }
    }

    package var kind: Kind
    /// Of the measurement.
    package var from: Duration
    package var lasts: Duration

    /// How long a slow replica stands still, and then works, by turns.
    package static let turn: Duration = .milliseconds(300)

    package init(kind: Kind, from: Duration, lasts: Duration) {
        self.kind = kind
        self.from = from
        self.lasts = lasts
    }

    /// What makes the replica whole again, whatever was done to it so far.
    package var undoing: String { kind == .kill ? "start" : "cont" }

    /// What is done before that.
    package var steps: [Step] {
        switch kind {
        case .kill: return [Step(at: from, command: "kill")]
        case .stop: return [Step(at: from, command: "stop")]
        case .slow:
            var steps: [Step] = []
            var at = from
            while at < from + lasts {
                steps.append(Step(at: at, command: steps.count.isMultiple(of: 2) ? "stop" : "cont"))
                at += Self.turn
            }
            return steps
        }
    }
}

/// Carries a fault out on a replica that `scripts/replicas` knows. However it ends, the replica is whole afterwards.
package struct FaultInjection: Sendable {
    package struct Problem: Error, CustomStringConvertible {
        package let description: String
    }

    package let plan: FaultPlan
    package let replica: String
    private let script: String
    private let complain: @Sendable (String) -> Void

    /// - Parameters:
    ///   - script: `scripts/replicas`, or what understands the same.
    ///   - complain: is told what went wrong while the load ran.
    package init(
        _ plan: FaultPlan, replica: String, script: String, complain: @escaping @Sendable (String) -> Void
    ) {
        self.plan = plan
        self.replica = replica
        self.script = script
        self.complain = complain
    }

    /// The replicas that run.
    package static func replicas(script: String) async throws -> [String] {
        struct Replica: Decodable {
            var name: String
            var state: String
        }
        let outcome = try await call(script, ["status", "--json"])
        guard let replicas = try? JSONDecoder().decode([Replica].self, from: outcome.output) else {
            throw Problem(description: "\(script) status --json: \(outcome.complaint)")
        }
        return replicas.filter { $0.state == "running" }.map(\.name)
    }

    func run(from start: ContinuousClock.Instant, until end: Interruption) async -> [Measurement.Fault] {
        var began: ContinuousClock.Instant?
        var isTouched = false
        for step in plan.steps {
            guard await end.sleep(until: start.advanced(by: step.at)) else { break }
            let now = ContinuousClock.now
            isTouched = true
            guard await act(step.command) else { break }
            began = began ?? now
        }
        guard isTouched else { return [] }
        guard let began else {
            // What failed may have been done in part.
            _ = await act(plan.undoing)
            return []
        }
        _ = await end.sleep(until: start.advanced(by: plan.from + plan.lasts))
        if await !act(plan.undoing) { _ = await act(plan.undoing) }
        return [
            Measurement.Fault(
                kind: plan.kind.rawValue, replica: replica, from: start.duration(to: began).inSeconds,
                until: start.duration(to: .now).inSeconds)
        ]
    }

    private func act(_ command: String) async -> Bool {
        do {
            let outcome = try await Self.call(script, [command, replica])
            if outcome.code != 0 { complain("\(script) \(command) \(replica): \(outcome.complaint)") }
            return outcome.code == 0
        } catch {
            complain("\(error)")
            return false
        }
    }

    private struct Outcome: Sendable {
        var code: Int32
        var output: Data
        var complaint: String
    }

    /// In a thread of its own, as it takes a while. Its output is little.
    private static func call(_ script: String, _ arguments: [String]) async throws -> Outcome {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                let process = Process()
                let (output, errors) = (Pipe(), Pipe())
                process.executableURL = URL(filePath: script)
                process.arguments = arguments
                process.standardInput = FileHandle.nullDevice
                process.standardOutput = output
                process.standardError = errors
                do { try process.run() } catch {
                    continuation.resume(throwing: Problem(description: "\(script) cannot be run"))
                    return
                }
                let printed = output.fileHandleForReading.readDataToEndOfFile()
                let complained = errors.fileHandleForReading.readDataToEndOfFile()
                process.waitUntilExit()
                let lines = String(decoding: complained, as: UTF8.self).split { $0.isNewline }
                continuation.resume(
                    returning: Outcome(
                        code: process.terminationStatus, output: printed,
                        complaint: lines.last.map(String.init) ?? "it ended with \(process.terminationStatus)"))
            }
        }
    }
}
