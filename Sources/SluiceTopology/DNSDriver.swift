internal import SluiceCore

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
        let places: [(host: String, port: Int)]
        switch look {
        case .addresses(let name, let port):
            guard let found = await watch.names(name, watch.settings.timeout) else {
                throw UnreadableAnswer("\(name) could not be looked up in time")
            }
            places = found.map { ($0, port) }
        case .services(let name):
            places = try await ServiceQuery.ask(name, within: watch.settings.timeout).map { ($0.host, $0.port) }
        }
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

    /// A name of ours that says where it is.
    static func memberName(_ host: String, _ port: Int) -> String {
        let words = "\(host)-\(port)".map { $0 == ":" || $0 == "%" ? "-" : $0 }
        return String(String(words).suffix(63))
    }
}
