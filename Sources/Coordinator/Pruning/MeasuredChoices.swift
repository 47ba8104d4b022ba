import Foundation
import Shared

/// Smaller networks for several budgets, chosen by a run's ranking and measured when the run ended: the basis of
/// forecasts. A sum of importances alone is too optimistic, since masks never removed so much at once.
struct MeasuredChoices: Codable, Equatable, Sendable {
    /// A network without some filters, with only its batch norms adapted, as in the run's evaluation of masks.
    struct Choice: Codable, Equatable, Sendable {
        /// The removed filters' numbers.
        var removed: [Int]
        /// Mean cross-entropy, in nats.
        var loss: Double
        /// Its accuracy.
        var accuracy: Double
    }

    /// The images of all measurements.
    var images: Int
    /// Nothing removed first, then more and more.
    var choices: [Choice]

    /// The removed shares of the FLOPs.
    private static let budgets = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    /// The most images: seconds for a small network, and losses to a few per cent.
    private static let imagesMax = 1024

    /// Measures a ranking's choices, with the images of the run. Throws a ``Failure`` if that is impossible here.
    init(_ pruner: Pruner, of network: Network, settings: EvaluationSettings, on data: ImageSource) throws {
        let space = FilterSpace(network.graph)
        let all = Double(network.graph.cost().multiplyAccumulates)
        var masks = [Mask(count: space.count)]
        for share in Self.budgets {
            let most = Int(((1 - share) * all).rounded(.down))
            // A budget that cannot be met ends the list: larger ones cannot either.
            guard let outcome = try? pruner.prune(to: PruningBudget(multiplyAccumulatesMax: most)) else { break }
            if outcome.mask != masks.last { masks.append(outcome.mask) }
        }
        var settings = settings.measuring
        settings.images = min(settings.images, Self.imagesMax)
        let measured = try WorkerProcess.find(threads: nil)
            .evaluate(network, under: masks, data: data, settings)
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
