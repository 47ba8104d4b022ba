import Foundation
import Shared

/// Refines a choice of filters by rounds of masks that `winnow-worker` evaluates, and takes the best of what came up: the
/// ranking's choice, each round's, and those of cheap criteria.
struct RefinementSearch {
    /// Images that a mask is evaluated on, at most, other ones in each round.
    private static let imagesMax = 512
    /// Images that the candidates are compared on at the end, at most, the same ones for all.
    private static let comparedImagesMax = 2048
    /// A loss below this counts as this much: a logarithm needs more than nothing.
    private static let lossMin = 1e-12

    let network: Network
    let pruner: Pruner
    /// How the run's masks were evaluated.
    let settings: EvaluationSettings
    let jobs: NetworkJobs
    /// The scores of all filters by criteria that are known without a mask.
    let criteria: [[Double]]
    let seed: UInt64

    /// A network that may be the best.
    struct Candidate {
        /// What came up with it.
        let origin: PruningRecord.Refinement.Origin
        let outcome: Pruner.Outcome
    }

    /// Searches with so many masks, beginning with a choice of the pruner. `others` are choices that are compared in the
    /// end. `report` is told what happens. Throws a ``Failure``.
    func search(
        from first: Pruner.Outcome, masks: Int, others: [Candidate], report: (String) -> Void
    ) throws -> (outcome: Pruner.Outcome, record: PruningRecord.Refinement) {
        guard let deviations = pruner.scores.deviations else {
            throw Failure(.usage, "--refine needs the ranking of a run's ensemble, which says how sure it is")
        }
        var refinement = ChoiceRefinement(
            pruner.space, removed: first.removed, scores: pruner.scores.values, deviations: deviations,
            criteria: criteria, seed: seed)
        var candidates = [Candidate(origin: .ranking, outcome: first)]
        let rounds = (masks + ChoiceRefinement.masksPerRound - 1) / ChoiceRefinement.masksPerRound
        for round in 0..<rounds {
            // Rounds of nearly the same size.
            let count = masks * (round + 1) / rounds - masks * round / rounds
            let losses = try jobs.evaluate(
                network, under: refinement.nextRound(masks: count), roundSettings(round, masks: count)
            ).map { log(max($0.loss, Self.lossMin)) }
            refinement.add(losses)
            candidates.append(Candidate(origin: .refinement, outcome: first.removing(refinement.choice)))
            let mean = exp(losses.reduce(0, +) / Double(max(count, 1)))
            report(
                "round \(round + 1) of \(rounds): networks around the choice have a mean loss of "
                    + "\(Text.fixed(mean, 4))")
        }
        candidates += others
        var unique: [Candidate] = []
        for candidate in candidates where !unique.contains(where: { $0.outcome.mask == candidate.outcome.mask }) {
            unique.append(candidate)
        }
        var compared = settings.measuring
        compared.images = min(compared.images, Self.comparedImagesMax)
        let measured = try jobs.evaluate(network, under: unique.map(\.outcome.mask), compared)
        var best = 0
        for index in unique.indices where measured[index].loss < measured[best].loss { best = index }
        return (
            unique[best].outcome,
            PruningRecord.Refinement(
                masks: masks, split: compared.split.rawValue, images: compared.images,
                lossBefore: measured[0].loss, loss: measured[best].loss, origin: unique[best].origin)
        )
    }

    /// The settings of a round: images of its own, where the run's pool has as many as a mask takes.
    private func roundSettings(_ round: Int, masks: Int) -> EvaluationSettings {
        var own = settings
        own.images = min(settings.images, Self.imagesMax)
        var generator = RandomGenerator(key: [seed, 0x726f_756e_64, UInt64(round)])
        own.rotation = ImageRotation(pool: settings.pool, masks: masks, seed: generator.next())
        if own.imagesTaken > settings.pool { own.rotation = nil }
        return own
    }
}
