import Foundation
import Shared

@testable import Coordinator

/// `winnow-swarm fill`.
struct Fill: Command {
    static let description = CommandDescription(
        name: "fill", summary: "give every mask of a run file an evaluation that is made up",
        discussion: """
            The log-loss of a mask is the sum of its disabled filters' effects, which spread the same whatever the \
            number of filters, and noise. For measuring reports of runs that would take long to compute. Evaluations \
            that the run file has are replaced.
            """)

    @Option("The run file; no coordinator may work on it.", name: "run", value: "FILE") var runFile: String

    /// Standard deviations of the log-loss, about: by the effects, and by the noise.
    private static let effectDeviation = 0.3
    private static let noiseDeviation = 0.1
    /// Masks to draw, record and commit together.
    private static let stretch = 4096

    func run() throws {
        let file = try RunFile.resume(at: runFile)
        let ensemble = file.description.ensemble
        let images = file.description.settings.images
        var generator = SplitMix64(seed: 1)
        // A number between 0 and 1 has variance 1/12, and a quarter of the filters or so are disabled at a time.
        let scale = Self.effectDeviation * (12 * 4 / Double(ensemble.filterCount)).squareRoot()
        let effects = (0..<ensemble.filterCount).map { _ in
            scale * (Double.random(in: 0..<1, using: &generator) - 0.4)
        }
        let noise = Self.noiseDeviation * 12.0.squareRoot()
        let life = try file.beginLife(at: Date())
        for first in stride(from: 0, to: ensemble.count, by: Self.stretch) {
            let stretch = first..<min(first + Self.stretch, ensemble.count)
            try file.discard(masks: Array(stretch))
            for (mask, index) in zip(ensemble.masks(stretch), stretch) {
                var logLoss = -1 + noise * (Double.random(in: 0..<1, using: &generator) - 0.5)
                for filter in mask.disabled { logLoss += effects[filter] }
                let lossSum = min(exp(logLoss), Evaluation.imageLossMax) * Double(images) * Evaluation.unitsPerNat
                try file.record(
                    RecordedEvaluation(
                        mask: index,
                        evaluation: Evaluation(lossSum: Int64(lossSum), correct: images / 2, images: images),
                        worker: 0, recorded: Date(), computeMicroseconds: 0))
            }
            try file.commit()
        }
        try file.endLife(life, at: Date(), "complete")
        file.finish()
    }
}
