import SluiceCore
import Testing

@Suite struct SingleFlightTests {
    @Test func theFirstLeadsAndTheOthersGetItsAnswer() {
        var flights = SingleFlight<String>()
        let arrivals = [(1, "a"), (2, "a"), (3, "b"), (4, "a")].map { flights.arrived(UInt64($0.0), for: $0.1) }
        #expect(arrivals == [.lead, .follow, .lead, .follow])
        #expect(flights.flightCount == 2 && flights.searchCount == 4)
        let followers = flights.leaderEnded(1)
        let nobody = flights.leaderEnded(1)
        #expect(followers == [2, 4] && nobody == [])
        let later = flights.arrived(5, for: "a")
        #expect(later == .lead, "the next one is executed again")
    }

    @Test func whoHasFollowedLongestTakesTheLeadOver() {
        var flights = SingleFlight<String>()
        for id: UInt64 in 1...3 { _ = flights.arrived(id, for: "a") }
        let first = flights.cancelled(1)
        let tooLate = flights.leaderEnded(1)
        let second = flights.cancelled(2)
        let third = flights.cancelled(3)
        #expect(first == .promote(2) && tooLate == [] && second == .promote(3) && third == .land)
        #expect(flights.flightCount == 0 && flights.searchCount == 0)
    }

    @Test func aFollowerLeavesQuietly() {
        var flights = SingleFlight<String>()
        for id: UInt64 in 1...3 { _ = flights.arrived(id, for: "a") }
        let left = flights.cancelled(2)
        let again = flights.cancelled(2)
        let followers = flights.leaderEnded(1)
        #expect(left == .leave && again == .none && followers == [3])
    }

    @Test func afterSoManyTheRestGoAlone() {
        var flights = SingleFlight<String>(mostFollowers: 1)
        let arrivals = (1...4).map { flights.arrived($0, for: "a") }
        #expect(arrivals == [.lead, .follow, .executeAlone, .executeAlone])
        let alone = flights.cancelled(3)
        let followers = flights.leaderEnded(1)
        #expect(alone == .none && followers == [2])
        var none = SingleFlight<String>(mostFollowers: .min)
        let without = (1...2).map { none.arrived($0, for: "a") }
        #expect(without == [.lead, .executeAlone])
    }

    @Test func anIDThatIsHereAlreadyChangesNothing() {
        var flights = SingleFlight<String>()
        let arrivals = ["a", "a", "b"].map { flights.arrived(1, for: $0) }
        #expect(arrivals == [.lead, .executeAlone, .executeAlone] && flights.flightCount == 1)
    }

    /// Any sequence of events: each search ends once, each flight has one leader, and nothing is left behind.
    @Test(arguments: 0..<300)
    func everySearchEndsOnce(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let most = Int.random(in: 0...6, using: &generator)
        var flights = SingleFlight<Int>(mostFollowers: most)
        // Leaders by key, and followers by key in the order of their arrival.
        var leaders: [Int: UInt64] = [:]
        var followers: [Int: [UInt64]] = [:]
        var ended: Set<UInt64> = []
        func end(_ id: UInt64) { #expect(ended.insert(id).inserted, "seed \(seed): \(id) ended twice") }
        func land(_ key: Int) {
            guard let leader = leaders.removeValue(forKey: key) else { return }
            let served = flights.leaderEnded(leader)
            #expect(served == followers.removeValue(forKey: key) ?? [])
            end(leader)
            served.forEach(end)
        }
        func cancel(_ id: UInt64, _ key: Int) {
            let action = flights.cancelled(id)
            if leaders[key] == id {
                let heir = followers[key]?.first
                #expect(action == heir.map { .promote($0) } ?? .land)
                leaders[key] = heir
                if heir != nil { followers[key]?.removeFirst() } else { followers[key] = nil }
            } else {
                #expect(action == .leave)
                followers[key]?.removeAll { $0 == id }
            }
            end(id)
        }
        for id: UInt64 in 1...500 {
            let key = Int.random(in: 0...4, using: &generator)
            switch flights.arrived(id, for: key) {
            case .lead:
                #expect(leaders[key] == nil)
                leaders[key] = id
            case .follow:
                #expect(leaders[key] != nil && followers[key, default: []].count < most)
                followers[key, default: []].append(id)
            case .executeAlone:
                #expect(followers[key, default: []].count == most)
                end(id)
            }
            let other = Int.random(in: 0...4, using: &generator)
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: land(other)
            case 1: if let leader = leaders[other] { cancel(leader, other) }
            case 2: if let follower = followers[other]?.randomElement(using: &generator) { cancel(follower, other) }
            case 3:
                guard let over = ended.randomElement(using: &generator) else { continue }
                let action = flights.cancelled(over)
                let served = flights.leaderEnded(over)
                #expect(action == .none && served == [], "what is over stays over")
            default: break
            }
            #expect(flights.flightCount == leaders.count)
            #expect(flights.searchCount == leaders.count + followers.values.reduce(0) { $0 + $1.count })
        }
        for key in 0...4 { land(key) }
        #expect(ended.count == 500 && flights.flightCount == 0 && flights.searchCount == 0)
    }
}
