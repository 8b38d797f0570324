import Foundation
import SluiceAdmin
import SluiceGateway
import Testing

/// Kubernetes' manifests fit each other and the configuration that is in them.
@Suite struct KubernetesTests {
    static let files = ["gateway.yaml", "sidecar.yaml"]

    /// A file's deployment, its gateway's container, and the configuration that this has.
    struct Shipped {
        var manifests: Manifests
        var deployment: Manifests.Deployment
        var gateway: Manifests.Container
        var config: GatewayConfig

        var pod: Manifests.Pod { deployment.spec.template.spec }

        init(_ file: String) throws {
            manifests = try Manifests(ShippedFilesTests.text("kubernetes/\(file)"))
            let deployments = try manifests.all("Deployment", "apps/v1", as: Manifests.Deployment.self)
            deployment = try #require(deployments.first)
            #expect(deployments.count == 1)
            let pod = deployment.spec.template.spec
            let containers = (pod.initContainers ?? []) + pod.containers
            gateway = try #require(containers.first { $0.name == "sluice" })

            // The file that the gateway is told to read is of the volume that is mounted there.
            let path = try #require(gateway.args?.last)
            #expect(gateway.args == ["serve", "--config", path])
            let folder = URL(filePath: path).deletingLastPathComponent().path
            let mount = try #require(gateway.volumeMounts.first { $0.mountPath == folder })
            let volume = try #require(pod.volumes.first { $0.name == mount.name })
            let maps = try manifests.all("ConfigMap", "v1", as: Manifests.ConfigMap.self)
            let map = try #require(maps.first { volume.configMaps.contains($0.metadata.name) })
            let text = try #require(map.data[URL(filePath: path).lastPathComponent])
            let environment = Dictionary(uniqueKeysWithValues: gateway.env.map { ($0.name, $0.value ?? "secret") })
            config = try GatewayConfig.parse(text, file: path, environment: environment)
        }
    }

    @Test(arguments: files)
    func theGatewayMayListenWhereItsConfigurationSays(file: String) throws {
        let config = try Shipped(file).config
        #expect(ListeningRule.objections(config.listen, config.admin, config.access) == [])
        // The kubelet comes from outside of the pod.
        #expect(try #require(config.admin.tcp).isLoopback == false)
    }

    @Test(arguments: files)
    func probesAskForWhatTheAdminAddressHas(file: String) async throws {
        let shipped = try Shipped(file)
        let gateway = shipped.gateway
        let admin = try #require(gateway.ports?.first { $0.name == "admin" })
        #expect(admin.containerPort == shipped.config.admin.tcp?.port)
        #expect(gateway.livenessProbe?.httpGet?.path == "/livez")
        #expect(gateway.readinessProbe?.httpGet?.path == "/readyz")
        let gets = [gateway.startupProbe, gateway.livenessProbe, gateway.readinessProbe].compactMap { $0?.httpGet }
        for get in gets { #expect(get.port == "admin") }
        let annotations = shipped.deployment.spec.template.metadata.annotations
        #expect(annotations["prometheus.io/port"] == "\(admin.containerPort)")
        let paths = gets.map(\.path) + [try #require(annotations["prometheus.io/path"])]
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            // Its replicas cannot be reached, so it is not ready.
            for path in paths {
                let status = try await fixture.client.get(path).status
                #expect(status == (path == "/readyz" ? 503 : 200), "\(path)")
            }
        }
        if let command = gateway.startupProbe?.exec?.command {
            #expect(command == ["test", "-S", try #require(shipped.config.listen.unixPath)])
        }
    }

    @Test(arguments: files)
    func selectorsFindThePods(file: String) throws {
        let shipped = try Shipped(file)
        let spec = shipped.deployment.spec
        func finds(_ selector: [String: String]) -> Bool {
            !selector.isEmpty && selector.allSatisfy { spec.template.metadata.labels[$0.key] == $0.value }
        }
        #expect(finds(spec.selector.matchLabels))
        let budgets = try shipped.manifests.all(
            "PodDisruptionBudget", "policy/v1", as: Manifests.DisruptionBudget.self)
        #expect(budgets.count == 1)
        for budget in budgets {
            #expect(finds(budget.spec.selector.matchLabels) && budget.spec.maxUnavailable < spec.replicas)
        }
        for service in try shipped.manifests.all("Service", "v1", as: Manifests.Service.self) {
            #expect(finds(service.spec.selector))
            for port in service.spec.ports {
                let target = try #require(shipped.gateway.ports?.first { $0.name == port.targetPort })
                #expect(target.containerPort == shipped.config.listen.tls?.port && port.port == target.containerPort)
            }
        }
    }

    @Test(arguments: files)
    func whatIsInFlightIsAnsweredBeforeThePodIsKilled(file: String) throws {
        let shipped = try Shipped(file)
        var needed = shipped.config.limits.shutdownGrace
        if let command = shipped.gateway.lifecycle?.preStop.exec.command {
            #expect(command.first == "sleep" && command.count == 2)
            needed += .seconds(try #require(command.last.flatMap(Int.init)))
        }
        // And some for the connections' end.
        #expect(.seconds(shipped.pod.terminationGracePeriodSeconds) >= needed + .seconds(5))
    }

    @Test(arguments: files)
    func noContainerMayMoreThanItNeeds(file: String) throws {
        let pod = try Shipped(file).pod
        #expect(pod.securityContext.runAsNonRoot && pod.securityContext.runAsUser > 0)
        #expect(pod.securityContext.seccompProfile.type == "RuntimeDefault" && !pod.automountServiceAccountToken)
        for container in (pod.initContainers ?? []) + pod.containers {
            let security = container.securityContext
            #expect(!security.allowPrivilegeEscalation && security.readOnlyRootFilesystem)
            #expect(security.capabilities.drop == ["ALL"])
            #expect(container.resources.limits["memory"] != nil && container.resources.requests["cpu"] != nil)
            #expect(!container.image.hasSuffix(":latest") && container.image.contains(":"))
        }
    }

    @Test(arguments: files)
    func whatTheGatewayHoldsFitsIntoItsMemory(file: String) throws {
        let shipped = try Shipped(file)
        let limit = try #require(shipped.gateway.resources.limits["memory"]?.wholeMatch(of: /([0-9]+)(Mi|Gi)/))
        let bytes = try #require(Int(limit.1)) << (limit.2 == "Gi" ? 30 : 20)
        let config = shipped.config
        // With lists and results, which have bounds of their own, and the process itself.
        let held = config.limits.maxMemory + config.cursors.maxBytes + config.cache.maxBytes + 64 << 20
        #expect(held <= bytes)
        let processors = try #require(shipped.gateway.resources.limits["cpu"].flatMap(Int.init))
        #expect(config.reactors <= processors)
    }

    @Test func theFilesThatTheConfigurationNamesAreInTheVolume() throws {
        let shipped = try Shipped("gateway.yaml")
        let sources = shipped.pod.volumes.compactMap(\.projected).flatMap(\.sources)
        #expect(sources.compactMap(\.configMap?.name).count == 1)
        let secrets = sources.compactMap(\.secret)
        #expect(secrets.map(\.name) == ["sluice-tls", "sluice-database", "sluice-tokens"])
        let tls = try #require(shipped.config.tls)
        // The keys of a secret of the type kubernetes.io/tls.
        #expect([tls.certificate, tls.key] == ["/etc/sluice/tls.crt", "/etc/sluice/tls.key"])
        #expect(shipped.config.access.tokens == "/etc/sluice/tokens")
        let authority = secrets.flatMap { $0.items ?? [] }.map(\.path)
        for replica in shipped.config.shards.flatMap(\.replicas) {
            #expect(authority.contains { replica.dsn.revealed.contains("sslrootcert=\($0)") })
        }
        let password = try #require(shipped.gateway.env.first { $0.name == "SLUICE_PASSWORD" })
        #expect(password.value == nil && password.valueFrom?.secretKeyRef.name == "sluice-database")
    }

    /// The socket's rights, and who is believed to be the application.
    @Test func theSidecarAndItsApplicationAreOneUser() throws {
        let shipped = try Shipped("sidecar.yaml")
        #expect(shipped.gateway.restartPolicy == "Always", "it starts first and goes on")
        let users = shipped.config.access.identities.flatMap(\.unixUsers)
        #expect(users == [UInt32(shipped.pod.securityContext.runAsUser)])
        let application = try #require(shipped.pod.containers.first)
        let url = try #require(application.env.first { $0.name == "SLUICE_URL" }?.value)
        let socket = try #require(shipped.config.listen.unixPath)
        #expect(url == "sluice+unix://\(socket)")
        let folder = URL(filePath: socket).deletingLastPathComponent().path
        for container in [application, shipped.gateway] {
            #expect(container.volumeMounts.contains { $0.name == "socket" && $0.mountPath == folder })
        }
    }
}
