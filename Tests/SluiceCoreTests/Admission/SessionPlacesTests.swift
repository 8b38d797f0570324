import SluiceCore
import Testing

/// Which sessions are let in, and whose place they get.
@Suite struct SessionPlacesTests {
    private static func places(
        sessions: Int = 100, perAddress: Int = 100, unwelcomed: Int = 100
    ) -> SessionPlaces {
        SessionPlaces(.init(sessions: sessions, perAddress: perAddress, unwelcomed: unwelcomed))
    }

    private let near = PeerAddress(ipv4: 0x7F00_0001)
    private let far = PeerAddress(ipv4: 0x0A00_0001)

    @Test func asManyAsThereMayBeAndNotOneMore() {
        var places = Self.places(sessions: 3)
        for id in 1...3 {
            #expect(places.arrived(UInt64(id), from: nil) == .admitted(displaced: nil))
            places.welcomed(UInt64(id))
        }
        #expect(places.arrived(4, from: nil) == .refused(.tooMany))
        places.left(2)
        #expect(places.arrived(5, from: nil) == .admitted(displaced: nil))
        #expect(places.count == 3)
    }

    @Test func asManyOfAnAddressAsThereMayBeAndNotOneMore() {
        var places = Self.places(perAddress: 2)
        for id in 1...2 {
            #expect(places.arrived(UInt64(id), from: near) == .admitted(displaced: nil))
            places.welcomed(UInt64(id))
        }
        #expect(places.arrived(3, from: near) == .refused(.tooManyFromAddress))
        #expect(places.arrived(4, from: far) == .admitted(displaced: nil))
        #expect(places.arrived(5, from: nil) == .admitted(displaced: nil), "a Unix socket has no address")
        places.left(1)
        #expect(places.arrived(6, from: near) == .admitted(displaced: nil))
        #expect(places.count(from: near) == 2 && places.count(from: far) == 1)
    }

    @Test func theOldestThatHasNotBeenWelcomedMakesRoom() {
        var places = Self.places(unwelcomed: 3)
        for id in 1...3 { _ = places.arrived(UInt64(id), from: near) }
        places.welcomed(1)
        #expect(places.arrived(4, from: near) == .admitted(displaced: nil), "1 does not count any more")
        #expect(places.arrived(5, from: near) == .admitted(displaced: 2))
        #expect(places.arrived(6, from: near) == .admitted(displaced: 3))
        #expect(places.unwelcomed == 3 && places.count == 4)
    }

    /// Silent sockets keep nobody out, however many there are: neither of all places nor of an address's.
    @Test func silentSocketsHaveNoPlaceThatAnotherNeeds() {
        var places = Self.places(sessions: 4, perAddress: 3)
        for id in 1...3 { _ = places.arrived(UInt64(id), from: near) }
        #expect(places.arrived(4, from: near) == .admitted(displaced: 1))
        #expect(places.arrived(5, from: far) == .admitted(displaced: nil))
        #expect(places.arrived(6, from: far) == .admitted(displaced: 2))
        for id in [3, 4, 5, 6] { places.welcomed(UInt64(id)) }
        #expect(places.arrived(7, from: far) == .refused(.tooMany))
    }

    @Test func whoIsDisplacedOrLeavesTwiceCountsOnce() {
        var places = Self.places(unwelcomed: 1)
        _ = places.arrived(1, from: near)
        #expect(places.arrived(2, from: near) == .admitted(displaced: 1))
        places.welcomed(1)
        places.left(1)
        places.left(1)
        #expect(places.count == 1 && places.unwelcomed == 1 && places.count(from: near) == 1)
        places.left(2)
        #expect(places.count == 0 && places.unwelcomed == 0 && places.count(from: near) == 0)
    }

    /// Any run against a model of lists.
    @Test func aModelSaysTheSame() {
        var random = SplitMix64(seed: 11)
        for _ in 0..<100 {
            let limits = SessionPlaces.Limits(
                sessions: Int.random(in: 1...12, using: &random), perAddress: Int.random(in: 1...8, using: &random),
                unwelcomed: Int.random(in: 1...6, using: &random))
            var places = SessionPlaces(limits)
            var model: [(id: UInt64, address: PeerAddress?, isWelcomed: Bool)] = []
            for id in 1...300 {
                let address = [nil, near, far].randomElement(using: &random) ?? nil
                let own = model.filter { $0.address == address }.count
                let isFullOfAddress = address != nil && own >= limits.perAddress
                let silent = model.filter { !$0.isWelcomed }
                var expected = SessionPlaces.Arrival.admitted(displaced: nil)
                if isFullOfAddress {
                    let oldest = silent.first { $0.address == address }
                    expected = oldest.map { .admitted(displaced: $0.id) } ?? .refused(.tooManyFromAddress)
                } else if model.count >= limits.sessions || silent.count >= limits.unwelcomed {
                    expected = silent.first.map { .admitted(displaced: $0.id) } ?? .refused(.tooMany)
                }
                #expect(places.arrived(UInt64(id), from: address) == expected)
                if case .admitted(let displaced) = expected {
                    model.removeAll { $0.id == displaced }
                    model.append((UInt64(id), address, false))
                }
                for _ in 0..<Int.random(in: 0...2, using: &random) {
                    guard let place = model.indices.randomElement(using: &random) else { break }
                    if Bool.random(using: &random) {
                        model[place].isWelcomed = true
                        places.welcomed(model[place].id)
                    } else {
                        places.left(model.remove(at: place).id)
                    }
                }
                #expect(places.count == model.count)
                #expect(places.unwelcomed == model.filter { !$0.isWelcomed }.count)
            }
        }
    }

    @Test func addressesAreCountedByWhoCanHaveThem() {
        let first = PeerAddress(ipv6: 0x2001_0DB8_0000_0001, 1)
        #expect(first == PeerAddress(ipv6: 0x2001_0DB8_0000_0001, .max), "one /64 is one host's")
        #expect(first != PeerAddress(ipv6: 0x2001_0DB8_0000_0002, 1))
        #expect(PeerAddress(ipv6: 0, 0xFFFF_7F00_0001) == near, "an IPv4 address in an IPv6 one")
        #expect(PeerAddress(ipv6: 0, 1) != PeerAddress(ipv4: 1))
        #expect(near != far)
    }
}
