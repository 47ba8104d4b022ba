import Foundation
import Shared

/// Smaller networks of several budgets that a run's ranking chooses, as they were measured when the run ended: what
/// forecasts go by. A sum of importances alone promises too much, since masks never removed so much at once.
struct MeasuredChoices: Codable, Equatable, Sendable {
    /// A network without some filters, nothing adapted but its batch norms, as the run's masks were evaluated.
    struct Choice: Codable, Equatable, Sendable {
        /// The removed filters' numbers.
        var removed: [Int]
        /// Mean cross-entropy, in nats.
        var loss: Double
        /// The share of images that it recognises.
        var accuracy: Double
    }

    /// The images that all were measured on.
    var images: Int
    /// Nothing removed first, then more and more.
    var choices: [Choice]

    /// The shares of the FLOPs that are removed.
    private static let budgets = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    /// Images at most and at least: losses to a few per cent, or to what a mask of a large network shows, …
    private static let imagesMax = 1024
    private static let imagesMin = 64
    /// … and multiply-accumulates of the unpruned network for all of them, about: seconds for a network for small images
    /// (1,024 images of VGG-16 at 32 × 32), a minute or two for one of 224 × 224.
    private static let multiplyAccumulatesMax = 3.3e11

    /// How many of a run's images choices of such a network are measured on.
    static func imageCount(_ settings: EvaluationSettings, multiplyAccumulates: Int) -> Int {
        let affordable = multiplyAccumulatesMax / Double(max(multiplyAccumulates, 1))
        return Int(min(Double(min(settings.measuring.images, imagesMax)), max(affordable, Double(imagesMin))))
    }

    /// Measures what a ranking chooses, with the images of the run. Throws a ``Failure`` where that cannot be done here.
    init(_ pruner: Pruner, of network: Network, settings: EvaluationSettings, by jobs: NetworkJobs) throws {
        let space = FilterSpace(network.graph)
        let cost = network.graph.cost().multiplyAccumulates
        let all = Double(cost)
        var masks = [Mask(count: space.count)]
        for share in Self.budgets {
            let most = Int(((1 - share) * all).rounded(.down))
            // A budget that cannot be kept ends the list: larger ones cannot either.
            guard let outcome = try? pruner.prune(to: PruningBudget(multiplyAccumulatesMax: most)) else { break }
            if outcome.mask != masks.last { masks.append(outcome.mask) }
        }
        let count = Self.imageCount(settings, multiplyAccumulates: cost)
        Log.shared.step("measuring \(masks.count) networks that the ranking would choose, on \(count) images")
        var settings = settings.measuring
        settings.images = count
        let measured = try jobs.evaluate(network, under: masks, settings)
        images = settings.images
        choices = zip(masks, measured).map { mask, measured in
            Choice(
                removed: Array(mask.disabled), loss: measured.loss,
                accuracy: Double(measured.correct) / Double(max(measured.images, 1)))
        }
    }

    /// Measured elsewhere.
    init(images: Int, choices: [Choice]) {
        self.images = images
        self.choices = choices
    }
}
