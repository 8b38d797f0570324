internal import Foundation
package import SluiceCore

/// Answers of etcd's HTTP gateway (v3), whose keys and values are in base64 and whose 64-bit numbers are texts. Pure.
package enum EtcdAnswer {
    package static let mostBytes = 4 << 20
    private static let mostKeys = 1_024

    package struct Range: Hashable, Sendable {
        package var revision: Int64
        /// etcd's own, not PostgreSQL's.
        package var cluster: String
        /// By the key without the prefix.
        package var values: [String: [UInt8]]
    }

    package struct Event: Hashable, Sendable {
        package var key: String
        package var revision: Int64
        /// Nil if the key has been deleted.
        package var value: [UInt8]?
    }

    package enum WatchLine: Hashable, Sendable {
        case events([Event], revision: Int64)
        /// What comes next is not to be had any more; a fresh range is.
        case compacted
        case ended(String)
    }

    package static func range(_ bytes: [UInt8], prefix: String) throws(UnreadableAnswer) -> Range {
        let answer = try JSONReader.read(bytes)
        guard let revision = answer["header"]?["revision"]?.integer(Int64.self) else {
            throw UnreadableAnswer(problem(answer) ?? "the answer has no revision")
        }
        let keys = answer["kvs"]?.list ?? []
        guard keys.count <= mostKeys else { throw UnreadableAnswer("more than \(mostKeys) keys begin with the prefix") }
        var values: [String: [UInt8]] = [:]
        for entry in keys {
            guard let key = name(entry["key"], prefix), let value = data(entry["value"]) else {
                throw UnreadableAnswer("a key or value is not base64, or not of the prefix")
            }
            values[key] = value
        }
        return Range(revision: revision, cluster: answer["header"]?["cluster_id"]?.text ?? "", values: values)
    }

    package static func watchLine(_ bytes: [UInt8], prefix: String) throws(UnreadableAnswer) -> WatchLine {
        let answer = try JSONReader.read(bytes)
        guard let result = answer["result"] else { return .ended(problem(answer) ?? "no result") }
        if result["canceled"]?.flag == true {
            // Only a compaction has it.
            if let compacted = result["compact_revision"]?.integer(Int64.self), compacted > 0 { return .compacted }
            return .ended("the watch was cancelled")
        }
        var events: [Event] = []
        for entry in (result["events"]?.list ?? []).prefix(mostKeys) {
            guard let key = name(entry["kv"]?["key"], prefix),
                let revision = entry["kv"]?["mod_revision"]?.integer(Int64.self)
            else { throw UnreadableAnswer("an event without a key or a revision") }
            if entry["type"]?.text == "DELETE" {
                events.append(Event(key: key, revision: revision, value: nil))
            } else if let value = data(entry["kv"]?["value"]) {
                events.append(Event(key: key, revision: revision, value: value))
            } else {
                throw UnreadableAnswer("a value is not base64")
            }
        }
        let revision = result["header"]?["revision"]?.integer(Int64.self) ?? 0
        return .events(events, revision: max(revision, events.map(\.revision).max() ?? 0))
    }

    /// The token of an answer to a user's password. It ends up in a header.
    package static func token(_ bytes: [UInt8]) throws(UnreadableAnswer) -> String {
        guard let token = try JSONReader.read(bytes)["token"]?.text, (1...mostTokenBytes).contains(token.utf8.count),
            token.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { throw UnreadableAnswer("the answer has no usable token") }
        return token
    }

    /// Of an answer that is none.
    package static func refusal(_ status: Int, _ bytes: [UInt8]) -> UnreadableAnswer {
        let words = (try? JSONReader.read(bytes)).flatMap(problem)
        return UnreadableAnswer("status \(status)" + (words.map { ": \($0)" } ?? ""), .status(status))
    }

    private static let mostTokenBytes = 8_192

    /// What etcd says is wrong: its words, shortened.
    private static func problem(_ answer: JSONValue) -> String? {
        let error = answer["error"]
        let text = error?["message"]?.text ?? answer["message"]?.text ?? error?.text
        return text.map { "etcd says: \(String($0.prefix(120)).withoutControls)" }
    }

    private static func name(_ value: JSONValue?, _ prefix: String) -> String? {
        guard let bytes = data(value), let key = String(validating: bytes, as: UTF8.self), key.hasPrefix(prefix) else {
            return nil
        }
        return String(key.dropFirst(prefix.count))
    }

    /// A value that is empty is left out.
    private static func data(_ value: JSONValue?) -> [UInt8]? {
        guard let value else { return [] }
        return value.text.flatMap { Data(base64Encoded: $0) }.map(Array.init)
    }

    /// What a user and its password are sent as.
    static func authentication(_ user: String, _ password: String) -> [UInt8] {
        (try? JSONEncoder().encode(["name": user, "password": password])).map(Array.init) ?? []
    }

    static func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }

    /// The first key after all that begin with the prefix, whose last byte is `/`.
    static func end(of prefix: String) -> String { String(prefix.dropLast()) + "0" }
}

/// Patroni's keys as they are after a range and the events since. Pure.
package struct EtcdView: Sendable {
    package private(set) var values: [String: [UInt8]] = [:]
    /// Of the last change that is in it.
    package private(set) var revision: Int64 = 0
    private var cluster: String?
    /// The last time that the store was not what it had been.
    private var setBack: (words: String, at: Instant)?

    private static let mostKeys = 2_048
    /// A store that was put back is spoken of for so long.
    private static let memory: Duration = .seconds(600)

    package init() {}

    /// What etcd has, read with a quorum: it cannot be older than what is known, unless the store was put back.
    /// - Returns: true if it was: revisions of before mean nothing any more, nor does a watch that counts in them.
    @discardableResult
    package mutating func replace(_ range: EtcdAnswer.Range, now: Instant) -> Bool {
        var change: String?
        if let cluster, range.cluster != cluster {
            change = "etcd is another cluster than before: its cluster_id is another"
        } else if cluster != nil, range.revision < revision {
            change = "etcd was put back to an earlier state: its revision was \(revision), and is \(range.revision)"
        }
        if let change {
            setBack = ("\(change). The watch has begun anew; timelines still never go back", now)
        } else if let known = setBack, known.at.duration(to: now) > Self.memory {
            setBack = nil
        }
        (values, revision, cluster) = (range.values, range.revision, range.cluster)
        return change != nil
    }

    /// Events in the order in which they came; those that a range had already are skipped.
    package mutating func apply(_ events: [EtcdAnswer.Event], revision: Int64) {
        for event in events where event.revision > self.revision {
            guard event.value == nil || values[event.key] != nil || values.count < Self.mostKeys else { continue }
            values[event.key] = event.value
        }
        self.revision = max(self.revision, revision)
    }

    package var leader: String? { values["leader"].map { String(decoding: $0.prefix(256), as: UTF8.self) } }

    /// What Patroni's agents have written there, as a report.
    package var report: ClusterReport {
        var report = ClusterReport(members: [], leaders: [])
        if let setBack { report.complaints.append(setBack.words) }
        // Empty while the cluster is being made.
        report.systemIdentifier = values["initialize"].flatMap {
            UInt64(String(decoding: $0.prefix(32), as: UTF8.self))
        }
        if let leader { report.leaders.append(MemberText.shown(leader)) }
        let optime = (json("status")?["optime"]?.integer(UInt64.self)).flatMap { $0 }
        let synchronous = synchronousStandbys
        for key in values.keys.sorted() where key.hasPrefix("members/") {
            let name = String(key.dropFirst("members/".count))
            guard report.members.count < ClusterReport.mostMembers else {
                report.complaints.append("it lists more than \(ClusterReport.mostMembers) members")
                break
            }
            do throws(UnreadableAnswer) {
                guard let value = json(key) else {
                    throw UnreadableAnswer("what member \(MemberText.shown(name)) has written is not JSON")
                }
                report.members.append(try member(name, value, optime, synchronous))
                if name == leader, value["role"]?.text == "standby_leader" { report.isStandbyCluster = true }
            } catch { report.note(error) }
        }
        if let config = values["config"] {
            let read = try? JSONReader.read(config)
            report.isSynchronous = read.flatMap(PatroniAnswer.isSynchronous)
            if case .table? = read?["standby_cluster"] { report.isStandbyCluster = true }
        }
        return report
    }

    private func json(_ key: String) -> JSONValue? { values[key].flatMap { try? JSONReader.read($0) } }

    /// `sync` names them with commas between.
    private var synchronousStandbys: Set<Substring> {
        let names = json("sync")?["sync_standby"]?.text ?? ""
        return Set(names.split(separator: ","))
    }

    private func member(
        _ name: String, _ value: JSONValue, _ optime: UInt64?, _ synchronous: Set<Substring>
    ) throws(UnreadableAnswer) -> ClusterMember {
        let address = value["conn_url"]?.text.flatMap(Self.address)
        let place = try MemberText.place(name: name, host: address?.host, port: address?.port)
        let role: ClusterMember.Role =
            name == leader ? .leader : synchronous.contains(name[...]) ? .synchronousStandby : .standby
        let position = value["xlog_location"]?.integer(UInt64.self)
        let lag = optime.flatMap { optime in position.map { optime > $0 ? optime - $0 : 0 } }
        return ClusterMember(
            place, role: role, isRunning: MemberText.isRunning(value["state"]?.text),
            timeline: value["timeline"]?.integer(), lag: role == .leader ? nil : lag)
    }

    /// Of `postgres://HOST:PORT/DATABASE`; 5432 if there is no port.
    static func address(_ url: String) -> (host: String, port: Int)? {
        guard url.utf8.count <= 1_024, let scheme = url.range(of: "://") else { return nil }
        var authority = url[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" }
        if let at = authority.lastIndex(of: "@") { authority = authority[authority.index(after: at)...] }
        let (host, port) = HTTPEndpoint.split(authority)
        guard let port = port.isEmpty ? 5_432 : Int(port) else { return nil }
        return host.isEmpty ? nil : (host, port)
    }
}
