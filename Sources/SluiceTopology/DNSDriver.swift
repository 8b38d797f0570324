internal import NIOCore
internal import SluiceCore
internal import SluiceDNS

/// Looks a name up again and again. It says who is there and not who leads.
struct DNSDriver: Sendable {
    enum Look: Hashable, Sendable {
        case addresses(String, port: Int)
        case services(String)
    }

    let watch: ShardWatch
    let look: Look

    private var name: String {
        switch look {
        case .addresses(let name, _), .services(let name): name
        }
    }

    func run() async {
        while !Task.isCancelled {
            let began = watch.now()
            do throws(UnreadableAnswer) {
                let members = try await members()
                watch.take(
                    [.init("dns", ClusterReport(members: members, leaders: []))], silences: [], asked: began)
            } catch {
                watch.take([], silences: [.init("dns", error.description)], asked: began)
            }
            guard await watch.pause(since: began) else { return }
        }
    }

    func members() async throws(UnreadableAnswer) -> [ClusterMember] {
        let places = try await places()
        guard !places.isEmpty else { throw UnreadableAnswer("\(name) has no addresses; those last known are kept") }
        var seen: Set<String> = []
        return places.prefix(ClusterReport.mostMembers).compactMap { place in
            let name = Self.memberName(place.host, place.port)
            guard seen.insert(name).inserted,
                let place = try? MemberText.place(name: name, host: place.host, port: place.port)
            else { return nil }
            return ClusterMember(place, role: .standby)
        }
    }

    private func places() async throws(UnreadableAnswer) -> [(host: String, port: Int)] {
        switch look {
        case .addresses(let name, let port):
            guard let found = await watch.names(name, watch.settings.timeout) else {
                throw UnreadableAnswer("\(name) could not be looked up in time")
            }
            return found.map { ($0, port) }
        case .services(let name):
            guard let service = ServiceName(name, anyLabels: true) else { throw UnreadableAnswer("\(name) is no name") }
            do throws(DNSError) {
                let answer = try await ServiceLookup(watch.settings.nameServers)
                    .answer(for: service, within: TimeAmount(watch.settings.timeout))
                // A root says that there is no such service.
                return answer.records.filter { !$0.host.isEmpty }
                    .sorted { ($0.priority, $0.host, $0.port) < ($1.priority, $1.host, $1.port) }
                    .map { ($0.host, Int($0.port)) }
            } catch { throw UnreadableAnswer(error.description) }
        }
    }

    /// A name of ours that says where it is: the same one for the same place, and for no other.
    private static func memberName(_ host: String, _ port: Int) -> String {
        let place = "\(host)-\(port)"
        let words = String(place.map { $0 == ":" || $0 == "%" ? "-" : $0 })
        // Colons are in numeric addresses only, which no name is among.
        if words.utf8.count <= 63, !place.contains("%") { return words }
        // A port is shorter than this, so that no name as above is like it.
        let digits = String(digest(place), radix: 16)
        return "\(words.prefix(46))-\(String(repeating: "0", count: 16 - digits.count))\(digits)"
    }

    /// FNV-1a, 64 bits.
    private static func digest(_ text: String) -> UInt64 {
        text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
    }
}
