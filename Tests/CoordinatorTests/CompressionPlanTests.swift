import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

@Suite struct CompressionPlanTests {
    private static let architecture = Graph.residual(widths: [8, 16, 32], blocksPerStage: 1, imageSize: 32)

    private func plan(rounds: Int, keepAtLeast: Double = 0.1) throws -> CompressionPlan {
        let digest = Digest(sha256Of: [])
        return CompressionPlan(
            network: digest, trainingImages: digest, testImages: digest, removeFlops: 0.64, removeParameters: 0.6,
            rounds: rounds,
            ensemble: try Ensemble(
                .balanced, of: FilterSpace(Self.architecture), scope: SamplingScope(dropRate: 0.25), masks: 10, seed: 7),
            evaluation: EvaluationSettings(split: .train, images: 10, batchNorm: .frozen), lossModel: .scarce,
            keepAtLeast: keepAtLeast, roundTo: 1, lastTraining: TrainingSettings(), earlierTraining: TrainingSettings())
    }

    @Test(arguments: [1, 2, 3, 7]) func roundsRemoveTheSameShareOfWhatIsLeftAndEndAtTheBudget(rounds: Int) throws {
        let plan = try plan(rounds: rounds)
        let cost = Self.architecture.cost()
        let budgets = (1...rounds).map { plan.budget(round: $0, of: cost) }
        #expect(budgets.last == PruningBudget(removingFlops: 0.64, parameters: 0.6, of: cost))
        let kept =
            [Double(cost.multiplyAccumulates)] + budgets.compactMap { $0.multiplyAccumulatesMax.map(Double.init) }
        let expected = pow(0.36, 1 / Double(rounds))
        for (before, after) in zip(kept, kept.dropFirst()) { #expect(abs(after / before - expected) < 1e-5) }
    }

    @Test func aLayerKeepsItsShareAfterAllRounds() throws {
        let rules = try plan(rounds: 3, keepAtLeast: 0.125).rules(for: Self.architecture, of: Self.architecture)
        #expect(abs(pow(rules.leastShare, 3) - 0.125) < 1e-12)
        let none = try plan(rounds: 3, keepAtLeast: 0).rules(for: Self.architecture, of: Self.architecture)
        #expect(none.leastShare == 0)
    }

    @Test func everyRoundHasItsOwnSeedAndTheLastItsOwnTraining() throws {
        var plan = try plan(rounds: 3)
        plan.lastTraining.epochs = 30
        plan.earlierTraining.epochs = 4
        #expect((1...3).map { plan.training(round: $0).epochs } == [4, 4, 30])
        #expect((1...3).map { plan.training(round: $0).seed } == [7, 8, 9])
    }

    @Test func anotherPlanSaysWhichOptionDiffers() throws {
        let begun = try plan(rounds: 2)
        var other = begun
        #expect(other.differences(from: begun).isEmpty)
        other.removeParameters = nil
        other.lastTraining.epochs = 7
        #expect(
            other.differences(from: begun) == ["--epochs is 7, was 40", "--remove-parameters is not given, was 0.6"])
        other = begun
        other.evaluation.batchNorm = .corrected(images: 5)
        #expect(!other.differences(from: begun).isEmpty)
    }
}
