// swift-tools-version: 6.0
import PackageDescription

// Everything is built with -enable-testing, so the tests run on a release build; the hot code is C.
let swift: [SwiftSetting] = [.unsafeFlags(["-enable-testing"])]

/// A C library from Debian, wrapped by a module map in `Sources/<name>`.
func debian(_ name: String, package: String) -> Target {
    .systemLibrary(name: name, providers: [.apt([package])])
}

let package = Package(
    name: "Winnow",
    products: [
        .executable(name: "winnow-coordinator", targets: ["winnow-coordinator"]),
        .executable(name: "winnow-worker", targets: ["winnow-worker"]),
        .executable(name: "winnow-demo", targets: ["winnow-demo"]),
    ],
    targets: [
        debian("CZeroMQ", package: "libzmq3-dev"),
        debian("CSQLite", package: "libsqlite3-dev"),
        debian("CLAPACK", package: "liblapacke-dev"),
        debian("CSodium", package: "libsodium-dev"),
        debian("CZip", package: "libzip-dev"),
        debian("CZlib", package: "zlib1g-dev"),
        debian("CMicroHTTPD", package: "libmicrohttpd-dev"),
        debian("COneDNN", package: "libdnnl-dev"),
        debian("CWebP", package: "libwebp-dev"),
        // Libraries whose errors end in a long jump, which must not pass through Swift.
        .target(name: "CJPEG", linkerSettings: [.linkedLibrary("jpeg")]),
        .target(name: "CPNG", linkerSettings: [.linkedLibrary("png16")]),
        // What Swift's Glibc module lacks: eventfd, signalfd, open-file-description locks.
        .target(name: "CLinux"),

        // Every instruction set is compiled from one source; fused multiply-adds are written out, never left to
        // the compiler, so that all of them give the same bits.
        .target(name: "CKernels", cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off"])]),

        // Knows the commit if the build gets it, as from `deploy/install`.
        .target(
            name: "CVersion",
            cSettings: Context.environment["WINNOW_COMMIT"].map { [.define("WINNOW_COMMIT", to: "\"\($0)\"")] } ?? []),

        .target(
            name: "Shared",
            dependencies: ["CJPEG", "CLinux", "CPNG", "CSodium", "CVersion", "CWebP", "CZeroMQ", "CZip", "CZlib"],
            swiftSettings: swift),
        .target(
            name: "Coordinator", dependencies: ["Shared", "CLinux", "CSQLite", "CLAPACK", "CMicroHTTPD"],
            swiftSettings: swift),
        .target(name: "Worker", dependencies: ["Shared", "CKernels", "CLAPACK", "COneDNN"], swiftSettings: swift),

        // Generates the images of the quickstart.
        .target(name: "Demonstration", dependencies: ["Shared"], swiftSettings: swift),

        .executableTarget(
            name: "winnow-coordinator", dependencies: ["Coordinator"], path: "Sources/Programs/winnow-coordinator",
            swiftSettings: swift),
        .executableTarget(
            name: "winnow-worker", dependencies: ["Worker"], path: "Sources/Programs/winnow-worker",
            swiftSettings: swift),
        // Thousands of light workers, to load a coordinator with.
        .executableTarget(
            name: "winnow-swarm", dependencies: ["CLinux", "Coordinator", "Shared", "Worker"],
            path: "Benchmarks/cluster/Swarm",
            swiftSettings: swift),
        .executableTarget(
            name: "winnow-demo", dependencies: ["Demonstration"], path: "Sources/Programs/winnow-demo",
            swiftSettings: swift),

        // Random networks and the plain, slow reference implementation, for every test target.
        .target(name: "TestSupport", dependencies: ["Shared"], path: "Tests/TestSupport", swiftSettings: swift),
        // The targets that libFuzzer runs and the tests replay.
        .target(
            name: "FuzzTargets", dependencies: ["Coordinator", "Shared", "TestSupport", "Worker"],
            path: "Tests/Fuzz/Targets", swiftSettings: swift),
        .testTarget(
            name: "SharedTests", dependencies: ["Demonstration", "FuzzTargets", "Shared", "TestSupport"],
            swiftSettings: swift),
        .testTarget(name: "CoordinatorTests", dependencies: ["Coordinator", "TestSupport"], swiftSettings: swift),
        .testTarget(name: "WorkerTests", dependencies: ["Worker", "TestSupport"], swiftSettings: swift),
        .testTarget(name: "ScriptTests", dependencies: ["winnow-coordinator", "winnow-worker"], swiftSettings: swift),
        // The cluster in virtual time, for the tests and for Tests/simulate.
        .target(
            name: "Simulation", dependencies: ["Coordinator", "Shared", "TestSupport", "Worker"],
            path: "Tests/Simulation", swiftSettings: swift),
        .executableTarget(
            name: "winnow-simulate", dependencies: ["Simulation"], path: "Tests/SimulationProgram",
            swiftSettings: swift),
        .testTarget(name: "SimulationTests", dependencies: ["Simulation"], swiftSettings: swift),
        .testTarget(
            name: "ClusterTests",
            dependencies: ["Coordinator", "TestSupport", "Worker", "winnow-coordinator", "winnow-worker"],
            swiftSettings: swift),
    ]
)

// The fuzzer itself links with libFuzzer's runtime, so it exists only when Tests/Fuzz/run builds it.
if Context.environment["WINNOW_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "winnow-fuzz", dependencies: ["FuzzTargets"], path: "Tests/Fuzz/Driver", swiftSettings: swift,
            linkerSettings: [.unsafeFlags(["-use-ld=lld"])]))
}
