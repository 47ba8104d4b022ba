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
    /// Images at most: seconds for a small network, and losses to a few per cent.
    private static let imagesMax = 1024

    /// Measures what a ranking chooses, with the images of the run. Throws a ``Failure`` where that cannot be done here.
    init(_ pruner: Pruner, of network: Network, settings: EvaluationSettings, by jobs: NetworkJobs) throws {
        let space = FilterSpace(network.graph)
        let all = Double(network.graph.cost().multiplyAccumulates)
        var masks = [Mask(count: space.count)]
        for share in Self.budgets {
            let most = Int(((1 - share) * all).rounded(.down))
            // A budget that cannot be kept ends the list: larger ones cannot either.
            guard let outcome = try? pruner.prune(to: PruningBudget(multiplyAccumulatesMax: most)) else { break }
            if outcome.mask != masks.last { masks.append(outcome.mask) }
        }
        var settings = settings.measuring
        settings.images = min(settings.images, Self.imagesMax)
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
