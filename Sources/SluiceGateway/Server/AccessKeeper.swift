internal import Logging
internal import SluiceTopology
internal import Synchronization

/// Keeps the rules and certificates in force up to date: with their files, which it looks at four times a second, and
/// with the time, which ends tokens.
final class AccessKeeper: Sendable {
    private struct State {
        var access: GatewayConfig.Access
        var watch: FileWatch
        var nextExpiry: Int64?
    }

    /// A revoked token ends its sessions within a second.
    private static let pause = Duration.milliseconds(250)

    let directory: AccessDirectory
    let tls: TLSMaterial?
    private let registry: SessionRegistry
    private let logger: Logger
    private let state: Mutex<State>
    /// Whoever reads the files and puts what they say in force: one after the other.
    private let turn = Mutex(())

    /// - Throws: `TokenFile.Problem`, `TLSMaterial.Unusable`: a gateway does not start with less than was configured.
    init(_ config: GatewayConfig, poolSizes: [Int], registry: SessionRegistry, logger: Logger) throws {
        let tls = try config.tls.map { try TLSMaterial($0) }
        // Before the file is read: what changes meanwhile is seen.
        let watch = FileWatch(Self.files(config))
        let rules = AccessRules(config.access.identities, tokens: try Self.tokens(config.access))
        directory = AccessDirectory(rules, poolSizes: poolSizes)
        state = Mutex(
            State(access: config.access, watch: watch, nextExpiry: rules.nextExpiry(after: WallClock.seconds())))
        self.tls = tls
        self.registry = registry
        self.logger = logger
        warnOfExpiry()
    }

    /// Until the task is cancelled.
    func run() async {
        while (try? await Task.sleep(for: Self.pause)) != nil { look() }
    }

    /// Takes what a configuration says of identities and certificates.
    /// - Throws: `TokenFile.Problem`, `TLSMaterial.Unusable`: what was in force stays so.
    func reload(_ config: GatewayConfig) throws {
        try turn.withLock { _ in
            // Before the files are read: what changes meanwhile is seen.
            let watch = FileWatch(Self.files(config))
            let rules = AccessRules(config.access.identities, tokens: try Self.tokens(config.access))
            if let settings = config.tls { try tls?.reload(settings) }
            state.withLock { state in
                state.access = config.access
                state.watch = watch
            }
            take(rules)
        }
        warnOfExpiry()
    }

    private func look() { turn.withLock { _ in lookInTurn() } }

    private func lookInTurn() {
        let now = WallClock.seconds()
        let (access, changed, isExpired) = state.withLock { state in
            let isExpired = state.nextExpiry.map { $0 <= now } ?? false
            return (state.access, state.watch.changes(), isExpired)
        }
        if let tokens = access.tokens, changed.contains(tokens) { reloadTokens(access) }
        if isExpired {
            noteNextExpiry(directory.rules, now)
            registry.accessChanged()
        }
        if let tls, !changed.isDisjoint(with: tls.files) { reloadCertificates(tls) }
    }

    private func reloadTokens(_ access: GatewayConfig.Access) {
        do throws(TokenFile.Problem) {
            take(AccessRules(access.identities, tokens: try Self.tokens(access)))
            logger.notice("the tokens have been read anew")
        } catch {
            logger.error("the tokens that were in force stay so: \(error)")
        }
    }

    private func reloadCertificates(_ tls: TLSMaterial) {
        do {
            try tls.reload()
            logger.notice("the certificates have been read anew; new sessions get them")
            warnOfExpiry()
        } catch {
            // A key may be written a moment after its certificate: then this comes again.
            logger.error("the certificates that were in use stay so: \(error)")
        }
    }

    private func take(_ rules: AccessRules) {
        guard directory.replace(rules) else { return }
        noteNextExpiry(rules, WallClock.seconds())
        registry.accessChanged()
    }

    private func noteNextExpiry(_ rules: AccessRules, _ now: Int64) {
        state.withLock { $0.nextExpiry = rules.nextExpiry(after: now) }
    }

    private func warnOfExpiry() {
        guard let expires = tls?.expires else { return }
        let days = (expires - WallClock.seconds()) / 86_400
        if expires <= WallClock.seconds() {
            logger.error("the TLS certificate has expired: clients will refuse it")
        } else if days < 21 {
            logger.warning("the TLS certificate expires in \(days) days")
        }
    }

    private static func tokens(_ access: GatewayConfig.Access) throws(TokenFile.Problem) -> TokenTable {
        guard let path = access.tokens else { return TokenTable() }
        return try TokenFile.read(path)
    }

    private static func files(_ config: GatewayConfig) -> [String] {
        [config.access.tokens].compactMap(\.self) + (config.tls?.files ?? [])
    }
}
