package import SluiceCore

/// What Patroni's REST API says of a cluster (`GET /cluster`, `GET /config`, `GET /patroni`), as a report. Pure;
/// nothing of it is believed: a member that nothing can be made of is left out and said so.
package enum PatroniAnswer {
    package static let mostBytes = 1 << 20

    /// - Parameter config: the answer to `/config`; nil if it was not asked, or said nothing.
    package static func report(cluster: [UInt8], config: [UInt8]? = nil) throws(UnreadableAnswer) -> ClusterReport {
        guard let members = try JSONReader.read(cluster)["members"]?.list else {
            throw UnreadableAnswer("the answer has no list of members")
        }
        var report = ClusterReport(members: [], leaders: [])
        for value in members {
            guard report.members.count < ClusterReport.mostMembers else {
                report.complaints.append("it lists more than \(ClusterReport.mostMembers) members")
                break
            }
            do throws(UnreadableAnswer) {
                let (member, word) = try member(value)
                report.members.append(member)
                if word == "leader" || word == "master" || word == "primary" { report.leaders.append(member.name) }
                if word == "standby_leader" {
                    report.leaders.append(member.name)
                    report.isStandbyCluster = true
                }
            } catch {
                report.note(error)
                // A leader that cannot be reached is one all the same.
                if value["role"]?.text == "leader" { report.leaders.append(MemberText.shown(value["name"]?.text)) }
            }
        }
        report.isSynchronous = config.flatMap { try? JSONReader.read($0) }.flatMap(Self.isSynchronous)
        if report.members.contains(where: { $0.role == .synchronousStandby }) { report.isSynchronous = true }
        return report
    }

    /// Of which cluster the asked member's server is, of the answer to `/patroni`; nil before there is one.
    package static func systemIdentifier(_ status: [UInt8]) -> UInt64? {
        (try? JSONReader.read(status))?["database_system_identifier"]?.integer()
    }

    private static func member(_ value: JSONValue) throws(UnreadableAnswer) -> (ClusterMember, role: String) {
        let place = try MemberText.place(
            name: value["name"]?.text, host: value["host"]?.text, port: value["port"]?.integer())
        let word = value["role"]?.text ?? ""
        let role: ClusterMember.Role =
            switch word {
            case "leader", "standby_leader", "master", "primary": .leader
            case "sync_standby", "quorum_standby": .synchronousStandby
            default: .standby
            }
        return (
            ClusterMember(
                place, role: role, isRunning: MemberText.isRunning(value["state"]?.text),
                timeline: value["timeline"]?.integer(), lag: value["lag"]?.integer()), word
        )
    }

    /// Of the dynamic configuration; nil if it is none.
    static func isSynchronous(_ config: JSONValue) -> Bool? {
        guard case .table = config else { return nil }
        switch config["synchronous_mode"] {
        case .flag(let flag): return flag
        case .text(let text): return !["", "off", "false", "no", "0"].contains(text.lowercased())
        default: return false
        }
    }
}

/// Names and addresses of members, which end up in connection strings, metrics and messages.
enum MemberText {
    static func place(name: String?, host: String?, port: Int?) throws(UnreadableAnswer) -> MemberPlace {
        guard let name, isName(name) else {
            throw UnreadableAnswer("a member's name is not 1 to 63 of the characters A-Z a-z 0-9 _ . -")
        }
        guard let host, isHost(host) else { throw UnreadableAnswer("member \(name) has no usable host") }
        guard let port, (1...65_535).contains(port) else {
            throw UnreadableAnswer("member \(name) has no usable port")
        }
        return MemberPlace(name: name, host: host, port: port)
    }

    static func isName(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count) && text.utf8.allSatisfy { isLetterOrDigit($0) || "_.-".utf8.contains($0) }
    }

    /// A name or a numeric address: nothing that a connection string could take for anything else.
    static func isHost(_ text: String) -> Bool {
        (1...253).contains(text.utf8.count) && text.utf8.allSatisfy { isLetterOrDigit($0) || "_.-:%".utf8.contains($0) }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }

    /// As it may stand in a message: one that is no name is not quoted.
    static func shown(_ name: String?) -> String { name.flatMap { isName($0) ? $0 : nil } ?? "(unreadable)" }

    static func isRunning(_ state: String?) -> Bool {
        ["running", "streaming", "in archive recovery"].contains(state ?? "")
    }
}

extension ClusterReport {
    private static let mostComplaints = 8

    mutating func note(_ problem: UnreadableAnswer) {
        if complaints.count < Self.mostComplaints { complaints.append(problem.description) }
    }
}
