import Foundation
import Shared
import TestSupport
import Testing
import Worker

@testable import Coordinator

/// A small network, a few images and a folder for one test, and helpers to start the real programs on them.
final class TestCluster {
    /// Masks of a run, unless a test says otherwise.
    static let masks = 6_000
    /// So few that a run consists of many leases however fast the machine is, and can be disturbed in the middle.
    private static let masksPerLease = 32
    static let images = 96
    private static let calibrationImages = 32

    let folder: String
    private var started: [TestProcess] = []

    /// The folder of the built programs, beside the tests.
    static let programs: String = {
        let path = Bundle.main.executablePath ?? CommandLine.arguments[0]
        return (path as NSString).deletingLastPathComponent
    }()

    static let architecture = Graph.residual(widths: [8, 16, 32], blocksPerStage: 1, imageSize: 32)

    static let network: Network = {
        var generator = SeededGenerator(seed: 11)
        return .random(architecture, using: &generator)
    }()

    private static let imageSet: ImageSet = {
        var generator = SeededGenerator(seed: 12)
        return .random(images, split: .train, using: &generator)
    }()

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "winnow-cluster-\(UUID())").path
        try FileManager.default.createDirectory(atPath: "\(folder)/data", withIntermediateDirectories: true)
        try Data(Checkpoint.safetensors(of: Self.network)).write(to: URL(fileURLWithPath: model))
        try Data(CIFAR10.records(of: Self.imageSet)).write(to: URL(fileURLWithPath: "\(folder)/data/data_batch_1.bin"))
        // Unprivileged processes of some tests come here too.
        chmod(folder, 0o777)
    }

    deinit {
        for process in started { process.signal(SIGKILL) }
        for process in started { process.wait() }
        try? FileManager.default.removeItem(atPath: folder)
    }

    var model: String { "\(folder)/network.safetensors" }
    var runFile: String { "\(folder)/run.winnow" }
    var report: String { "\(folder)/report" }

    // MARK: Starting

    /// The options of `run` that say what to rank.
    func runOptions(masks: Int = TestCluster.masks) -> [String] {
        [
            "run", "--model", model, "--data", "\(folder)/data", "--masks", String(masks), "--images",
            String(Self.images), "--calibration-images", String(Self.calibrationImages), "--seed", "5", "--run",
            runFile,
            "--report", report, "--masks-per-lease", String(Self.masksPerLease),
            // The network is random, and so are the images.
            "--anyway",
        ]
    }

    /// Options to listen at a free port, unless others say where to listen or to work locally.
    private func binding(besides options: [String]) -> [String] {
        options.contains("--bind") || options.contains("--local-workers") ? [] : ["--bind", "tcp://127.0.0.1:0"]
    }

    /// Starts `winnow-coordinator run`.
    func startRun(masks: Int = TestCluster.masks, _ more: [String] = []) throws -> TestProcess {
        try start("winnow-coordinator", runOptions(masks: masks) + binding(besides: more) + more)
    }

    /// Starts `winnow-coordinator resume`.
    func startResume(_ more: [String] = []) throws -> TestProcess {
        try start(
            "winnow-coordinator",
            ["resume", "--run", runFile, "--report", report, "--masks-per-lease", String(Self.masksPerLease)]
                + binding(besides: more) + more)
    }

    /// Options that let the coordinator start workers.
    func localWorkers(_ count: Int) -> [String] {
        ["--local-workers", String(count), "--worker-threads", "1", "--worker-cache", "\(folder)/cache"]
    }

    /// Starts `winnow-worker serve`.
    func startWorker(_ endpoint: String, _ more: [String] = []) throws -> TestProcess {
        try start(
            "winnow-worker",
            ["serve", "--connect", endpoint, "--threads", "1", "--cache", "\(folder)/cache-\(started.count)"] + more)
    }

    /// Starts a program of ours, `prefix` before it, for example `["setpriv", …]`.
    func start(_ program: String, _ arguments: [String], prefix: [String] = []) throws -> TestProcess {
        let process = try TestProcess(
            prefix + ["\(Self.programs)/\(program)"] + arguments, log: "\(folder)/\(started.count).log")
        started.append(process)
        return process
    }

    // MARK: Looking

    /// The endpoint at which a coordinator says it listens.
    func endpoint(of coordinator: TestProcess) async throws -> String {
        let line = try await coordinator.line(containing: "listening at ")
        return String(try #require(line.split(separator: " ").last))
    }

    /// The evaluations committed to the run file so far.
    func evaluations() throws -> [RecordedEvaluation] {
        var result: [RecordedEvaluation] = []
        try RunFile.read(at: runFile).forEachEvaluation { result.append($0) }
        return result
    }

    /// Waits until so many masks are recorded while the process lives.
    func wait(forRecorded count: Int, by process: TestProcess) async throws {
        try await waitUntil("\(count) masks are recorded\n\(process.output)") {
            (try? RunFile.read(at: runFile).evaluationCount()) ?? 0 >= count || !process.isRunning
        }
        #expect(process.isRunning, "the run is over too early for this test:\n\(process.output)")
    }

    private static func ensemble(masks count: Int) throws -> Ensemble {
        try Ensemble(
            SamplingOptions().design, of: FilterSpace(architecture),
            scope: SamplingScope(dropRate: SamplingOptions().dropRate), masks: count, seed: 5)
    }

    /// The expected end of the run, computed here: all masks on all images, or each group on this many of its own.
    static func expected(masks count: Int, imagesPerMask: Int? = nil) throws -> [Evaluation] {
        let ensemble = try ensemble(masks: count)
        var settings = EvaluationSettings(
            split: .train, images: imagesPerMask ?? Self.images,
            batchNorm: .init(EvaluationOptions().batchnorm, images: calibrationImages))
        let engine = try Engine(network: network, threads: 2)
        guard imagesPerMask != nil else {
            return try engine.evaluate(
                ensemble.masks(0..<count), images: imageSet, calibration: imageSet, settings: settings)
        }
        let rotation = ImageRotation(pool: Self.images, of: ensemble)
        settings.rotation = rotation
        return try stride(from: 0, to: count, by: rotation.masks).flatMap { first in
            let own = imageSet.picking(settings.images(ofGroup: rotation.group(of: first)))
            return try engine.evaluate(
                ensemble.masks(first..<min(first + rotation.masks, count)), images: own, calibration: own,
                settings: settings)
        }
    }

    /// Checks that every mask has exactly the expected evaluation.
    func expectComplete(masks count: Int = TestCluster.masks, imagesPerMask: Int? = nil) throws {
        let evaluations = try evaluations()
        #expect(evaluations.map(\.mask) == Array(0..<count))
        #expect(try evaluations.map(\.evaluation) == Self.expected(masks: count, imagesPerMask: imagesPerMask))
    }

    /// Checks that the report's ranking equals the one from the expected evaluations, to the last bit.
    func expectRanking(masks count: Int = TestCluster.masks) throws {
        let fit = try AdditiveFit(
            Self.ensemble(masks: count), evaluations: Self.expected(masks: count),
            features: RunFile.read(at: runFile).features(of: Self.network))
        let written = try String(contentsOfFile: "\(report)/ranking.csv", encoding: .utf8)
        #expect(written == Ranking(fit, of: Self.network).csv)
    }
}
