/// A size of Azure Database for PostgreSQL (flexible server), with its connections.
///
/// The figures are of https://learn.microsoft.com/azure/postgresql/flexible-server/concepts-limits, as of 2026-11.
public struct AzureTier: Hashable, Sendable {
    /// Such as `GP 4 vCores`.
    public let name: String
    public let processors: Int
    /// `max_connections`, as it is unless somebody changes it.
    public let connections: Int

    /// For replication and monitoring by Azure itself, at every size.
    public static let reserved = 15

    public static let all: [AzureTier] = burstable + generalPurpose + memoryOptimized

    private static let burstable = [
        ("B1ms", 1, 50), ("B2s", 2, 429), ("B2ms", 2, 859), ("B4ms", 4, 1_718), ("B8ms", 8, 3_437),
        ("B12ms", 12, 5_000), ("B16ms", 16, 5_000), ("B20ms", 20, 5_000),
    ].map { AzureTier($0, $1, $2) }

    private static let generalPurpose = [
        (2, 859), (4, 1_718), (8, 3_437), (16, 5_000), (32, 5_000), (48, 5_000), (64, 5_000), (96, 5_000),
    ].map { AzureTier("GP \($0) vCores", $0, $1) }

    private static let memoryOptimized = [
        (2, 1_718), (4, 3_437), (8, 5_000), (16, 5_000), (20, 5_000), (32, 5_000), (48, 5_000), (64, 5_000),
        (96, 5_000),
    ].map { AzureTier("MO \($0) vCores", $0, $1) }

    private init(_ name: String, _ processors: Int, _ connections: Int) {
        self.name = name
        self.processors = processors
        self.connections = connections
    }

    /// - Parameter text: `B1ms`, `GP 2 vCores`, `gp-2`, `mo16`: capitals, spaces, hyphens and vCores do not matter.
    public init?(_ text: String) {
        let wanted = Self.key(text)
        guard let tier = Self.all.first(where: { Self.key($0.name) == wanted }) else { return nil }
        self = tier
    }

    private static func key(_ text: String) -> String {
        text.lowercased().filter { $0.isLetter || $0.isNumber }.replacing(/vcores?/, with: "")
    }
}
