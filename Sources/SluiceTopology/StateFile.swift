internal import Glibc
package import SluiceCore

/// What survives a restart: the highest timeline, of which cluster, and where the members were. One file for a shard.
package struct StateFile: Sendable {
    package struct Content: Hashable, Sendable {
        package var timeline: UInt32
        /// The cluster's; nil if it is not known.
        package var systemIdentifier: UInt64?
        package var members: [MemberPlace]

        package init(timeline: UInt32 = 0, systemIdentifier: UInt64? = nil, members: [MemberPlace] = []) {
            self.timeline = timeline
            self.systemIdentifier = systemIdentifier
            self.members = members
        }
    }

    package let path: String
    private let shard: String
    private static let mostBytes = 65_536

    package init(path: String, shard: String) {
        self.path = path
        self.shard = shard
    }

    /// - Returns: nil if there is no file.
    /// - Throws: why it cannot be used.
    package func read() throws(UnreadableAnswer) -> Content? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("cannot be read")
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Self.mostBytes + 1)
        var count = 0
        while count < bytes.count {
            let more = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(descriptor, buffer.baseAddress.map { $0 + count }, buffer.count - count)
            }
            if more == 0 { break }
            if more < 0 {
                if errno == EINTR { continue }
                throw failure("cannot be read")
            }
            count += more
        }
        guard count <= Self.mostBytes else { throw UnreadableAnswer("\(path) is no state file: it is too large") }
        return try parse(Array(bytes[..<count]))
    }

    private func parse(_ bytes: [UInt8]) throws(UnreadableAnswer) -> Content {
        let value: JSONValue
        do throws(UnreadableAnswer) { value = try JSONReader.read(bytes) } catch {
            throw UnreadableAnswer("\(path) is no state file: \(error)")
        }
        guard value["version"]?.integer(Int.self) == 1, let timeline = value["timeline"]?.integer(UInt32.self) else {
            throw UnreadableAnswer("\(path) is no state file of this version")
        }
        guard value["shard"]?.text == shard else { throw UnreadableAnswer("\(path) is another shard's state file") }
        let members = (value["members"]?.list ?? []).prefix(ClusterReport.mostMembers).compactMap { member in
            try? MemberText.place(
                name: member["name"]?.text, host: member["host"]?.text, port: member["port"]?.integer())
        }
        return Content(
            timeline: timeline, systemIdentifier: value["system_identifier"]?.integer(), members: members)
    }

    /// Replaces the file at once and for good. A timeline that it has already is not lowered, and one of another
    /// cluster's not replaced.
    package func write(_ content: Content) throws(UnreadableAnswer) {
        let known = (try? read()) ?? nil
        let timeline = max(content.timeline, known?.timeline ?? 0)
        let system = content.systemIdentifier ?? known?.systemIdentifier
        if let before = known?.systemIdentifier, before != system {
            throw UnreadableAnswer(
                "\(path) is of another cluster, and is kept: its system identifier is \(before), the shard's is "
                    + "\(system ?? 0)")
        }
        // Names and hosts have no character that would have to be escaped.
        let members = content.members.map { "{\"name\":\"\($0.name)\",\"host\":\"\($0.host)\",\"port\":\($0.port)}" }
        let text =
            "{\"version\":1,\"shard\":\"\(shard)\",\"timeline\":\(timeline),"
            + (system.map { "\"system_identifier\":\"\($0)\"," } ?? "")
            + "\"members\":[\(members.joined(separator: ","))]}\n"
        let draft = path + ".new"
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("cannot be written") }
        let isWritten = Self.writeAll(text, to: descriptor) && fsync(descriptor) == 0
        guard close(descriptor) == 0, isWritten, rename(draft, path) == 0 else { throw failure("cannot be written") }
        let folder = open(
            path.contains("/") ? String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) : ".", O_RDONLY)
        guard folder >= 0 else { return }
        fsync(folder)
        close(folder)
    }

    private static func writeAll(_ text: String, to descriptor: Int32) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private func failure(_ what: String) -> UnreadableAnswer {
        UnreadableAnswer("\(path) \(what): \(String(cString: strerror(errno)))")
    }
}
