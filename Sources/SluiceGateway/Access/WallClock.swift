internal import Glibc

/// What tokens' times are compared with.
enum WallClock {
    /// Since 1970.
    static func seconds() -> Int64 { Int64(time(nil)) }

    /// The same with its fraction.
    static func exactSeconds() -> Double {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    }
}
