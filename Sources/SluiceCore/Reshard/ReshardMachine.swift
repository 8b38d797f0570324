/// Decides what comes next when a collection moves to a new table on other shards: copy, indexes, catch up with what
/// was written meanwhile, compare, fence the old tables, take over the last changes, compare those, switch.
///
/// `step` is what is to be done now; the events say what came of it. `record` is to be kept before the next step is
/// begun. Every step may be done twice.
package struct ReshardMachine: Sendable {
    package struct Limits: Hashable, Sendable {
        /// The most that writes may be refused for: from the fence to the end of the gateways' time.
        package var maxPause: Duration = .seconds(10)
        /// In which every gateway sees the switch.
        package var gatewayTime: Duration = .seconds(3)
        /// A round of catching up with no more changes, taken and left, is good enough to fence after it, if it was
        /// fast.
        package var shortLog = 1_000
        /// How often the old tables are fenced in vain.
        package var mostFences = 5
        /// Rows that changed since the tables were compared; above, they are compared anew.
        package var mostTouched = 200_000
        package var mostComparisons = 5
        /// After so many rounds fewer changes must be waiting than before them; and no more of them may be slow, one
        /// after another.
        package var roundsPerLook = 200

        package init() {}

        /// What is left of a pause until the switch must have begun.
        var timeToSwitch: Duration { maxPause - gatewayTime }
        /// Some rounds fit in the pause.
        var fastRound: Duration { timeToSwitch / 4 }
    }

    package enum Step: Hashable, Sendable {
        case prepare
        /// The next rows of an old shard in the order of their ids.
        case copy(source: Int, after: Int64?)
        case buildIndexes
        case catchUp
        /// All rows.
        case compare
        /// Writes are refused from here on; by then the switch must have begun.
        case fence(until: Instant)
        /// As `catchUp`, under the fence.
        case drain(until: Instant)
        /// Only these rows.
        case compareTouched(Set<Int64>, until: Instant)
        /// Writes go on.
        case liftOldFence
        case pause(Duration)
        case switchOver
        case awaitGateways(Duration)
        case liftNewFence
        case end(Outcome)
    }

    package enum Outcome: Hashable, Sendable {
        case switched
        /// Writes go on, and nothing is switched.
        case stopped(Reason)
    }

    package enum Reason: Hashable, Sendable {
        case differs([RangeDifference])
        /// Changes come faster than they are taken over; so many wait.
        case writesAreFaster(waiting: Int)
        /// The last changes could not be taken over in the time that a pause may take.
        case pauseTooShort(fences: Int)
        /// So many rows change while the tables are compared that they never can be.
        case changesTooMuch
    }

    /// What one round of taking changes over did.
    package struct Round: Hashable, Sendable {
        /// Whose rows were taken over.
        package var ids: [Int64]
        /// Changes that the logs have still, at most some thousands.
        package var waiting: Int
        package var took: Duration

        package init(ids: [Int64], waiting: Int, took: Duration) {
            self.ids = ids
            self.waiting = waiting
            self.took = took
        }
    }

    private enum State: Hashable, Sendable {
        case preparing
        case copying
        case indexing
        case catchingUp
        case comparing
        case fencing(until: Instant)
        case draining(until: Instant)
        case comparingTouched(until: Instant)
        /// - reason: nil to try again.
        case lifting(reason: Reason?)
        case pausing
        case switching
        case awaitingGateways
        case liftingNew
        case ended(Outcome)
    }

    package private(set) var record: ReshardRecord
    private let limits: Limits
    private var state: State
    private var isCompared = false
    private var comparisons = 0
    /// The rows that changed since the tables were compared.
    private var touched: Set<Int64> = []
    private var fences = 0
    private var rounds = 0
    private var slowRounds = 0
    private var waitingBefore = Int.max

    /// - Parameter record: of a move that has not begun, or as another process left it.
    package init(_ record: ReshardRecord, limits: Limits = Limits()) {
        self.record = record
        self.limits = limits
        state =
            switch record.phase {
            case .prepare: .preparing
            case .copy: .copying
            case .index: .indexing
            case .catchUp: .catchingUp
            // How long writes have been refused is not known.
            case .fence: .lifting(reason: nil)
            case .switchOver: .switching
            case .done: .ended(.switched)
            }
        if state == .copying { copyOrIndex() }
    }

    package var step: Step {
        switch state {
        case .preparing: .prepare
        case .copying: nextCopy
        case .indexing: .buildIndexes
        case .catchingUp: .catchUp
        case .comparing: .compare
        case .fencing(let until): .fence(until: until)
        case .draining(let until): .drain(until: until)
        case .comparingTouched(let until): .compareTouched(touched, until: until)
        case .lifting: .liftOldFence
        case .pausing: .pause(.seconds(1 << min(max(0, fences - 1), 5)))
        case .switching: .switchOver
        case .awaitingGateways: .awaitGateways(limits.gatewayTime)
        case .liftingNew: .liftNewFence
        case .ended(let outcome): .end(outcome)
        }
    }

    // MARK: Until the tables are equal

    package mutating func prepared() {
        guard state == .preparing else { return }
        record.phase = .copy
        state = .copying
        copyOrIndex()
    }

    private var nextSource: Int? { record.sources.firstIndex { !$0.isCopied } }

    private var nextCopy: Step {
        guard let source = nextSource else { return .buildIndexes }
        return .copy(source: source, after: record.sources[source].lastID)
    }

    private mutating func copyOrIndex() {
        guard nextSource == nil else { return }
        record.phase = .index
        state = .indexing
    }

    /// - Parameters:
    ///   - last: the highest id that is copied now; nil if there was no row.
    ///   - isAll: there are no further rows.
    package mutating func copied(_ rows: Int, upTo last: Int64?, isAll: Bool) {
        guard state == .copying, let source = nextSource else { return }
        record.sources[source].rows += rows
        if let last { record.sources[source].lastID = last }
        record.sources[source].isCopied = isAll
        copyOrIndex()
    }

    package mutating func indexesBuilt() {
        guard state == .indexing else { return }
        record.phase = .catchUp
        state = .catchingUp
    }

    /// A round of `catchUp` or `drain` has ended.
    package mutating func caughtUp(_ round: Round, now: Instant) {
        switch state {
        case .catchingUp:
            note(round)
            if round.ids.count + round.waiting > limits.shortLog {
                look(round)
            } else if round.took > limits.fastRound {
                slowRounds += 1
                if slowRounds >= limits.roundsPerLook { stop(.writesAreFaster(waiting: round.waiting)) }
            } else {
                slowRounds = 0
                isCompared ? beginFence(now) : beginComparing()
            }
        case .draining(let until):
            note(round)
            if now >= until {
                state = .lifting(reason: nil)
            } else if round.ids.isEmpty, round.waiting == 0 {
                state = .comparingTouched(until: until)
            }
        default: break
        }
    }

    private mutating func note(_ round: Round) {
        guard isCompared else { return }
        touched.formUnion(round.ids)
        guard touched.count > limits.mostTouched, case .catchingUp = state else { return }
        isCompared = false
        touched = []
    }

    private mutating func beginComparing() {
        comparisons += 1
        if comparisons > limits.mostComparisons { stop(.changesTooMuch) } else { state = .comparing }
    }

    /// Whether the changes become fewer, every so many rounds.
    private mutating func look(_ round: Round) {
        slowRounds = 0
        rounds += 1
        guard rounds % max(1, limits.roundsPerLook) == 0 else { return }
        if round.waiting > limits.shortLog, round.waiting >= waitingBefore {
            stop(.writesAreFaster(waiting: round.waiting))
        }
        waitingBefore = round.waiting
    }

    private mutating func stop(_ reason: Reason) { state = .ended(.stopped(reason)) }

    package mutating func compared(_ differences: [RangeDifference]) {
        guard state == .comparing else { return }
        isCompared = differences.isEmpty
        touched = []
        if differences.isEmpty { state = .catchingUp } else { stop(.differs(differences)) }
    }

    // MARK: Under the fence

    private mutating func beginFence(_ now: Instant) {
        record.phase = .fence
        state = .fencing(until: now.advanced(by: limits.timeToSwitch))
    }

    package mutating func fenced(now: Instant) {
        guard case .fencing(let until) = state else { return }
        state = now < until ? .draining(until: until) : .lifting(reason: nil)
    }

    /// Some table could not be fenced in time, or what was to be done under the fence was not.
    package mutating func ranOutOfTime() {
        switch state {
        case .fencing, .draining, .comparingTouched: state = .lifting(reason: nil)
        default: break
        }
    }

    package mutating func touchedCompared(_ differences: [RangeDifference], now: Instant) {
        guard case .comparingTouched(let until) = state else { return }
        if !differences.isEmpty {
            state = .lifting(reason: .differs(differences))
        } else if now >= until {
            state = .lifting(reason: nil)
        } else {
            record.phase = .switchOver
            state = .switching
        }
    }

    package mutating func oldFenceLifted() {
        guard case .lifting(let reason) = state else { return }
        record.phase = .catchUp
        fences += 1
        if let reason {
            stop(reason)
        } else if fences >= limits.mostFences {
            stop(.pauseTooShort(fences: fences))
        } else {
            state = .pausing
        }
    }

    package mutating func paused() {
        guard state == .pausing else { return }
        state = .catchingUp
    }

    // MARK: The switch

    package mutating func switchedOver() {
        guard state == .switching else { return }
        state = .awaitingGateways
    }

    package mutating func gatewaysHadTime() {
        guard state == .awaitingGateways else { return }
        state = .liftingNew
    }

    package mutating func newFenceLifted() {
        guard state == .liftingNew else { return }
        record.phase = .done
        state = .ended(.switched)
    }
}
