import Foundation
import Testing
import Yams

/// What the tests look at in Kubernetes' manifests. A field that has to be there and is not fails the decoding.
struct Manifests {
    struct Metadata: Decodable {
        var name: String
        var labels: [String: String]?
    }

    struct Kind: Decodable {
        var apiVersion: String
        var kind: String
        var metadata: Metadata
    }

    struct Selector: Decodable {
        var matchLabels: [String: String]
    }

    struct ConfigMap: Decodable {
        var metadata: Metadata
        var data: [String: String]
    }

    struct Service: Decodable {
        struct Port: Decodable {
            var port: Int
            var targetPort: String
        }
        struct Spec: Decodable {
            var selector: [String: String]
            var ports: [Port]
        }
        var spec: Spec
    }

    struct DisruptionBudget: Decodable {
        struct Spec: Decodable {
            var maxUnavailable: Int
            var selector: Selector
        }
        var spec: Spec
    }

    struct Deployment: Decodable {
        struct Template: Decodable {
            struct Metadata: Decodable {
                var labels: [String: String]
                var annotations: [String: String]
            }
            var metadata: Metadata
            var spec: Pod
        }
        struct Spec: Decodable {
            var replicas: Int
            var selector: Selector
            var template: Template
        }
        var metadata: Manifests.Metadata
        var spec: Spec
    }

    struct Pod: Decodable {
        struct Security: Decodable {
            struct Profile: Decodable { var type: String }
            var runAsNonRoot: Bool
            var runAsUser: Int
            var fsGroup: Int
            var seccompProfile: Profile
        }
        var terminationGracePeriodSeconds: Int
        var automountServiceAccountToken: Bool
        var securityContext: Security
        var initContainers: [Container]?
        var containers: [Container]
        var volumes: [Volume]
    }

    struct Container: Decodable {
        struct Variable: Decodable {
            struct Source: Decodable {
                struct Key: Decodable {
                    var name: String
                    var key: String
                }
                var secretKeyRef: Key
            }
            var name: String
            var value: String?
            var valueFrom: Source?
        }
        struct Port: Decodable {
            var name: String
            var containerPort: Int
        }
        struct Command: Decodable { var command: [String] }
        struct Probe: Decodable {
            struct Get: Decodable {
                var path: String
                var port: String
            }
            var httpGet: Get?
            var exec: Command?
        }
        struct Lifecycle: Decodable {
            struct Handler: Decodable { var exec: Command }
            var preStop: Handler
        }
        struct Resources: Decodable {
            var requests: [String: String]
            var limits: [String: String]
        }
        struct Security: Decodable {
            struct Capabilities: Decodable { var drop: [String] }
            var allowPrivilegeEscalation: Bool
            var readOnlyRootFilesystem: Bool
            var capabilities: Capabilities
        }
        struct Mount: Decodable {
            var name: String
            var mountPath: String
        }
        var name: String
        var image: String
        var args: [String]?
        var env: [Variable]
        var ports: [Port]?
        var restartPolicy: String?
        var startupProbe: Probe?
        var livenessProbe: Probe?
        var readinessProbe: Probe?
        var lifecycle: Lifecycle?
        var resources: Resources
        var securityContext: Security
        var volumeMounts: [Mount]
    }

    struct Volume: Decodable {
        struct Named: Decodable { var name: String }
        struct Projected: Decodable {
            struct Item: Decodable { var path: String }
            struct Secret: Decodable {
                var name: String
                var items: [Item]?
            }
            struct Source: Decodable {
                var configMap: Named?
                var secret: Secret?
            }
            var sources: [Source]
        }
        var name: String
        var configMap: Named?
        var projected: Projected?

        var configMaps: [String] {
            (configMap.map { [$0.name] } ?? []) + (projected?.sources.compactMap(\.configMap?.name) ?? [])
        }
    }

    private let nodes: [(kind: Kind, node: Node)]

    init(_ text: String) throws {
        nodes = try Yams.compose_all(yaml: text).map { (try YAMLDecoder().decode(Kind.self, from: $0), $0) }
    }

    /// All of a kind.
    func all<Manifest: Decodable>(_ kind: String, _ apiVersion: String, as type: Manifest.Type) throws -> [Manifest] {
        let found = nodes.filter { $0.kind.kind == kind }
        for each in found { #expect(each.kind.apiVersion == apiVersion) }
        return try found.map { try YAMLDecoder().decode(type, from: $0.node) }
    }

    var kinds: [String] { nodes.map(\.kind.kind) }
}
