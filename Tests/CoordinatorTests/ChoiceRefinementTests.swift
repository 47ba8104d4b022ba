import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

/// Masks around a choice, and what they show.
struct ChoiceRefinementTests {
    private static let graph = Graph.fullyConnected(widths: [8, 24, 24, 3])
    private static let space = RemovalSpace(graph, removable: Mask(count: 48, disabled: Array(0..<48)))
    private static let removed = [12, 12]

    /// Filters `2k` and `2k + 1` are duplicates for `k < 16`: one can go for nearly nothing, both cost much. The others
    /// cost the same in any combination.
    private static func response(_ mask: Mask) -> Double {
        var sum = 0.0
        for first in stride(from: 0, to: 48, by: 2) {
            let gone = (mask[first] ? 1 : 0) + (mask[first + 1] ? 1 : 0)
            sum += first < 32 ? [0, 0.01, 0.4][gone] : 0.05 * Double(gone)
        }
        return sum
    }

    /// Each filter's cost alone, with errors: the pairs look entirely removable.
    private static let scores: [Double] = (0..<48).map { filter in
        let error = 0.004 * Double(filter * 29 % 7)
        return filter < 32 ? 0.01 + error : 0.05 + error
    }

    private static func refinement(seed: UInt64 = 1) -> ChoiceRefinement {
        ChoiceRefinement(
            space, removed: removed, scores: scores, deviations: scores.map { _ in 0.03 }, seed: seed)
    }

    private static func refined(rounds: Int, seed: UInt64 = 1) -> (ChoiceRefinement, masks: [Mask]) {
        var refinement = refinement(seed: seed)
        var all: [Mask] = []
        for round in 0..<rounds {
            let masks = refinement.nextRound()
            all += masks
            // Every round sees other images, harder or easier ones.
            refinement.add(masks.map { response($0) + 0.7 * Double(round % 3) })
        }
        return (refinement, all)
    }

    @Test func everyMaskRemovesAsMuchAsTheFirstChoice() {
        let (refinement, masks) = Self.refined(rounds: 3)
        for mask in masks + [refinement.choice] {
            #expect(mask.disabled.filter { $0 < 24 }.count == Self.removed[0])
            #expect(mask.disabled.filter { $0 >= 24 }.count == Self.removed[1])
        }
        #expect(Set(masks).count > 100)
    }

    @Test(arguments: [1, 2, 3]) func filtersThatStandInForEachOtherDoNotGoTogether(seed: UInt64) {
        let first = Self.refinement().choice
        let refined = Self.refined(rounds: 6, seed: seed).0.choice
        #expect(Self.response(first) > 2)
        #expect(Self.response(refined) < 0.35 * Self.response(first))
    }

    @Test func aCriterionThatKnowsBetterIsFollowed() {
        // The second half of each layer costs much; the scores show nothing of it, the criterion all.
        let costs: [Double] = (0..<48).map { $0 % 24 < 12 ? 0.01 : 0.3 }
        func chosen(_ criteria: [[Double]]) -> Double {
            var refinement = ChoiceRefinement(
                Self.space, removed: Self.removed, scores: (0..<48).map { 0.001 * Double($0 * 31 % 48) },
                deviations: (0..<48).map { _ in 0.03 }, criteria: criteria, seed: 1)
            let masks = refinement.nextRound(masks: 16)
            refinement.add(masks.map { $0.disabled.reduce(0) { $0 + costs[$1] } })
            return refinement.choice.disabled.reduce(0) { $0 + costs[$1] }
        }
        #expect(chosen([costs]) < 0.5)
        #expect(chosen([]) > 1)
    }

    @Test func theSameSeedAndResponsesGiveTheSameMasks() {
        #expect(Self.refined(rounds: 3).masks == Self.refined(rounds: 3).masks)
        #expect(Self.refined(rounds: 1).masks != Self.refined(rounds: 1, seed: 2).masks)
    }

    @Test func aRoundOfOneMaskTeachesNothing() {
        var refinement = Self.refinement()
        let first = refinement.choice
        _ = refinement.nextRound(masks: 1)
        refinement.add([0.5])
        #expect(refinement.choice == first)
    }

    @Test func filtersThatGoTogetherAreOneUnit() throws {
        var generator = SeededGenerator(seed: 3)
        let graph = Graph.residual(widths: [8, 10], blocksPerStage: 2, imageSize: 16)
        let network = Network.random(graph, using: &generator)
        let scores = FilterScores(.l1, of: network, scope: .all, seed: 1)
        let pruner = Pruner(graph, scores: scores, model: .additive, rules: WidthRules())
        let outcome = try pruner.prune(to: PruningBudget(removedFiltersMin: 12))
        var refinement = ChoiceRefinement(
            pruner.space, removed: outcome.removed, scores: scores.values,
            deviations: scores.values.map { _ in 0.2 }, seed: 1)
        #expect(refinement.choice == outcome.mask)
        for mask in refinement.nextRound() {
            let smaller = try network.removing(mask)
            #expect(smaller.graph.cost() == (try network.removing(outcome.mask)).graph.cost())
        }
    }
}
