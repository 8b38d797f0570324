extension GatewayConfig {
    /// What of another configuration can be taken while the gateway runs: all but where it listens, its threads, how
    /// much is held for pages, and where measurements and spans go.
    package func taking(_ other: GatewayConfig) -> (taken: GatewayConfig, left: [String]) {
        var taken = other
        var left: [String] = []
        func keep<Value: Equatable>(_ path: WritableKeyPath<GatewayConfig, Value>, _ key: String) {
            guard self[keyPath: path] != other[keyPath: path] else { return }
            taken[keyPath: path] = self[keyPath: path]
            left.append(key)
        }
        keep(\.listen, "listen")
        keep(\.admin, "admin")
        keep(\.reactors, "reactors")
        keep(\.cursors, "cursors")
        keep(\.measures, "metrics")
        keep(\.tracing, "tracing")
        keep(\.admission.enabled, "admission.enabled")
        if (tls == nil) != (other.tls == nil) { keep(\.tls, "tls") }
        return (taken, left)
    }

    /// Why a gateway that shares connection budgets cannot go over from one configuration to this one; nil if it can.
    /// What it has claimed was claimed for the servers and pools that it started with.
    func objectionToShare(since old: GatewayConfig) -> String? {
        guard hasBudgets || old.hasBudgets else { return nil }
        if fleet == old.fleet, shards == old.shards { return nil }
        return "with a connection_budget, shards, pools and fleet cannot change while the gateway runs: restart it"
    }

    /// The files that it was made of besides its own.
    var secretFiles: [String] {
        shards.flatMap {
            $0.replicas.compactMap(\.passwordFile) + [$0.source?.template.passwordFile].compactMap(\.self)
        }
    }
}

/// What differs between two configurations, a line each, as `shards.s0.replicas.s0-b.weight: 1 -> 2`. Secrets are never
/// in it.
package struct ConfigDifference {
    private struct Value {
        var hashable: AnyHashable
        var text: String
    }

    package let lines: [String]

    package init(_ old: GatewayConfig, _ new: GatewayConfig) {
        let (old, new) = (Self.flat(old), Self.flat(new))
        lines = Set(old.keys).union(new.keys).sorted().compactMap { key in
            switch (old[key], new[key]) {
            case (let before?, let now?) where before.hashable == now.hashable: nil
            case (let before?, let now?): "\(key): \(before.text) -> \(now.text)"
            case (nil, let now?): "\(key): new, \(now.text)"
            case (let before?, nil): "\(key): gone, was \(before.text)"
            case (nil, nil): nil
            }
        }
    }

    private static func flat(_ config: GatewayConfig) -> [String: Value] {
        var values: [String: Value] = [:]
        collect(config, at: "", into: &values)
        return values
    }

    /// The leaves of a value under their paths; what has a name is found by that.
    private static func collect(_ value: Any, at path: String, into values: inout [String: Value]) {
        if let secret = value as? Secret {
            values[path] = Value(hashable: secret, text: "\(secret)")
            return
        }
        if let duration = value as? Duration {
            values[path] = Value(hashable: duration, text: "\(duration)")
            return
        }
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        case .optional:
            if let some = mirror.children.first { collect(some.value, at: path, into: &values) }
        case .collection where !mirror.children.isEmpty:
            for (place, child) in mirror.children.enumerated() {
                collect(child.value, at: path + "." + (name(of: child.value) ?? "\(place)"), into: &values)
            }
        case .struct where !mirror.children.isEmpty:
            for child in mirror.children {
                guard let label = child.label else { continue }
                let key = label.snakeCased
                collect(child.value, at: path.isEmpty ? key : "\(path).\(key)", into: &values)
            }
        default:
            guard let hashable = value as? AnyHashable else { return }
            values[path] = Value(hashable: hashable, text: "\(value)")
        }
    }

    private static func name(of value: Any) -> String? {
        let children = Mirror(reflecting: value).children
        if let name = children.first(where: { $0.label == "name" })?.value { return name as? String }
        return (value as? String)
    }
}

extension String {
    fileprivate var snakeCased: String {
        var isAfterCapital = true
        return reduce(into: "") { text, character in
            if character.isUppercase, !isAfterCapital { text += "_" }
            isAfterCapital = character.isUppercase
            text += character.lowercased()
        }
    }
}
