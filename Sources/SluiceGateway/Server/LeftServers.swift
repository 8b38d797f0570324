/// How many servers that are not served any more a gateway may remember: each keeps its number, an empty pool on each
/// lane and its measurements for as long as the gateway runs.
package enum LeftServers {
    package static let most = 4_096

    package struct TooMany: Error, Hashable, CustomStringConvertible {
        package var description: String {
            "more than \(LeftServers.most) servers have left since the gateway was started, the others stay as they "
                + "are: restart it, and give members addresses that stay"
        }
    }

    /// - Parameters:
    ///   - known: the distinct servers that are or were served.
    ///   - wanted: those of them that are to be served now.
    package static func check(known: Int, wanted: Int) throws(TooMany) {
        if known - wanted > most { throw TooMany() }
    }
}
