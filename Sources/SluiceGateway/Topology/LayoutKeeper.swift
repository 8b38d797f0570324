package import SluiceCore
package import SluiceEngine
internal import Synchronization

/// What the databases have said of the collections that are being moved: which of their two layouts is served.
package final class LayoutKeeper: Sendable {
    /// What there is to complain of in a collection has begun, or is something else.
    package struct Complaint: Hashable, Sendable {
        package var collection: String
        /// Nil if it has ended.
        package var text: String?
    }

    private struct State {
        var choices: [String: LayoutChoice] = [:]
        var complaints: [String: String] = [:]
        /// How often, one time after another, no server has answered.
        var silences: [String: Int] = [:]
    }

    /// From so many on it is said.
    package static let mostSilences = 5

    private let state = Mutex(State())

    package init() {}

    /// By the collection's name.
    package var choices: [String: LayoutChoice] { state.withLock(\.choices) }

    /// Why it is not known, or not clear, which layout is the true one; by the collection's name.
    package var complaints: [String: String] { state.withLock(\.complaints) }

    /// What would be served by a configuration until the databases are asked: what is served already, if that is one
    /// of the two layouts; else none.
    /// - Parameter served: the configuration in force; nil at the start.
    package func prospect(of config: GatewayConfig, after served: GatewayConfig?) -> [String: LayoutChoice] {
        let before = Dictionary((served?.collections ?? []).map { ($0.name, $0) }) { first, _ in first }
        let choices = choices
        return config.collections.reduce(into: [:]) { prospect, collection in
            guard let next = collection.next else { return }
            let earlier = before[collection.name]
            if let choice = choices[collection.name], choice.epoch == collection.epoch, earlier?.next == next,
                earlier?.layout == collection.layout
            {
                prospect[collection.name] = choice
                return
            }
            var serving = LayoutChoice.Serving.unknown
            if let earlier, earlier.serving != .unknown {
                let layout = earlier.asServed.layout
                serving = layout == next ? .next : layout == collection.layout ? .current : .unknown
            }
            prospect[collection.name] = LayoutChoice(epoch: collection.epoch, serving: serving)
        }
    }

    /// Keeps these instead of what was.
    package func adopt(_ choices: [String: LayoutChoice]) {
        state.withLock { state in
            state.choices = choices
            state.complaints = state.complaints.filter { choices[$0.key] != nil }
            state.silences = state.silences.filter { choices[$0.key] != nil }
        }
    }

    /// The shards of both layouts of a configuration's collections that are being moved.
    package static func shards(of config: GatewayConfig) -> Set<String> {
        config.collections.reduce(into: []) { shards, collection in
            if let next = collection.next { shards.formUnion(collection.shards + next.shards) }
        }
    }

    /// - Parameter reports: of the servers that were asked, at the same time.
    /// - Returns: what is to be said, once.
    package func heard(_ reports: [LayoutReport], of config: GatewayConfig) -> [Complaint] {
        state.withLock { state in
            config.collections.compactMap { collection -> Complaint? in
                let name = collection.name
                guard let next = collection.next, let known = state.choices[name], known.epoch == collection.epoch
                else { return nil }
                let shards = Set(collection.shards + next.shards)
                let own = reports.filter { shards.contains($0.shard) }
                let choice = known.answered(own.map { $0.answer(of: name) })
                state.choices[name] = choice
                let isSilent = own.allSatisfy { $0.answer(of: name) == .failed }
                let silences = isSilent ? min(Self.mostSilences, state.silences[name, default: 0] + 1) : 0
                state.silences[name] = silences
                let complaint = Self.complaint(choice, own, isSilent: silences >= Self.mostSilences)
                guard state.complaints[name] != complaint else { return nil }
                state.complaints[name] = complaint
                return Complaint(collection: name, text: complaint)
            }
        }
    }

    private static func complaint(
        _ choice: LayoutChoice, _ reports: [LayoutReport], isSilent: Bool
    ) -> String? {
        if let epoch = choice.disagreement {
            return "the databases say epoch \(epoch), and the configuration has \(choice.epoch) and, as the next one, "
                + "\(choice.epoch + 1): nothing is switched; correct `epoch`, `table`, `shards` and `next`"
        }
        guard isSilent || choice.serving == .unknown else { return nil }
        let reasons = reports.compactMap { report -> String? in
            guard case .failed(let reason) = report.answer else { return nil }
            return "\(report.shard)/\(report.replica): \(reason)"
        }
        return "no server says which epoch is the true one" + (reasons.min().map { " (\($0))" } ?? "")
    }
}

extension LayoutReport {
    fileprivate func answer(of collection: String) -> LayoutChoice.Answer {
        switch answer {
        case .epochs(let epochs): epochs[collection].map { .epoch($0) } ?? .noRow
        case .failed: .failed
        }
    }
}
