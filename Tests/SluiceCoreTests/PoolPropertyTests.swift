import SluiceCore
import Testing

@Suite struct PoolPropertyTests {
    private static let seedsAGroup: UInt64 = 500

    private static func model(_ seed: UInt64) -> PoolModel {
        var random = SplitMix64(seed: seed)
        func maybe(_ milliseconds: ClosedRange<Int>) -> Duration? {
            Bool.random(using: &random) ? .milliseconds(Int.random(in: milliseconds, using: &random)) : nil
        }
        let configuration = PoolMachine.Configuration(
            minSize: Int.random(in: 0...3, using: &random), maxSize: Int.random(in: 0...5, using: &random),
            maxWaiting: Int.random(in: 0...6, using: &random), maxIdle: maybe(5...40), maxLifetime: maybe(20...200),
            checkAfterIdle: maybe(1...20), maxDialling: Int.random(in: 1...3, using: &random),
            redial: Backoff(base: .milliseconds(4), cap: .milliseconds(30)))
        return PoolModel(configuration, seed: seed &+ 1_000_000)
    }

    /// - Parameter health: how many of 10 dials succeed.
    private static func step(_ model: inout PoolModel, health: Int) {
        model.now = model.now.advanced(by: .microseconds(Int.random(in: 0...3_000, using: &model.random)))
        switch Int.random(in: 0..<40, using: &model.random) {
        case 0..<12: model.request(within: Int64.random(in: 0...20_000_000, using: &model.random))
        case 12..<20: model.release()
        case 20..<26:
            if Int.random(in: 0..<10, using: &model.random) < health {
                model.establish()
            } else {
                model.loseDialled()
            }
        case 26..<29: model.close()
        case 29..<31: model.cancel()
        case 31: model.loseLeased()
        case 32: model.loseIdle()
        case 33: model.loseClosing()
        case 34..<37: model.maintain()
        case 37: model.reportAgain()
        case 38:
            guard Int.random(in: 0..<4, using: &model.random) == 0 else { return }
            model.resize(
                minSize: Int.random(in: 0...3, using: &model.random),
                maxSize: Int.random(in: 0...5, using: &model.random))
        default:
            if Int.random(in: 0..<4, using: &model.random) == 0 { model.drain() } else { model.undrain() }
        }
    }

    /// Random events against a sick backend, then a healthy one: no rule breaks at any step, and in the end everybody
    /// is served and the pool has its minimum.
    @Test(arguments: 0..<8 as Range<UInt64>)
    func noSequenceOfEventsBreaksARuleAndTheEndIsGood(group: UInt64) {
        for seed in (group * Self.seedsAGroup)..<((group + 1) * Self.seedsAGroup) {
            var model = Self.model(seed)
            model.start()
            let health = Int.random(in: 0...10, using: &model.random)
            for _ in 0..<300 { Self.step(&model, health: health) }

            model.undrain()
            model.resize(minSize: min(2, Int(seed % 3)), maxSize: 3)
            model.settle { $0.pool.isReachable && $0.waiting.isEmpty && $0.leased.isEmpty && $0.closing.isEmpty }
            let served = model.served
            let asked = max(1, model.pool.configuration.maxWaiting)
            for _ in 0..<asked { model.request(within: 3_600_000_000_000) }
            model.settle { $0.waiting.isEmpty }
            #expect(model.served == served + asked, "seed \(seed)")
            model.settle { $0.leased.isEmpty && $0.idle.count >= $0.pool.configuration.minSize }

            model.shutDown()
            model.settle { $0.pool.isDrained }
            #expect(model.violations == [], "seed \(seed)")
        }
    }
}
