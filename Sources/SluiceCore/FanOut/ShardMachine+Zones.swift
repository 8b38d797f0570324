/// Zones: replicas of the gateway's own come first, and those of others as soon as the own ones have little room left.
extension ShardMachine {
    /// Whether other zones are as good as the own one, among replicas of the preferred role and among the others.
    struct ZoneOverflow {
        var ofPreferred = false
        var ofOthers = false
    }

    /// - Parameter isEligible: whether a replica may be asked now.
    func zoneOverflow(_ isEligible: (Int) -> Bool) -> ZoneOverflow {
        guard replicas.contains(where: { !$0.settings.isSameZone }) else { return ZoneOverflow() }
        return ZoneOverflow(
            ofPreferred: isOwnZoneFull(preferred: true, isEligible),
            ofOthers: isOwnZoneFull(preferred: false, isEligible))
    }

    /// False if there is none: then others are next by their tier.
    private func isOwnZoneFull(preferred: Bool, _ isEligible: (Int) -> Bool) -> Bool {
        var isFull = false
        for place in replicas.indices {
            let replica = replicas[place]
            guard replica.settings.isSameZone, isPreferred(place) == preferred, isEligible(place) else { continue }
            guard Double(replica.load) >= configuration.zoneSpillOver * Double(replica.settings.capacity) else {
                return false
            }
            isFull = true
        }
        return isFull
    }

    /// 0: the preferred role in the same zone; higher ones only if no lower one is eligible.
    func tier(of place: Int, _ overflow: ZoneOverflow) -> Int {
        let isPreferred = isPreferred(place)
        let isNear = replicas[place].settings.isSameZone || (isPreferred ? overflow.ofPreferred : overflow.ofOthers)
        return (isPreferred ? 0 : 2) + (isNear ? 0 : 1)
    }
}
