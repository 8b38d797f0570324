internal import SluiceGateway
internal import SluiceMetrics

extension GatewayState {
    /// What is sampled when somebody asks; what is measured at each event is in the registry.
    var families: [MetricFamily] {
        processFamilies + clientFamilies + admissionFamilies + readinessFamilies + shardFamilies + replicaFamilies
            + poolFamilies + topologyFamilies
    }

    private var processFamilies: [MetricFamily] {
        [
            MetricFamily(
                "sluice_build_info", .gauge, "1, with the version.", [.init(1, [.init("version", process.version)])]),
            .gauge("process_start_time_seconds", "When the process started, since 1970.", process.startedAt),
            .counter("process_cpu_seconds", "User and system time of all threads.", process.cpuTime),
            .gauge("process_resident_memory_bytes", "Resident memory.", process.residentBytes.map(Double.init)),
            MetricFamily(
                "sluice_reactor_lag_seconds", .gauge, "How long a piece of work waited for its reactor just now.",
                reactors.enumerated().map { .init($1.lag, [.init("reactor", String($0))]) }),
            .counter(
                "sluice_integrity_failures", "Answers of servers that were another request's, and were dropped.",
                Double(integrityFailures)),
        ]
    }

    private var clientFamilies: [MetricFamily] {
        [
            .gauge("sluice_sessions", "Open sessions.", Double(clients.sessions)),
            .gauge("sluice_sessions_limit", "The most sessions.", Double(clients.maxSessions)),
            .counter("sluice_sessions_opened", "Sessions that were opened.", Double(clients.sessionsOpened)),
            .counter(
                "sluice_sessions_refused", "Connections that there was no place for.", Double(clients.sessionsRefused)),
            .counter("sluice_received_bytes", "Bytes from clients.", Double(clients.receivedBytes)),
            .counter("sluice_sent_bytes", "Bytes to clients.", Double(clients.sentBytes)),
            .gauge("sluice_held_bytes", "Bytes that are held for clients.", Double(clients.heldBytes)),
            .gauge("sluice_held_bytes_limit", "Above it work is shed.", Double(clients.maxHeldBytes)),
            .gauge(
                "sluice_paused_sessions", "Sessions that are not read from, as they hold too much.",
                Double(clients.pausedSessions)),
        ]
    }

    private var admissionFamilies: [MetricFamily] {
        guard let admission else { return [] }
        return [
            .gauge("sluice_admission_running", "Requests that have been let in.", Double(admission.running)),
            .gauge("sluice_admission_limit", "How many may run just now.", Double(admission.limit)),
            .gauge("sluice_admission_waiting", "Requests that wait to be let in.", Double(admission.waiting)),
        ]
    }

    private var readinessFamilies: [MetricFamily] {
        [
            .gauge("sluice_ready", "1 if every collection can be searched whole.", isReady ? 1 : 0),
            MetricFamily(
                "sluice_collection_ready", .gauge, "1 if every shard of the collection can answer.",
                collections.map { .init($0.isReady ? 1 : 0, [.init("collection", $0.name)]) }),
            MetricFamily(
                "sluice_collection_layout_epoch", .gauge, "Of the layout that is served; 0 if that is not known.",
                collections.map { .init(Double($0.epoch ?? 0), [.init("collection", $0.name)]) }),
        ]
    }

    private var shardFamilies: [MetricFamily] {
        func family(
            _ name: String, _ kind: MetricFamily.Kind, _ help: String, _ value: (Shard) -> Double
        ) -> MetricFamily {
            MetricFamily(name, kind, help, shards.map { .init(value($0), [.init("shard", $0.name)]) })
        }
        return [
            family("sluice_shard_has_primary", .gauge, "1 if the shard can be written to.") {
                $0.primary == nil ? 0 : 1
            },
            family("sluice_shard_primary_conflicts", .counter, "How often two servers claimed to be the primary.") {
                Double($0.conflicts)
            },
            family("sluice_extra_attempts", .counter, "Retries and hedges.") { Double($0.extraAttempts) },
            family("sluice_refused_extra_attempts", .counter, "Retries and hedges that there was no budget for.") {
                Double($0.refusedExtraAttempts)
            },
        ]
    }

    private var replicaFamilies: [MetricFamily] {
        [
            perReplica("sluice_replica_reachable", .gauge, "1 if there is a connection, or there was no failed dial.") {
                $0.isReachable ? 1 : 0
            },
            perReplica("sluice_replica_drained", .gauge, "1 if an operator has drained it.") { $0.isDrained ? 1 : 0 },
            perReplica("sluice_replica_primary", .gauge, "1 if it said last that it is a primary.") {
                $0.role == "primary" ? 1 : 0
            },
            perReplica("sluice_replica_lag_seconds", .gauge, "Its rows are at most so old.") { $0.lag },
            perReplica("sluice_replica_lag_bytes", .gauge, "WAL that it has not replayed.") {
                $0.lagBytes.map(Double.init)
            },
            perReplica("sluice_replica_latency_seconds", .gauge, "The moving peak that replicas are chosen by.") {
                $0.latency
            },
            perReplica("sluice_replica_encrypted", .gauge, "1 if the last connection that was made has TLS.") {
                $0.transport.map { $0.isEncrypted ? 1 : 0 }
            },
            MetricFamily(
                "sluice_replica_tls_info", .gauge, "1, with the TLS version and cipher of the last connection made.",
                eachReplica { replica, labels in
                    guard let transport = replica.transport, transport.isEncrypted else { return [] }
                    let version = MetricFamily.Label("version", transport.tlsVersion ?? "")
                    return [.init(1, labels + [version, .init("cipher", transport.cipher ?? "")])]
                }),
            perReplica(
                "sluice_replica_certificate_expiry_timestamp_seconds", .gauge,
                "The last moment that the server's certificate is good for, since 1970."
            ) { $0.transport?.certificateExpires },
            perReplica("sluice_replica_in_flight", .gauge, "Attempts that run on it.") { Double($0.inFlight) },
            perReplica("sluice_replica_settling", .gauge, "Attempts that have ended here and not yet on the server.") {
                Double($0.settling)
            },
            MetricFamily(
                "sluice_breaker_state", .gauge, "1 for the state that the breaker is in.",
                eachReplica { replica, labels in
                    [BreakerState.closed, .open, .halfOpen].map {
                        .init(replica.breaker == $0 ? 1 : 0, labels + [.init("state", $0.rawValue)])
                    }
                }),
        ]
    }

    private var poolFamilies: [MetricFamily] {
        [
            MetricFamily(
                "sluice_pool_connections", .gauge, "Connections by what they do.",
                eachReplica { replica, labels in
                    let pool = replica.pool
                    let states = [
                        ("idle", pool.idle), ("leased", pool.leased), ("dialling", pool.dialling),
                        ("closing", pool.closing), ("backing_off", pool.backingOff),
                    ]
                    return states.map { .init(Double($1), labels + [.init("state", $0)]) }
                }),
            perReplica("sluice_pool_limit", .gauge, "The most connections.") { Double($0.pool.limit) },
            perReplica("sluice_pool_budget", .gauge, "The most connections of all gateways that share the server.") {
                ($0.fleet?.budget).map(Double.init)
            },
            perReplica("sluice_fleet_gateways", .gauge, "Gateways that share the server; 0 if they cannot be seen.") {
                $0.fleet.map { Double($0.gateways ?? 0) }
            },
            perReplica("sluice_pool_waiting", .gauge, "Legs that wait for a connection.") { Double($0.pool.waiting) },
            perReplica("sluice_pool_leases", .counter, "Uses of a connection.") { Double($0.pool.leases) },
            perReplica("sluice_pool_waits", .counter, "Legs that had to wait for one.") { Double($0.pool.waits) },
            perReplica("sluice_pool_expired", .counter, "Legs whose time ended while they waited.") {
                Double($0.pool.expired)
            },
            perReplica("sluice_pool_refused", .counter, "Legs that could not even wait.") { Double($0.pool.refused) },
            perReplica("sluice_dials", .counter, "Connections that were begun.") { Double($0.pool.dials) },
            perReplica("sluice_dial_failures", .counter, "Connections that could not be made.") {
                Double($0.pool.dialFailures)
            },
        ]
    }

    private func perReplica(
        _ name: String, _ kind: MetricFamily.Kind, _ help: String, _ value: (Replica) -> Double?
    ) -> MetricFamily {
        MetricFamily(
            name, kind, help, eachReplica { replica, labels in value(replica).map { [.init($0, labels)] } ?? [] })
    }

    private func eachReplica(
        _ samples: (Replica, [MetricFamily.Label]) -> [MetricFamily.Sample]
    ) -> [MetricFamily.Sample] {
        shards.flatMap { shard in
            shard.replicas.flatMap { samples($0, [.init("shard", shard.name), .init("replica", $0.name)]) }
        }
    }
}

extension MetricFamily {
    fileprivate static func gauge(_ name: String, _ help: String, _ value: Double?) -> MetricFamily {
        MetricFamily(name, .gauge, help, value.map { [Sample($0)] } ?? [])
    }

    fileprivate static func counter(_ name: String, _ help: String, _ value: Double) -> MetricFamily {
        MetricFamily(name, .counter, help, [Sample(value)])
    }
}
