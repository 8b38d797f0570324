internal import Glibc

/// What tokens' times are compared with.
enum WallClock {
    /// Since 1970.
    static func seconds() -> Int64 { Int64(time(nil)) }
}
