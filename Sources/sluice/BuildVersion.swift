import CBuildInfo
import SluiceGateway

extension Version {
    /// With the commit, if a script of this project has built it from a checkout.
    static let withCommit: String = {
        let commit = String(cString: sluice_commit())
        return commit.isEmpty ? current : "\(current) (\(commit))"
    }()
}
