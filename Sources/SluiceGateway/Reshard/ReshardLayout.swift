internal import SluiceCore
internal import SluiceEngine

/// From where to where a collection's rows move. It is kept in the database with the record of the move.
package struct ReshardLayout: Hashable, Sendable, Codable {
    /// One table on some shards, by `place(id, count)`.
    package struct Side: Hashable, Sendable, Codable {
        package var schema: String
        package var table: String
        package var shards: [String]

        package init(schema: String, table: String, shards: [String]) {
            self.schema = schema
            self.table = table
            self.shards = shards
        }

        /// As SQL writes it.
        package var quoted: String { "\(quotedSchema).\(SearchShape.quoted(table))" }
        var quotedSchema: String { SearchShape.quoted(schema) }
        package var shown: String { "\(schema).\(table)" }
    }

    package var collection: String
    package var idColumn: String
    package var old: Side
    package var new: Side
    /// Of the new side.
    package var epoch: Int

    package init(collection: String, idColumn: String, old: Side, new: Side, epoch: Int) {
        self.collection = collection
        self.idColumn = idColumn
        self.old = old
        self.new = new
        self.epoch = epoch
    }

    /// All shards of both sides, each once.
    package var shards: [String] { old.shards + new.shards.filter { !old.shards.contains($0) } }

    /// The comment that marks a table as one that a move has made.
    package var mark: String { "sluice reshard: collection \(collection), epoch \(epoch)" }

    /// For names of objects that belong to this collection, of any length that its own name may have.
    package var suffix: String {
        // FNV-1a.
        let hash = collection.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The keys of the collection that change once the rows have moved.
    package var configLines: [String] {
        [
            "table: \(AdoptedText.scalar(new.shown))",
            "shards: [\(new.shards.map(AdoptedText.scalar).joined(separator: ", "))]", "epoch: \(epoch)",
        ]
    }

    /// The key of the collection that has gateways follow the move.
    package var nextLine: String {
        "next: {table: \(AdoptedText.scalar(new.shown)), "
            + "shards: [\(new.shards.map(AdoptedText.scalar).joined(separator: ", "))]}"
    }
}

/// What `sluice reshard` was asked for.
public struct ReshardRequest: Sendable {
    public var configPath: String
    public var environment: [String: String]
    public var collection: String
    /// The new shards in the order of the hash's remainders; nil for the configuration's `next`.
    public var shards: [String]?
    /// The new table, as `TABLE` or `SCHEMA.TABLE`; nil for the configuration's `next`.
    public var table: String?
    /// Rows to copy at a time, at most.
    public var batch = 1_000
    /// The most that writes may be refused for.
    public var maxPause = Duration.seconds(10)
    /// In which every gateway sees the switch; it is part of the pause.
    public var gatewayTime = Duration.seconds(3)

    public init(configPath: String, environment: [String: String], collection: String) {
        self.configPath = configPath
        self.environment = environment
        self.collection = collection
    }
}

/// Why nothing, or no more, was done.
struct ReshardProblem: Error, Sendable {
    enum Kind: Sendable {
        /// The configuration, the options, or what is in the way in the databases.
        case wrong
        case unreachable
        /// A database refused, or its connection was lost.
        case failed
        /// Somebody holds a lock for too long.
        case locked
    }

    var kind: Kind
    var messages: [String]

    init(_ kind: Kind, _ messages: String...) {
        self.kind = kind
        self.messages = messages
    }

    init(_ kind: Kind, all messages: [String]) {
        self.kind = kind
        self.messages = messages
    }
}

extension ReshardLayout {
    /// - Parameter collection: as the configuration has it.
    init(
        _ request: ReshardRequest, _ collection: GatewayConfig.Collection, _ config: GatewayConfig
    ) throws(ReshardProblem) {
        guard collection.placement == .hash else {
            throw ReshardProblem(
                .wrong, "\(collection.name): its rows lie anywhere (placement: any), so that their ids say nothing")
        }
        var new = Side(schema: "public", table: "", shards: [])
        if let next = collection.next { new = Side(schema: next.schema, table: next.table, shards: next.shards) }
        if let table = request.table {
            let parts = table.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
            guard parts.count <= 2, parts.allSatisfy({ (1...63).contains($0.utf8.count) }) else {
                throw ReshardProblem(.wrong, "--table must be TABLE or SCHEMA.TABLE, each of 1 to 63 bytes")
            }
            (new.schema, new.table) = parts.count == 2 ? (parts[0], parts[1]) : ("public", parts[0])
        }
        if let shards = request.shards { new.shards = shards }
        guard !new.table.isEmpty, !new.shards.isEmpty else {
            throw ReshardProblem(
                .wrong,
                "\(collection.name): where to is not known: give the collection `next`, or --to and --table")
        }
        for shard in new.shards where !config.shards.contains(where: { $0.name == shard }) {
            throw ReshardProblem(
                .wrong,
                "there is no shard \"\(shard.withoutControls)\""
                    + Suggestion.text(for: shard, among: config.shards.map(\.name)))
        }
        guard Set(new.shards).count == new.shards.count else {
            throw ReshardProblem(.wrong, "a shard is named twice")
        }
        guard (new.schema, new.table) != (collection.schema, collection.table) else {
            throw ReshardProblem(
                .wrong, "the new table needs another name than the old one's, \(collection.schema).\(collection.table)")
        }
        self.init(
            collection: collection.name, idColumn: collection.idColumn,
            old: Side(schema: collection.schema, table: collection.table, shards: collection.shards), new: new,
            epoch: collection.epoch + 1)
    }
}
