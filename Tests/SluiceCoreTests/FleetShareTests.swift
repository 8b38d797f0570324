import SluiceCore
import Testing

/// One gateway's part of a budget, look by look.
@Suite struct FleetShareTests {
    /// 10 for everybody's claims, 2 in reserve; claims have the connection to look by in them.
    private static let configuration = FleetShare.Configuration(
        budget: 12, reserve: 2, floor: 3, overhead: 1, grace: .seconds(4), trust: .seconds(3), patience: .seconds(10))

    private var share = FleetShare(id: "b", configuration, poolSize: 8)

    private static func at(_ seconds: Int) -> Instant { Instant(nanoseconds: Int64(seconds) * 1_000_000_000) }

    private static func pool(_ open: Int, of most: Int = 0) -> FleetShare.Holding {
        .init(made: open, open: open, most: most)
    }

    private static func gateway(
        _ id: String, _ claim: Int?, want: Int = 9, _ connections: Int = 1
    ) -> FleetShare.Sighting {
        .init(id: id, claim: claim, want: want, connections: connections)
    }

    /// A look under the lock, and what it says is shown.
    private mutating func look(
        _ sightings: FleetShare.Sighting..., holding: FleetShare.Holding = pool(0), at seconds: Int = 0
    ) -> FleetShare.Order {
        let order = share.looked(sightings, holding, isLocked: true, asked: Self.at(seconds))
        share.shown(order)
        return order
    }

    @Test mutating func aLoneGatewayHasAllThatItHasUseFor() {
        #expect(share.size == 0 && share.firstClaim(Self.pool(0)) == 1)
        let order = look(Self.gateway("b", 1))
        #expect(order.claim == 9 && order.size == 8 && order.mustShow && order.isSettled)
        #expect(share.size == 8 && share.gateways == 1)
        let again = look(Self.gateway("b", 9), holding: Self.pool(3, of: 8), at: 1)
        #expect(again.claim == 9 && !again.mustShow && !again.mayGrow)
    }

    @Test mutating func growingNeedsTheLock() {
        let order = share.looked(
            [Self.gateway("b", 1)], Self.pool(0), isLocked: false, asked: Self.at(0))
        #expect(order.claim == 1 && order.size == 0 && order.mayGrow && !order.isSettled)
    }

    @Test mutating func whoComesWaitsUntilTheOthersHaveLetGo() {
        #expect(look(Self.gateway("a", 9), Self.gateway("b", 1)).size == 0)
        // One more is free; the other one still has all the rest.
        #expect(look(Self.gateway("a", 7), Self.gateway("b", 1)).claim == 3)
        // A claim is not believed if there are more connections than that.
        #expect(look(Self.gateway("a", 5, 7), Self.gateway("b", 3)).claim == 3)
        let order = look(Self.gateway("a", 5), Self.gateway("b", 3))
        #expect(order.claim == 5 && order.size == 4 && order.isSettled)
    }

    @Test mutating func whoHasTooMuchLetsGoOfItWhenThePoolHas() {
        _ = look(Self.gateway("b", 1))
        let order = look(Self.gateway("a", 1), Self.gateway("b", 9), holding: Self.pool(8, of: 8), at: 1)
        #expect(order.claim == 9 && order.size == 4 && !order.mustShow && !order.isSettled)
        let next = look(Self.gateway("a", 1), Self.gateway("b", 9), holding: Self.pool(6, of: 6), at: 2)
        #expect(next.claim == 7 && next.size == 4)
        let last = look(Self.gateway("a", 3), Self.gateway("b", 7), holding: Self.pool(2, of: 4), at: 3)
        #expect(last.claim == 5 && last.isSettled)
    }

    @Test mutating func whatOneGatewayHasNoUseForTheOthersGet() {
        #expect(look(Self.gateway("a", 3, want: 3), Self.gateway("b", 1)).claim == 7)
    }

    @Test mutating func oddConnectionsGoToTheSameGatewaysInEachOnesReckoning() {
        let targets = ["a", "b", "c"].map { id in
            var share = FleetShare(id: id, Self.configuration, poolSize: 8)
            _ = share.looked(
                [Self.gateway("a", 1), Self.gateway("b", 1), Self.gateway("c", 1)], Self.pool(0), isLocked: true,
                asked: Self.at(0))
            return share.target
        }
        #expect(targets == [3, 3, 4])
    }

    @Test mutating func aClaimThatHasGoneCountsForAWhile() {
        _ = look(Self.gateway("a", 5), Self.gateway("b", 1))
        #expect(look(Self.gateway("b", 5), at: 3).claim == 5)
        // Connections of it are there still: it may have its floor.
        #expect(look(Self.gateway("a", nil, 2), Self.gateway("b", 5), at: 5).claim == 7)
        #expect(look(Self.gateway("b", 7), at: 6).claim == 9)
    }

    /// A table has its row still: it may not be able to write it anew, and have its floor.
    @Test mutating func aClaimThatHasExpiredCountsAsAFloor() {
        _ = look(Self.gateway("a", 5, want: 5, 0), Self.gateway("b", 1))
        #expect(look(Self.gateway("a", nil, want: 0, 0), Self.gateway("b", 5), at: 3).claim == 5)
        #expect(look(Self.gateway("a", nil, want: 0, 0), Self.gateway("b", 5), at: 5).claim == 7)
        #expect(share.gateways == 1)
        #expect(look(Self.gateway("b", 7), at: 65).claim == 9)
    }

    @Test mutating func nobodyGrowsWhileItIsNotKnownWhatAStrangerHolds() {
        #expect(look(Self.gateway("b", 1), Self.gateway("x", nil, 2)).claim == 1)
        #expect(look(Self.gateway("b", 1), Self.gateway("x", nil, 2), at: 3).claim == 1)
        #expect(look(Self.gateway("b", 1), Self.gateway("x", nil, 4), at: 5).claim == 6)
    }

    @Test mutating func withoutSightOfTheOthersItHasItsFloor() {
        _ = look(Self.gateway("b", 1), at: 100)
        share.lookFailed(now: Self.at(109))
        #expect(share.size == 8 && share.gateways == 1)
        share.lookFailed(now: Self.at(110))
        #expect(share.size == 2 && share.gateways == nil && share.dialsUntil == .distantFuture)
        #expect(look(Self.gateway("b", 9), holding: Self.pool(2, of: 2), at: 111).size == 8)
    }

    @Test mutating func nothingIsDialledWithoutALookOfLate() {
        _ = look(Self.gateway("b", 1), at: 100)
        #expect(share.dialsUntil == Self.at(103))
        share.lost()
        #expect(share.size == 2 && share.dialsUntil < Self.at(0))
        // It claims what it has, and no more, as soon as it can claim anything.
        #expect(share.firstClaim(Self.pool(5, of: 8)) == 6)
        _ = share.looked([Self.gateway("b", 6)], Self.pool(0), isLocked: true, asked: Self.at(120))
        #expect(share.dialsUntil < Self.at(0), "before the claim is shown and the pool has its size")
    }

    @Test mutating func connectionsThatTheServerStillHasCountAfterALoss() {
        _ = look(Self.gateway("b", 1))
        share.lost()
        #expect(look(Self.gateway("b", 1, 9), at: 20).size == 0)
        #expect(look(Self.gateway("b", 9, 4), at: 21).size == 5)
        #expect(look(Self.gateway("b", 9, 1), at: 22).size == 8)
    }

    @Test mutating func oneThatIsJustComingOrGoingIsNotTakenForLost() {
        _ = look(Self.gateway("b", 1))
        #expect(look(Self.gateway("b", 9, 7), holding: Self.pool(5, of: 8), at: 1).size == 8)
        #expect(look(Self.gateway("b", 9, 7), holding: Self.pool(5, of: 8), at: 2).size == 7)
    }

    @Test func whereATableShowsTheClaimsNoConnectionIsTakenToLook() {
        let configuration = FleetShare.Configuration(budget: 12, reserve: 2, floor: 3, overhead: 0)
        var share = FleetShare(id: "b", configuration, poolSize: 8)
        #expect(share.firstClaim(Self.pool(0)) == 0)
        let order = share.looked([Self.gateway("a", 8, want: 8, 0)], Self.pool(0), isLocked: true, asked: Self.at(0))
        #expect(order.claim == 2 && order.size == 2 && order.mustShow)
        share.shown(order)
        share.lost()
        #expect(share.size == 3 && share.dialsUntil == .distantFuture)
    }

    @Test mutating func numbersFromOutsideDoNotOverflow() {
        let order = look(
            Self.gateway("a", .max, want: .max, .max), Self.gateway("b", 1), Self.gateway("c", .min, want: .min, .min))
        #expect(order.claim == 1 && order.size == 0)
    }
}
