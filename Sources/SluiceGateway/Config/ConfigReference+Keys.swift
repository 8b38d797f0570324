internal import SluiceCore
internal import SluiceEngine

/// What each key does, in the order of the reference. The text begins in lower case and does not say bounds, which are
/// the reader's.
extension ConfigReference {
    static var keys: [Entry] {
        listenKeys + accessKeys + poolKeys + shardKeys + sourceKeys + collectionKeys + limitKeys + loadKeys
            + dependabilityKeys
            + otherKeys + tracingKeys
    }

    private static var listenKeys: [Entry] {
        let tls = GatewayConfig.TLS(certificate: "", key: "")
        return [
            .init(
                "listen.tcp", \.listen.tcp,
                "`HOST:PORT` or `[IPv6]:PORT`; port 0 takes a free one. If `listen` is there, only what it names is "
                    + "listened on"),
            .init("listen.tls", \.listen.tls, "the same with TLS from the first byte; needs `tls`"),
            .init("listen.unix", \.listen.unixPath, "a Unix socket, the same protocol; a left-over one is replaced"),
            .init(
                "admin.tcp", \.admin.tcp,
                "where the page, metrics and actions are, by HTTP ([operations](operations.md)); one that is named is "
                    + "required"),
            .init("admin.enabled", else: "`true`", "`false` for no admin address"),
            .init(
                required: "tls.certificate",
                "a PEM file: the listener's certificate, then its chain ([security](security.md))"),
            .init(required: "tls.key", "a PEM file: its key"),
            .init(
                "tls.client_ca", else: "none",
                "a PEM file: whose client certificates are believed; none are asked for without it"),
            .init(
                "tls.client_certificates", else: "`\(tls.clientCertificates.rawValue)`",
                "whether a client must have one; needs `client_ca`"),
            .init("tls.min_version", else: "`\(tls.minimumVersion.rawValue)`", "the oldest version of TLS"),
        ]
    }

    private static var accessKeys: [Entry] {
        [
            .init(
                "access.tokens", \.access.tokens, "the file in which `sluice token` keeps the hashes of the tokens"),
            .init(required: "access.identities[].name", "as a shard's"),
            .init(
                "access.identities[].certificates", else: "none",
                "names in verified client certificates: `CN:`, `DNS:`, `URI:`, `EMAIL:`, `IP:`"),
            .init("access.identities[].unix_users", else: "none", "names or numbers of users at a Unix socket"),
            .init(
                required: "access.identities[].collections",
                "for each collection, or `\"*\"` for the others, a list of `search get load write delete admin`, or "
                    + "`{allow: LIST, filter: TEXT}`"),
            .init("access.identities[].limits.requests_per_second", else: "none", "of all its sessions together"),
            .init("access.identities[].limits.max_in_flight", else: "none", "requests of all its sessions together"),
            .init("access.identities[].limits.max_k", else: "`limits.max_k`", "the largest k; the smaller holds"),
            .init("access.identities[].limits.bytes_per_second", else: "none", "of frames, both ways"),
            .init(
                "access.identities[].limits.pool_share", else: "none",
                "the share of each replica's connections that its legs may hold, at least one"),
        ]
    }

    private static var poolKeys: [Entry] {
        [
            .init(
                "reactors", else: "half the cores",
                "threads that run searches; never more than the smallest pool has connections"),
            .init(
                "pool.max_size", \.pool.maxSize,
                "the most connections to each replica over all reactors; those being closed or cancelled count"),
            .init(
                "pool.min_size", \.pool.minSize,
                "connections that are kept up whether or not they are used; at most `max_size`"),
            .init("pool.max_idle", \.pool.maxIdle, "an idle connection above `min_size` is closed after this"),
            .init(
                "pool.max_lifetime", \.pool.maxLifetime,
                "a connection is replaced at this age, less up to a tenth so that they do not end in step"),
            .init(
                "pool.check_after_idle", \.pool.checkAfterIdle,
                "a connection idle for longer is asked whether it lives before it is used"),
            .init("pool.max_dialling", \.pool.maxDialling, "dials of one replica at a time"),
            .init(
                "pool.acquire_timeout", \.pool.acquireTimeout,
                "how long a leg waits for a connection before the reply is `busy`"),
            .init(
                "pool.connect_timeout", \.pool.connectTimeout,
                "how long a dial may take, and the look at the databases when the gateway starts"),
            .init(
                "pool.max_waiting", \.pool.maxWaiting,
                "legs that may wait for a connection of one replica; beyond it `busy` comes at once"),
            .init(
                "pool.connection_budget", else: "none",
                "the most connections to each replica of all gateways together "
                    + "([operations](operations.md#one-budget-for-several-gateways)); 0 for none"),
            .init(
                "fleet.discovery", \.fleet.discovery,
                "how gateways find each other: in the server's list of connections, or in a table"),
            .init("fleet.dsn", else: "none", "for `table`: the database that has the table"),
            .init(
                "fleet.password_file", else: "none",
                "its first line is the password; not together with one in the dsn"),
            .init(
                "fleet.floor", else: "a connection for each reactor",
                "of each budget, what a gateway has while it does not see the others; with `activity` the "
                    + "connection that it looks by is in it"),
            .init("fleet.reserve", else: "as `fleet.floor`", "connections of each budget that no gateway claims"),
            .init("fleet.interval", \.fleet.interval, "how often a gateway looks at who is there"),
        ]
    }

    private static var shardKeys: [Entry] {
        [
            .init(required: "shards[].name", "letters, digits, `_ . -`; 1 to 63"),
            .init(
                "shards[].prefer", else: "`routing.prefer`", "which role is asked first"),
            .init("shards[].replicas[].name", else: "`SHARD-INDEX`", "as a shard's"),
            .init(
                required: "shards[].replicas[].dsn",
                "libpq's keywords and values, or a URI; one server; no `service`; relative paths in it (`sslrootcert`, "
                    + "`sslcert`, `sslkey`, `sslcrl`, `sslcrldir`, `passfile`) are relative to the file"),
            .init(
                "shards[].replicas[].password_file", else: "none",
                "its first line is the password; not together with one in the dsn"),
            .init(
                "shards[].replicas[].pooler", \.shards[0].replicas[0].pooler,
                "`transaction` for a PgBouncer in transaction mode: statements stay unnamed"),
            .init(
                "shards[].replicas[].pool", else: "`pool`",
                "the same keys as `pool`, for this replica"),
            .init(
                "shards[].replicas[].weight", \.shards[0].replicas[0].weight,
                "how often it is chosen, compared with the shard's others"),
            .init(
                "shards[].replicas[].zone", \.shards[0].replicas[0].zone,
                "where it runs; replicas in the gateway's own zone come first"),
            .init(
                "shards[].replicas[].timeout", \.shards[0].replicas[0].timeout,
                "the most that one attempt on it may take; then another replica may be asked"),
        ]
    }

    private static var collectionKeys: [Entry] {
        [
            .init(required: "collections[].name", "what clients call it"),
            .init(
                required: "collections[].table",
                "`TABLE` or `SCHEMA.TABLE`; the schema is `public` if none is named"),
            .init(
                "collections[].id", \.collections[0].idColumn,
                "a bigint, integer or smallint column, unique over all shards"),
            .init("collections[].vector", \.collections[0].vectorColumn, "a column of the type below"),
            .init("collections[].type", \.collections[0].form, "of its vectors"),
            .init(
                required: "collections[].metric",
                "the index's; `hamming` and `jaccard` are for `bit`, the others for the other types"),
            .init(
                required: "collections[].dimensions",
                "for `sparsevec` to \(VectorForm.sparsevec.maximumDimensions), for `bit` to "
                    + "\(VectorForm.bit.maximumDimensions)"),
            .init("collections[].columns", else: "none", "what clients may ask for, at most 256"),
            .init(
                "collections[].filterable", else: "none",
                "what filters may name, with its type: `{section: text, installed_kib: int}`"),
            .init(
                "collections[].defaults.ef_search", \.collections[0].defaults.efSearch,
                "`hnsw.ef_search`, if a request does not say it; the server's if this does not either"),
            .init("collections[].defaults.probes", \.collections[0].defaults.probes, "`ivfflat.probes`, the same"),
            .init(
                "collections[].defaults.iterative_scan", else: "none",
                "`hnsw.iterative_scan` and `ivfflat.iterative_scan`, the same"),
            .init(
                "collections[].defaults.max_scan_tuples", \.collections[0].defaults.maxScanTuples,
                "`hnsw.max_scan_tuples`, the same"),
            .init(
                "collections[].defaults.scan_memory_multiplier", \.collections[0].defaults.scanMemoryMultiplier,
                "`hnsw.scan_mem_multiplier`, the same"),
            .init("collections[].defaults.work_mem", \.collections[0].defaults.workMem, "`work_mem`, the same"),
            .init("collections[].caps", else: "none", "the most that a request may ask for; bounds as of `defaults`"),
            .init(
                "collections[].model", \.collections[0].model,
                "the model that made the vectors; a request that names another is refused"),
            .init(
                "collections[].text.column", else: "none", "a tsvector column: what hybrid searches look at"),
            .init("collections[].text.language", else: "`simple`", "the text search configuration"),
            .init(
                "collections[].coarse", else: "none",
                "which expression indexes it has for two-phase searches: over "
                    + "`(binary_quantize(VECTOR)::bit(DIMENSIONS))`, over `(VECTOR::halfvec(DIMENSIONS))`"),
            .init(
                "collections[].placement", \.collections[0].placement,
                "`any` if rows are not placed by the hash of their id: then every shard is asked for all k rows, and "
                    + "for every id"),
            .init(
                "collections[].single_flight", \.collections[0].singleFlight,
                "equal searches at the same time share one execution"),
            .init("collections[].cache", \.collections[0].cache, "answers may come from the result cache"),
            .init(
                "collections[].require_index", \.collections[0].requireIndex,
                "do not start if a shard that answers has no index that serves the metric, or a form that `coarse` "
                    + "declares"),
            .init("collections[].shards", else: "all", "where it lies, in the order of the hash's remainders"),
            .init(
                "collections[].epoch", \.collections[0].epoch,
                "of this table and these shards: the next number when the rows are moved ([topology](topology.md))"),
            .init(
                "collections[].next.table", else: "none",
                "another table, which the rows are being moved to; with `next` both keys are required"),
            .init(
                "collections[].next.shards", else: "none",
                "its shards; it is served as soon as the databases say that its epoch, `epoch` + 1, is the true one"),
            .init(
                "collections[].timeout", \.collections[0].timeout,
                "the most that a search of it may take, if the request's deadline is later"),
            .init(
                "collections[].max_staleness", \.collections[0].maxStaleness,
                "replicas that may be further behind the primary are not asked ([freshness](freshness.md))"),
        ]
    }
}
