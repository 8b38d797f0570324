extension ConfigReference {
    /// [topology.md](topology.md) says what they are for.
    static var sourceKeys: [Entry] {
        [
            .init(
                required: "shards[].source.type",
                "where the shard's replicas come from, in place of a list ([topology](topology.md)): `static` for the "
                    + "list"),
            .init(
                "shards[].source.endpoints", else: "required for `patroni`, `etcd`",
                "`http://HOST:PORT` or `https://HOST:PORT`: the REST APIs of all members, or etcd's addresses for "
                    + "clients"),
            .init("shards[].source.namespace", else: "`/service`", "for `etcd`: Patroni's `namespace`"),
            .init("shards[].source.scope", else: "required for `etcd`", "Patroni's `scope`: the cluster's name"),
            .init("shards[].source.name", else: "required for `dns`", "the name that is looked up"),
            .init(
                "shards[].source.record", else: "`address`",
                "for `dns`: A and AAAA records, or SRV records, which have ports"),
            .init("shards[].source.port", else: "`5432`", "for `dns` with addresses: PostgreSQL's port"),
            .init(
                "shards[].source.interval", else: "`1s`, for `dns` `10s`",
                "between two rounds, a tenth more or less; while there is nobody to write to, a quarter of a second "
                    + "at most"),
            .init("shards[].source.timeout", else: "`1s`", "for one answer"),
            .init(
                "shards[].source.leader_lease", else: "`3s`",
                "how long the leader may be written to after the source has named it last"),
            .init(
                "shards[].source.require_sync", else: "`false`",
                "where synchronous mode is on, a leader without a synchronous standby is not written to"),
            .init(
                "shards[].source.state_file", else: "none",
                "where the highest timeline, the cluster's system identifier and the members survive a restart; each "
                    + "shard has its own"),
            .init("shards[].source.ca", else: "the system's", "a PEM file: whose certificates are believed"),
            .init("shards[].source.certificate", else: "none", "a PEM file: the certificate that is shown"),
            .init("shards[].source.key", else: "none", "a PEM file: its key"),
            .init(
                "shards[].source.username", else: "none",
                "for `etcd` with authentication: the user, who may read Patroni's keys; together with `password_file`"),
            .init(
                "shards[].source.password_file", else: "none",
                "its first line is that user's password; read again whenever a token is asked for"),
            .init(
                required: "shards[].source.replica.dsn",
                "as a replica's, in keywords and values, without `host` and `port`"),
            .init(
                "shards[].source.replica.password_file", else: "none",
                "its first line is the password; not together with one in the dsn"),
            .init("shards[].source.replica.pooler", else: "`none`", "as a replica's"),
            .init("shards[].source.replica.pool", else: "`pool`", "the same keys as `pool`, for each member"),
            .init("shards[].source.replica.weight", else: "`1`", "as a replica's"),
            .init("shards[].source.replica.timeout", else: "none", "as a replica's"),
        ]
    }
}
