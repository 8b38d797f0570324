// swift-tools-version: 6.2
import PackageDescription

let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    // Async functions stay on their caller's thread: a leg crosses several, and each hop would cost a job.
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

// Of tests: the optimizer would take two thirds of the time that they take to build, and what takes long in them is in
// the libraries. Tests that do much themselves, in loops over bytes or vectors, are optimized.
let unoptimized = house + [.unsafeFlags(["-Onone"])]

func nio(_ name: String) -> Target.Dependency { .product(name: name, package: "swift-nio") }
let tls = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let collections = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "CoreMetrics", package: "swift-metrics")
let tracing = Target.Dependency.product(name: "Tracing", package: "swift-distributed-tracing")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")

// For `sluice --version`, from the scripts: SwiftPM keeps a manifest as it was when its text or the environment changed
// last, and with it what Context.gitInformation said then.
let commit = (Context.environment["SLUICE_COMMIT"] ?? "").filter {
    $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-")
}

// What scripts/fuzz builds: libFuzzer has a `main` of its own, which nothing else can be linked with.
let isFuzzing = Context.environment["SLUICE_FUZZ"] != nil
let fuzzer: [Target] =
    isFuzzing
    ? [
        .executableTarget(
            name: "SluiceFuzzer", dependencies: ["SluiceFuzz"], path: "Tests/SluiceFuzzer",
            swiftSettings: house + [.unsafeFlags(["-parse-as-library"])])
    ] : []

let package = Package(
    name: "sluice",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "SluiceClient", targets: ["SluiceClient"]),
        .executable(name: "sluice", targets: ["sluice"]),
        .executable(name: "sluice-sim", targets: ["sluice-sim"]),
        // For bench/, which is a package of its own. It promises nothing to anybody else.
        .library(
            name: "SluiceInternals",
            targets: [
                "SluiceCore", "SluiceWire", "SluiceReactor", "SluiceEngine", "SluiceMetrics", "SluiceGateway",
                "SluiceTools",
            ]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing.git", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
        // Without its own reading of configurations.
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.0", traits: []),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", from: "0.2.0"),
    ],
    targets: [
        // System libraries and the C shim.
        .systemLibrary(name: "CLibpq", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(
            name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"]), .brew(["lz4"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .target(name: "CLinuxEvents"),
        // Only the CLI depends on it: what does is compiled again at every commit.
        .target(name: "CBuildInfo", cSettings: [.define("SLUICE_COMMIT", to: commit)]),

        // The rooms of the house; arrows point down only (see Tests/SluiceHouseTests).
        .target(name: "SluiceCore", dependencies: [collections, heap], swiftSettings: house),
        .target(name: "SluiceWire", dependencies: [nio("NIOCore"), "CLZ4"], swiftSettings: house),
        .target(name: "SluiceReactor", dependencies: ["CLinuxEvents", collections, heap], swiftSettings: house),
        .target(name: "SluicePostgres", dependencies: ["SluiceReactor", "CLibpq", "COpenSSL"], swiftSettings: house),
        .target(name: "SluiceEngine", dependencies: ["SluiceCore", logging, metrics, tracing], swiftSettings: house),
        .target(name: "SluiceMetrics", dependencies: [metrics], swiftSettings: house),
        .target(
            name: "SluiceHTTP", dependencies: [nio("NIOCore"), nio("NIOPosix"), nio("NIOHTTP1"), tls],
            swiftSettings: house),
        .target(
            name: "SluiceTracing",
            dependencies: [
                "SluiceCore", "SluiceWire", "SluiceHTTP", nio("NIOCore"), nio("NIOPosix"), nio("NIOHTTP1"), tls,
                logging,
                metrics, lifecycle, tracing,
            ],
            swiftSettings: house),
        .target(name: "SluiceDNS", dependencies: [nio("NIOCore"), nio("NIOPosix")], swiftSettings: house),
        .target(
            name: "SluiceTopology",
            dependencies: [
                "SluiceCore", "SluiceDNS", "SluiceHTTP", nio("NIOCore"), nio("NIOPosix"), nio("NIOHTTP1"), tls, logging,
            ],
            swiftSettings: house),
        .target(
            name: "SluiceGateway",
            dependencies: [
                "SluiceCore", "SluiceWire", "SluiceReactor", "SluicePostgres", "SluiceEngine", "SluiceTopology",
                "COpenSSL", nio("NIOCore"), nio("NIOPosix"), tls, logging, metrics, lifecycle, signals, tracing,
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: house),
        .target(
            name: "SluiceAdmin",
            dependencies: [
                "SluiceGateway", "SluiceMetrics", "SluiceHTTP", nio("NIOCore"), nio("NIOPosix"), nio("NIOHTTP1"),
                logging,
                lifecycle,
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
            ],
            swiftSettings: house),
        .target(
            name: "SluiceClient",
            dependencies: ["SluiceWire", "SluiceDNS", nio("NIOCore"), nio("NIOPosix"), tls, tracing],
            swiftSettings: house),

        // The machines against a virtual clock and a faulty world.
        .target(name: "SluiceSimulator", dependencies: ["SluiceCore", heap], swiftSettings: house),

        // What the CLI reads files and prints reports with.
        .target(name: "SluiceTools", swiftSettings: house),

        // What `sluice bench` measures with.
        .target(
            name: "SluiceBench",
            dependencies: [
                "SluiceClient", "SluiceGateway", "SluiceEngine", "SluicePostgres", "SluiceReactor", "SluiceWire",
                "SluiceCore", "SluiceTools", histogram, nio("NIOCore"),
            ],
            swiftSettings: house),

        // Executables.
        .executableTarget(
            name: "sluice",
            dependencies: [
                "SluiceAdmin", "SluiceGateway", "SluiceMetrics", "SluiceTracing", "SluiceClient", "SluiceTools",
                "SluiceBench", "SluiceCore", "CBuildInfo", arguments, logging, signals,
            ],
            swiftSettings: house),
        .executableTarget(
            name: "sluice-sim", dependencies: ["SluiceSimulator", arguments], swiftSettings: house),
        .executableTarget(
            name: "FirstSearch", dependencies: ["SluiceClient"], path: "Examples/FirstSearch",
            swiftSettings: house),
        // The code of the articles in SluiceClient.docc.
        .target(
            name: "ArticleExamples", dependencies: ["SluiceClient"], path: "Examples/Articles", swiftSettings: house),

        // Tests: one target a library, then real PostgreSQL, then the house itself.
        .testTarget(name: "SluiceCoreTests", dependencies: ["SluiceCore"], swiftSettings: house),
        .testTarget(
            name: "SluiceWireTests", dependencies: ["SluiceWire", nio("NIOCore")], swiftSettings: house),
        .testTarget(name: "SluiceReactorTests", dependencies: ["SluiceReactor"], swiftSettings: unoptimized),
        .target(
            name: "PostgresTestKit", dependencies: ["COpenSSL"], path: "Tests/PostgresTestKit", swiftSettings: house),
        .testTarget(
            name: "SluicePostgresTests", dependencies: ["SluicePostgres", "SluiceReactor", "PostgresTestKit"],
            swiftSettings: unoptimized),
        .target(
            name: "CollectorTestKit", dependencies: [nio("NIOCore"), nio("NIOPosix"), nio("NIOHTTP1")],
            path: "Tests/CollectorTestKit", swiftSettings: house),
        .testTarget(
            name: "SluiceTracingTests",
            dependencies: [
                "SluiceTracing", "SluiceMetrics", "SluiceWire", "CollectorTestKit", nio("NIOCore"), nio("NIOPosix"),
                lifecycle, logging, tracing,
            ],
            swiftSettings: unoptimized),
        .target(
            name: "DNSTestKit", dependencies: [nio("NIOCore"), nio("NIOPosix")], path: "Tests/DNSTestKit",
            swiftSettings: house),
        .testTarget(
            name: "SluiceDNSTests", dependencies: ["SluiceDNS", "DNSTestKit", "SluiceCore", nio("NIOCore")],
            swiftSettings: unoptimized),
        .testTarget(
            name: "SluiceTopologyTests",
            dependencies: [
                "SluiceTopology", "SluiceCore", "SluiceDNS", "DNSTestKit", "SluiceGateway", "SluiceAdmin",
                "SluiceMetrics", nio("NIOCore"), nio("NIOPosix"), nio("NIOHTTP1"), logging,
            ],
            swiftSettings: unoptimized),
        .testTarget(name: "SluiceMetricsTests", dependencies: ["SluiceMetrics", metrics], swiftSettings: unoptimized),
        .testTarget(
            name: "SluiceEngineTests",
            dependencies: [
                "SluiceEngine", "SluiceCore", "SluiceReactor", "SluiceGateway", "SluiceClient", "SluiceTracing",
                "CollectorTestKit", nio("NIOCore"), nio("NIOPosix"), logging, lifecycle, tracing,
            ],
            swiftSettings: unoptimized),
        .testTarget(
            name: "SluiceGatewayTests",
            dependencies: [
                "SluiceGateway", "SluiceWire", "SluiceEngine", "SluiceCore", "SluicePostgres", "SluiceTopology",
                nio("NIOCore"), nio("NIOPosix"), nio("NIOEmbedded"), tls, logging,
            ],
            swiftSettings: unoptimized),
        .testTarget(
            name: "SluiceClientTests",
            dependencies: [
                "SluiceClient", "SluiceWire", "SluiceDNS", "DNSTestKit", nio("NIOCore"), nio("NIOPosix"),
                nio("NIOEmbedded"),
            ],
            swiftSettings: unoptimized),
        .testTarget(
            name: "SluiceAdminTests",
            dependencies: [
                "SluiceAdmin", "SluiceGateway", "SluiceMetrics", lifecycle, logging,
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: unoptimized),
        .testTarget(name: "SluiceSimulatorTests", dependencies: ["SluiceSimulator"], swiftSettings: unoptimized),
        .testTarget(name: "SluiceToolsTests", dependencies: ["SluiceTools"], swiftSettings: unoptimized),
        .testTarget(
            name: "SluiceBenchTests", dependencies: ["SluiceBench", "SluiceClient", histogram],
            swiftSettings: unoptimized),
        .target(
            name: "ReferenceTestKit", dependencies: ["SluiceClient", "SluiceWire"], path: "Tests/ReferenceTestKit",
            swiftSettings: house),
        .testTarget(
            name: "SluiceIntegrationTests",
            dependencies: [
                "SluiceTools", "SluiceAdmin", "SluiceGateway", "SluiceClient", "SluiceWire", "SluiceEngine",
                "SluicePostgres", "SluiceReactor", "SluiceTracing", "PostgresTestKit", "CollectorTestKit",
                "ReferenceTestKit", "SluiceCore", "CLibpq", nio("NIOCore"), nio("NIOPosix"), tls, logging, lifecycle,
                tracing,
            ],
            swiftSettings: unoptimized),
        .testTarget(name: "SluiceHouseTests", swiftSettings: unoptimized),

        // What bytes from outside can reach, for a fuzzer and for replaying what it found.
        .target(
            name: "SluiceFuzz",
            dependencies: [
                "SluiceTools", "SluiceGateway", "SluiceClient", "SluiceWire", "SluiceEngine", "SluicePostgres",
                "SluiceTopology", "SluiceDNS", "SluiceCore", "CLibpq", nio("NIOCore"), nio("NIOEmbedded"), collections,
                logging,
            ],
            path: "Tests/SluiceFuzz", exclude: ["Crashes"], swiftSettings: house),
        .testTarget(name: "SluiceFuzzTests", dependencies: ["SluiceFuzz"], swiftSettings: unoptimized),
    ] + fuzzer
)
