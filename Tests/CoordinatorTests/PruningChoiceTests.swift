import Shared
import TestSupport
import Testing

@testable import Coordinator

struct PruningChoiceTests {
    /// A small problem: a network's removal space and random loss curves.
    private struct Problem {
        var space: RemovalSpace
        var losses: [[Double]]

        init(_ architecture: Graph, convex: Bool, using generator: inout SeededGenerator) {
            let count = FilterSpace(architecture).count
            space = RemovalSpace(architecture, removable: Mask(count: count, disabled: 0..<count))
            losses = space.dimensions.map { dimension in
                var rises = dimension.units.map { _ in Double.random(in: -0.05...1, using: &generator) }
                if convex { rises.sort() }
                return rises.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
            }
        }

        /// Every choice that keeps the rules.
        func choices(_ rules: WidthRules) -> [[Int]] {
            space.dimensions.reduce([[]]) { choices, dimension in
                choices.flatMap { choice in rules.removable(of: dimension).map { choice + [$0] } }
            }
        }

        func keeps(_ budget: PruningBudget, _ removed: [Int]) -> Bool {
            let filters = zip(removed, space.dimensions).reduce(0) { $0 + $1.0 * $1.1.filtersPerUnit }
            return budget.excess(space.cost(removed: removed), removedFilters: filters).isNone
        }
    }

    private static let architectures: [Graph] = [
        .fullyConnected(widths: [12, 6, 5, 4, 3]), .residual(widths: [3, 5], blocksPerStage: 1),
    ]

    private func budget(_ space: RemovalSpace, using generator: inout SeededGenerator) -> PruningBudget {
        let all = space.cost(removed: space.dimensions.map { _ in 0 })
        func most(_ cost: Int) -> Int? {
            Bool.random(using: &generator) ? Int(Double.random(in: 0.4..<1, using: &generator) * Double(cost)) : nil
        }
        return PruningBudget(
            multiplyAccumulatesMax: most(all.multiplyAccumulates), parametersMax: most(all.parameters),
            removedFiltersMin: Bool.random(using: &generator) ? Int.random(in: 0...5, using: &generator) : nil)
    }

    @Test func theChoiceIsCloseToTheBestOfAll() throws {
        var generator = SeededGenerator(seed: 1)
        var found = 0.0
        var possible = 0.0
        var exact = 0
        let problems = 200
        for index in 0..<problems {
            let problem = Problem(Self.architectures[index % 2], convex: index % 4 < 2, using: &generator)
            let budget = budget(problem.space, using: &generator)
            let rules = WidthRules()
            let choice = PruningChoice(problem.space, losses: problem.losses, budget: budget, rules: rules)
            let removed = try choice.removed()
            #expect(problem.keeps(budget, removed))
            let best = problem.choices(rules).filter { problem.keeps(budget, $0) }.map(choice.loss).min()
            let optimum = try #require(best)
            // The search never takes more than the budget requires, so a negative optimum is not its goal.
            found += max(choice.loss(removed: removed), 0)
            possible += max(optimum, 0)
            if choice.loss(removed: removed) <= max(optimum, 0) + 1e-9 { exact += 1 }
        }
        #expect(found <= 1.03 * possible)
        #expect(exact >= 9 * problems / 10)
    }

    /// The greedy steps by definition: every step tries every allowed removal and makes the cheapest per saved excess,
    /// the first of equals.
    private func plainSteps(
        _ problem: Problem, _ budget: PruningBudget, allowed: [[Int]], reach: Int
    ) -> [Int] {
        func excess(_ removed: [Int]) -> PruningBudget.Amount {
            let filters = zip(removed, problem.space.dimensions).reduce(0) { $0 + $1.0 * $1.1.filtersPerUnit }
            return budget.excess(problem.space.cost(removed: removed), removedFilters: filters)
        }
        var removed = problem.space.dimensions.map { _ in 0 }
        let start = excess(removed)
        while !excess(removed).isNone {
            let share = excess(removed).share(of: start)
            var best: (removed: [Int], price: Double)?
            for (dimension, counts) in allowed.enumerated() {
                for count in counts.filter({ $0 > removed[dimension] }).prefix(reach) {
                    var trial = removed
                    trial[dimension] = count
                    let progress = share - excess(trial).share(of: start)
                    guard progress > 0 else { continue }
                    let curve = problem.losses[dimension]
                    let price = (curve[count] - curve[removed[dimension]]) / progress
                    if price < best?.price ?? .infinity { best = (trial, price) }
                }
            }
            guard let best else { break }
            removed = best.removed
        }
        return removed
    }

    /// Also if prices are equal, losses fall, several limits hold, and rules leave gaps.
    @Test func theGreedyStepsAreThoseOfThePlainDefinition() throws {
        var generator = SeededGenerator(seed: 7)
        let architectures = [
            Graph.fullyConnected(widths: [12, 40, 40, 40, 4]), .residual(widths: [8, 30], blocksPerStage: 2),
        ]
        var steps = 0
        for index in 0..<200 {
            var problem = Problem(architectures[index % 2], convex: index % 4 < 2, using: &generator)
            if index % 3 == 0 {
                problem.losses = problem.losses.map { $0.map { ($0 * 4).rounded() / 4 } }
            } else if index % 3 == 1 {
                let slope = Double.random(in: 0...0.5, using: &generator)
                problem.losses = problem.losses.map { zip($0, $0.indices).map { $0 - slope * Double($1) } }
            }
            let budget = budget(problem.space, using: &generator)
            let rules = index % 5 == 0 ? WidthRules(leastShare: 0.2, multiple: 3) : WidthRules()
            let choice = PruningChoice(problem.space, losses: problem.losses, budget: budget, rules: rules)
            var state = choice.start
            choice.takeSteps(from: &state)
            let plain = plainSteps(problem, budget, allowed: choice.allowed, reach: PruningChoice.reach)
            #expect(state.removed == plain)
            #expect(state.cost == problem.space.cost(removed: plain))
            steps += plain.reduce(0, +)
        }
        #expect(steps > 1000)
    }

    @Test func everyBudgetAndRuleHoldsAtOnce() throws {
        var generator = SeededGenerator(seed: 2)
        let architecture = Graph.residual(widths: [8, 16], blocksPerStage: 2)
        for _ in 0..<40 {
            let problem = Problem(architecture, convex: false, using: &generator)
            let budget = budget(problem.space, using: &generator)
            let rules = WidthRules(leastShare: 0.25, multiple: 4)
            let choice = PruningChoice(problem.space, losses: problem.losses, budget: budget, rules: rules)
            let removed = try choice.removed()
            #expect(problem.keeps(budget, removed))
            for (count, dimension) in zip(removed, problem.space.dimensions) where count > 0 {
                #expect((dimension.units.count - count) % 4 == 0)
                #expect(4 * (dimension.units.count - count) >= dimension.units.count)
            }
        }
    }

    @Test func aNumberOfFiltersTakesTheLeastImportantOnesOfTheWholeNetwork() throws {
        var generator = SeededGenerator(seed: 3)
        let problem = Problem(.fullyConnected(widths: [12, 20, 30, 4]), convex: true, using: &generator)
        let choice = PruningChoice(
            problem.space, losses: problem.losses, budget: PruningBudget(removedFiltersMin: 17), rules: WidthRules())
        let removed = try choice.removed()
        #expect(removed.reduce(0, +) == 17)
        let rises = problem.losses.flatMap { curve in zip(curve, curve.dropFirst()).map { $1 - $0 } }.sorted()
        #expect(abs(choice.loss(removed: removed) - rises.prefix(17).reduce(0, +)) < 1e-9)
    }

    @Test func everyLayerKeepsAFilterHoweverCheapItIs() throws {
        var generator = SeededGenerator(seed: 4)
        var problem = Problem(.fullyConnected(widths: [12, 6, 6, 4]), convex: true, using: &generator)
        problem.losses[0] = problem.losses[0].map { _ in 0 }
        let choice = PruningChoice(
            problem.space, losses: problem.losses, budget: PruningBudget(removedFiltersMin: 8), rules: WidthRules())
        #expect(try choice.removed() == [5, 3])
    }

    @Test func aBudgetThatCannotBeKeptIsRefusedWithWhatCan() throws {
        var generator = SeededGenerator(seed: 5)
        let problem = Problem(.residual(widths: [4, 4], blocksPerStage: 1), convex: true, using: &generator)
        let choice = PruningChoice(
            problem.space, losses: problem.losses, budget: PruningBudget(multiplyAccumulatesMax: 10),
            rules: WidthRules())
        let failure = #expect(throws: Failure.self) { try choice.removed() }
        #expect(failure?.kind == .usage)
        #expect(failure?.description.contains("% of the FLOPs can be removed") == true)
    }

    @Test func noBudgetRemovesNothing() throws {
        var generator = SeededGenerator(seed: 6)
        let problem = Problem(Self.architectures[0], convex: false, using: &generator)
        let choice = PruningChoice(
            problem.space, losses: problem.losses, budget: PruningBudget(), rules: WidthRules())
        #expect(try choice.removed().allSatisfy { $0 == 0 })
    }
}
