import SluiceCore
import Testing

/// Gateways that come, go, are killed, stopped and cut off: the server never has more than the budget, and when nothing
/// happens any more the shares are even.
@Suite struct FleetSimulationTests {
    private static let budget = 24

    /// - Parameter reserve: no more than are needed, so that there is no room for mistakes: so many gateways come, or
    ///   one comes back, at a time.
    private static func model(_ seed: UInt64, reserve: Int) -> FleetModel {
        FleetModel(.init(budget: budget, reserve: reserve, floor: 2, overhead: 1), seed: seed)
    }

    /// Whoever has come, or come back, has been seen, and the others have made room for the next one.
    private static func isReady(_ model: FleetModel) -> Bool {
        model.held <= budget - model.configuration.reserve
            && model.members.allSatisfy { member in
                let isSeen = member.watch.map { model.connections[$0] != nil } ?? false
                return !member.isAlive || (isSeen && member.cut == nil && member.share.gateways != nil)
            }
    }

    private static func disturb(_ model: inout FleetModel) {
        let alive = model.members.indices.filter { model.members[$0].isAlive }
        let place = alive.randomElement(using: &model.random)
        switch Int.random(in: 0..<10, using: &model.random) {
        case 0..<3 where alive.count < 5:
            for _ in 0..<model.configuration.reserve {
                model.join(poolSize: Int.random(in: 2...30, using: &model.random))
            }
        case 3..<6 where alive.count > 1: if let place { model.kill(place) }
        case 6: if let place { model.freeze(place, for: Int.random(in: 10...2_000, using: &model.random)) }
        case 7..<9: if let place { model.cut(place, for: Int.random(in: 10...2_500, using: &model.random)) }
        default:
            guard let place else { return }
            // Now and then it does not notice.
            if Bool.random(using: &model.random) { model.freeze(place, for: 600) }
            model.endWatch(place)
        }
    }

    @Test(arguments: 0..<8)
    func theServerNeverHasMoreThanItsBudgetAndSharesBecomeEven(group: UInt64) {
        for seed in group * 25..<(group + 1) * 25 {
            var model = Self.model(seed, reserve: 1 + Int(seed % 3))
            model.join(poolSize: 30)
            for _ in 0..<12_000 {
                model.advance()
                if Self.isReady(model), Int.random(in: 0..<300, using: &model.random) == 0 { Self.disturb(&model) }
            }
            // What is frozen or cut off comes back within 25 s; then 10 s are enough.
            for _ in 0..<2_500 { model.advance() }
            for _ in 0..<1_000 { model.advance() }
            #expect(
                model.most <= Self.budget && model.mostHeld <= Self.budget,
                "seed \(seed): the server had \(model.most), and \(model.mostHeld) were taken")
            Self.expectEven(model, seed)
        }
    }

    private static func expectEven(_ model: FleetModel, _ seed: UInt64) {
        let alive = model.members.filter(\.isAlive)
        let free = budget - model.configuration.reserve
        #expect(alive.allSatisfy { $0.share.gateways == alive.count && $0.limit == $0.share.size }, "seed \(seed)")
        let parts = alive.map { $0.limit + 1 }
        #expect(parts.reduce(0, +) == min(free, alive.reduce(0) { $0 + $1.share.want }), "seed \(seed): \(parts)")
        let hungry = alive.filter { $0.limit + 1 < $0.share.want }.map(\.limit)
        #expect((hungry.max() ?? 0) - (hungry.min() ?? 0) <= 1, "seed \(seed): \(parts)")
    }

    @Test func sharesSettleWithinTenSecondsOfEachChange() {
        for seed in 1_000..<1_050 as Range<UInt64> {
            var model = Self.model(seed, reserve: 2)
            func settle() {
                for _ in 0..<1_000 { model.advance() }
                Self.expectEven(model, seed)
            }
            model.join(poolSize: 30)
            settle()
            model.join(poolSize: 30)
            model.join(poolSize: 30)
            settle()
            model.kill(1)
            settle()
            model.join(poolSize: 4)
            settle()
            #expect(model.most <= Self.budget, "seed \(seed)")
        }
    }
}
