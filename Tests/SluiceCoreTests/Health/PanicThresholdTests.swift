import SluiceCore
import Testing

@Suite struct PanicThresholdTests {
    private func readmitted(_ ejections: [Ejection], share: Double = 0.5) -> UInt64 {
        PanicThreshold(minimumHealthyShare: share).readmitted(count: ejections.count) { ejections[$0] }
    }

    @Test func slownessNeverEjectsAll() {
        #expect(readmitted([.slowness]) == 0b1)
        #expect(readmitted([.slowness, .slowness]) == 0b11)
        #expect(readmitted([.failure, .slowness, .failure]) == 0b010)
        #expect(readmitted([.slowness, .slowness], share: 0) == 0b11)
    }

    @Test func failuresMayEjectAll() {
        #expect(readmitted([.failure, .failure]) == 0)
        #expect(readmitted([]) == 0)
    }

    @Test func theSlowStayOutWhileEnoughAreLeft() {
        #expect(readmitted([.slowness, .none]) == 0)
        #expect(readmitted([.slowness, .slowness, .none]) == 0b011)
        #expect(readmitted([.slowness, .slowness, .none], share: 0.3) == 0)
        #expect(readmitted([.slowness, .none], share: .nan) == 0)
        #expect(readmitted(Array(repeating: .slowness, count: 100)) == .max)
    }
}
