import SluiceCore
import SluiceEngine
import SluiceGateway

/// A client that is known by its token and sees only its own rows: in every statement for it there is a filter that it
/// did not send.
enum FuzzTenant {
    static let token = "slc_0102030405060708_" + String(repeating: "0f", count: 32)
    private static let id: Int64 = 7
    private static let column = "tenant"

    /// Nil if there is no randomness for a salt.
    static let rules: AccessRules? = {
        guard let token = Token(Array(token.utf8)), let hash = try? TokenHash(of: token) else { return nil }
        var identity = Identity(name: "tenant")
        identity.otherwise = Permission(
            [.search, .get, .load, .write, .delete],
            filter: .compare(column: column, .equal, .int(id)))
        identity.permissions["bits"] = Permission([])
        identity.limits.maxK = 50
        var tokens = TokenTable()
        tokens.add(TokenEntry(id: token.id, identity: "tenant", hash: hash, created: 0, expires: nil))
        return AccessRules([.init(identity)], tokens: tokens)
    }()

    /// What is wrong with a statement that is run for the tenant; nil if nothing is.
    static func complaint(_ search: BackendSearch) -> String? {
        let sql = search.shape.sql(vectorSchema: "public")
        // The first parameter of the filter, which comes after the token, or after a ranking's ids.
        for first in [3, 4] {
            let own = "(t.\"\(column)\" OPERATOR(pg_catalog.=) $\(first))"
            guard search.parameters.indices.contains(first - 3),
                search.parameters[first - 3].bytes.elementsEqual(bytes),
                sql.contains("WHERE \(own)") || sql.contains("AND \(own)") || sql.contains("(\(own) AND ")
            else { continue }
            return nil
        }
        return "a statement without the tenant's filter: \(sql)"
    }

    private static let bytes = withUnsafeBytes(of: id.bigEndian) { Array($0) }
}
