import Foundation
import Shared

/// `winnow-worker bench`: how fast this machine evaluates a network.
struct Benchmark: Command {
    static let description = CommandDescription(
        name: "bench",
        summary: "measure how fast this machine evaluates a network",
        discussion: """
            Measures the machine's multiply-add peak, then evaluates noise images with the dense network, under \
            independent masks, and under the default ensemble, with every source of batch-norm statistics. The \
            effective rate counts the operations of evaluating the masked networks one by one, two per \
            multiply-accumulate.

                winnow-worker bench --model resnet56.th --json
            """)

    @Option("Network checkpoint (PyTorch or safetensors).", value: "FILE") var model: String
    @Option("Images to evaluate.", value: "N") var images: Int = 512
    @Option("Calibration images, if batch norms are not frozen.", value: "N") var calibrationImages: Int = 64
    @Option("Masks per ensemble.", value: "N") var masks: Int = 64
    @Option("Repetitions of each measurement; the best counts.", value: "N") var rounds: Int = 1
    @Option("Also measure the masks in this file.", value: "FILE") var maskFile: String?
    @Flag("Measure only the dense network with its own batch-norm statistics.") var dense: Bool
    @Flag("Print JSON.") var json: Bool
    @OptionGroup var engineOptions = EngineOptions()

    func validate() throws {
        for (name, value, limit) in [
            ("--images", images, Evaluation.imagesMax), ("--calibration-images", calibrationImages, 100_000),
            ("--masks", masks, 100_000), ("--rounds", rounds, 1000),
        ] where !(1...limit).contains(value) {
            throw Failure(.usage, "\(name) must be from 1 to \(limit)")
        }
    }

    /// One thing that is measured.
    private struct Case {
        let name: String
        let masks: [Mask]
        let batchNorm: EvaluationSettings.BatchNorm
        let multiplyAccumulates: Int
        var seconds = Double.infinity
    }

    func run() throws {
        let network = try Checkpoint.network(at: model)
        let architecture = network.graph
        let engine = try engineOptions.engine(network)
        let evaluated = ImageSet.noise(images, for: architecture, seed: 1)
        let calibration = ImageSet.noise(calibrationImages, for: architecture, seed: 2)

        let space = FilterSpace(architecture)
        func drawn(_ design: SamplingDesign) throws -> [Mask] {
            try Ensemble(design, of: space, scope: SamplingScope(), masks: masks, seed: 1).masks(0..<masks)
        }
        var ensembles = [("dense", [Mask(count: space.count)])]
        if !dense {
            ensembles += [("independent masks", try drawn(.independent)), ("default ensemble", try drawn(.tree))]
        }
        if let maskFile { ensembles.append((maskFile, try MaskFile.read(at: maskFile, for: space))) }
        var cases = ensembles.flatMap { name, masks in
            let cost = masks.reduce(0) { $0 + architecture.cost(under: $1).multiplyAccumulates }
            let sources = dense ? [.frozen] : EvaluationSettings.BatchNorm.Source.allCases
            return sources.map {
                Case(
                    name: name, masks: masks, batchNorm: .init($0, images: calibrationImages),
                    multiplyAccumulates: cost)
            }
        }
        var peak = 0.0
        for _ in 0..<rounds {
            peak = max(peak, try engine.multiplyAddPeak())
            for index in cases.indices {
                let settings = EvaluationSettings(
                    split: .test, images: images, batchNorm: cases[index].batchNorm,
                    normalisation: .scaling(channels: architecture.imageShape.channels))
                let start = ContinuousClock.now
                _ = try engine.evaluate(
                    cases[index].masks, images: evaluated, calibration: calibration, settings: settings)
                let duration = (ContinuousClock.now - start) / .seconds(1)
                cases[index].seconds = min(cases[index].seconds, duration)
            }
        }
        print(json ? jsonText(cases, engine, peak: peak) : text(cases, engine, peak: peak))
    }

    /// Images per second (an image under two masks counts twice) and effective GFLOP/s.
    private func rates(_ measured: Case) -> (images: Double, gigaflops: Double) {
        (
            Double(images * measured.masks.count) / measured.seconds,
            2e-9 * Double(images) * Double(measured.multiplyAccumulates) / measured.seconds
        )
    }

    private func text(_ cases: [Case], _ engine: Engine, peak: Double) -> String {
        var lines = [
            "\(engine.instructionSet.rawValue), \(engine.threads) threads, multiply-add peak "
                + "\(peak.formatted(decimals: 1)) GFLOP/s"
        ]
        for measured in cases {
            let (rate, gigaflops) = rates(measured)
            lines.append(
                "\(measured.name), \(measured.batchNorm.source.rawValue): \(rate.formatted(decimals: 0)) images/s, "
                    + "\(gigaflops.formatted(decimals: 1)) effective GFLOP/s, "
                    + "\((gigaflops / peak).formatted(decimals: 2)) of the peak")
        }
        return lines.joined(separator: "\n")
    }

    private func jsonText(_ cases: [Case], _ engine: Engine, peak: Double) -> String {
        let results = cases.map { measured in
            let (rate, gigaflops) = rates(measured)
            return "{\"name\":\(JSONText.quoted(measured.name)),"
                + "\"batchnorm\":\"\(measured.batchNorm.source.rawValue)\","
                + "\"masks\":\(measured.masks.count),\"images\":\(images),\"seconds\":\(measured.seconds),"
                + "\"images_per_second\":\(rate),\"effective_gflops\":\(gigaflops)}"
        }
        return "{\"model\":\(JSONText.quoted(model)),\"instruction_set\":\"\(engine.instructionSet.rawValue)\","
            + "\"threads\":\(engine.threads),\"peak_gflops\":\(peak),"
            + "\"calibration_images\":\(calibrationImages),\"results\":[\(results.joined(separator: ","))]}"
    }
}

extension Double {
    fileprivate func formatted(decimals: Int) -> String { String(format: "%.\(decimals)f", self) }
}
