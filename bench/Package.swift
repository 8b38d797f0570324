// swift-tools-version: 6.2
import PackageDescription

// Programs that measure Sluice from inside. A package of its own, so that nobody who uses Sluice builds them. bench/run
// builds it in the scratch path of the root package, with which it shares everything:
// `swift build -c release --package-path bench --scratch-path .build --product sluice-microbench`
let package = Package(
    name: "sluice-bench",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "sluice-microbench", targets: ["sluice-microbench"])],
    dependencies: [
        .package(name: "sluice", path: ".."),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
    ],
    targets: [
        .executableTarget(
            name: "sluice-microbench",
            dependencies: [
                .product(name: "SluiceInternals", package: "sluice"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("InternalImportsByDefault"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
                .treatAllWarnings(as: .error),
            ])
    ]
)
