package import SluiceCore

/// What an identity may do with a collection.
package struct Actions: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// SEARCH, COUNT, and NEXT of their lists.
    package static let search = Actions(rawValue: 1)
    /// GET: rows by their ids.
    package static let get = Actions(rawValue: 2)
    /// LOAD; its mode `replace`, which takes the old rows away, needs `delete` as well.
    package static let load = Actions(rawValue: 4)
    /// WRITE of rows.
    package static let write = Actions(rawValue: 8)
    /// WRITE that deletes rows.
    package static let delete = Actions(rawValue: 16)
    /// To change how the gateway runs.
    package static let admin = Actions(rawValue: 32)

    package static let all: Actions = [.search, .get, .load, .write, .delete, .admin]

    /// By the words of the configuration, in its order.
    package static let names: [(name: String, action: Actions)] = [
        ("search", .search), ("get", .get), ("load", .load), ("write", .write), ("delete", .delete),
        ("admin", .admin),
    ]

    package var words: [String] { Self.names.filter { contains($0.action) }.map(\.name) }
}

/// What an identity may do with one collection, and which of its rows there are for it.
package struct Permission: Hashable, Sendable {
    package var actions: Actions
    /// And-ed into every statement: rows of which it is not true do not exist for the identity.
    package var filter: Filter?

    package init(_ actions: Actions, filter: Filter? = nil) {
        self.actions = actions
        self.filter = filter
    }
}

/// Allowances that all sessions of an identity share; nil for the gateway's own.
package struct IdentityLimits: Hashable, Sendable {
    package var requestsPerSecond: Int?
    package var maxInFlight: Int?
    package var maxK: Int?
    /// Of frames, in both directions.
    package var bytesPerSecond: Int?
    /// The share of each replica's connections that its requests may hold at a time, above 0 to 1; at least one.
    package var poolShare: Double?

    package init() {}
}

/// Who a session acts for, and what that one may do.
package struct Identity: Hashable, Sendable {
    package var name: String
    package var permissions: [String: Permission] = [:]
    /// For every collection that has no permission of its own.
    package var otherwise: Permission?
    package var limits = IdentityLimits()

    package init(name: String) { self.name = name }

    /// Whoever connects, where no identities are configured.
    static let anybody: Identity = {
        var identity = Identity(name: "")
        identity.otherwise = Permission(.all)
        return identity
    }()

    /// For logs.
    var shownName: String { name.isEmpty ? "anybody" : "\"\(name)\"" }

    package func permission(for collection: String) -> Permission? { permissions[collection] ?? otherwise }

    package func may(_ actions: Actions, _ collection: String) -> Bool {
        permission(for: collection)?.actions.isSuperset(of: actions) ?? false
    }

    /// Whether anything at all may be done with it: what may not is not shown.
    package func sees(_ collection: String) -> Bool { permission(for: collection).map { !$0.actions.isEmpty } ?? false }

    package func filter(for collection: String) -> Filter? { permission(for: collection)?.filter }
}
