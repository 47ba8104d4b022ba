import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

/// Losses from an additive model, with noise of a known size.
private struct SyntheticRun {
    let ensemble: Ensemble
    let truth: [Double]
    let evaluations: [Evaluation?]

    /// Simulated cheap criteria: as much of each filter's difference from its layer as requested.
    let features: FilterFeatures
    /// Which masks see the same images.
    let rotation: ImageRotation

    /// - Parameters:
    ///   - sharedNoise: the deviation of the part shared by masks with the same first segment.
    ///   - likes: the deviation from the truth of each filter's effect on a group's images.
    ///   - hardness: the deviation of the part shared by masks that see the same images.
    ///   - known: the correlation of the features with the filters' differences from their layers.
    init(
        design: String = "tree", space: FilterSpace = Networks.resnet20, masks: Int = 2048, noise: Double,
        sharedNoise: Double = 0, curvature: Double = 0, likes: Double = 0, hardness: Double = 0, known: Double = 0,
        seed: UInt64 = 3
    ) throws {
        let ensemble = try Ensemble(
            SamplingDesign(named: design), of: space, scope: SamplingScope(dropRate: 0.25), masks: masks, seed: seed)
        var generator = RandomGenerator(key: [seed, 99])
        func normal() -> Double {
            let u = (Double(generator.next() >> 11) + 0.5) * 0x1p-53
            let v = Double(generator.next() >> 11) * 0x1p-53
            return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
        }
        var truth = [Double](repeating: 0, count: space.count)
        var scores = [Double](repeating: 1, count: space.count)
        let rotation = ImageRotation(pool: 50_000, of: ensemble)
        // Networks of more filters than ResNet-20's have smaller effects, so losses stay realistic.
        let size = min(1, 336 / Double(ensemble.participating.count))
        for layer in ensemble.layers {
            let mean = 0.01 + 0.005 * normal()
            for filter in layer.filters {
                let difference = normal()
                truth[filter] = size * (mean + 0.01 * difference)
                guard known > 0 else { continue }
                scores[filter] = exp(known * difference + (1 - known * known).squareRoot() * normal())
            }
        }
        var shared = 0.0
        var own = [Double](repeating: 0, count: space.count)
        var hard = 0.0
        evaluations = (0..<masks).map { index in
            if index % ensemble.groupSize == 0 { shared = sharedNoise * normal() }
            if index % rotation.masks == 0, likes > 0 || hardness > 0 {
                for filter in own.indices { own[filter] = size * likes * normal() }
                hard = hardness * normal()
            }
            let mask = ensemble.mask(index)
            var response = -1 + mask.disabled.reduce(hard) { $0 + truth[$1] + own[$1] } + shared + noise * normal()
            for layer in ensemble.layers {
                let share = Double(layer.filters.filter { mask[$0] }.count) / Double(layer.count) - 0.25
                response += curvature * share * share
            }
            let images = 1000
            let sum = exp(response) * Double(images) * Evaluation.unitsPerNat
            return Evaluation(lossSum: Int64(sum.rounded()), correct: 500, images: images)
        }
        self.ensemble = ensemble
        self.truth = truth
        self.rotation = rotation
        features = FilterFeatures([(criterion: .taylor, values: scores)], in: space)
    }

    func fit() throws -> AdditiveFit { try AdditiveFit(ensemble, evaluations: evaluations) }

    /// Spearman's correlation of a fit with the truth.
    func agreement(_ fit: AdditiveFit) -> Double {
        RankCorrelation.spearman(fit.estimates.map(\.importance), fit.estimates.map { truth[$0.filter] }) ?? -1
    }
}

/// The mean square of the errors in units of their standard errors, and the share within the 95 % intervals.
private func calibration(_ fit: AdditiveFit, _ truth: [Double]) -> (square: Double, coverage: Double) {
    let count = Double(fit.estimates.count)
    let square = fit.estimates.reduce(0.0) { sum, estimate in
        let error = (estimate.importance - truth[estimate.filter]) / estimate.standardError
        return sum + error * error / count
    }
    let covered = fit.estimates.filter { $0.interval.contains(truth[$0.filter]) }.count
    return (square, Double(covered) / count)
}

@Test(arguments: ["independent", "balanced", "tree"]) func knownCoefficientsAreRecovered(design: String) throws {
    let run = try SyntheticRun(design: design, noise: 0.05)
    let fit = try run.fit()
    let (square, coverage) = calibration(fit, run.truth)
    #expect((0.75...1.3).contains(square), "mean squared standard score \(square)")
    #expect((0.91...0.985).contains(coverage), "coverage \(coverage)")
    let truth = fit.estimates.map { run.truth[$0.filter] }
    #expect((RankCorrelation.spearman(fit.estimates.map(\.importance), truth) ?? 0) > 0.95)
    #expect(abs(fit.residualDeviations[0] - 0.05) < 0.006)
    #expect((fit.heldOutRSquared ?? 0) > 0.8)
    #expect((fit.rSquared ?? 0) > (fit.heldOutRSquared ?? 1))
    #expect((0.7...0.95).contains(fit.splitHalf ?? 0))
}

@Test func whatSharingMasksHaveInCommonIsNotTakenForCertainty() throws {
    let run = try SyntheticRun(noise: 0.05, sharedNoise: 0.2)
    let fit = try run.fit()
    let (square, coverage) = calibration(fit, run.truth)
    #expect((0.7...1.4).contains(square), "mean squared standard score \(square)")
    #expect((0.9...0.99).contains(coverage), "coverage \(coverage)")
    #expect(abs(fit.residualDeviations[2] - 0.2) < 0.06, "\(fit.residualDeviations)")
    // Filters of the last segment are compared within groups, so the shared part hardly blurs them.
    let first = fit.estimates.filter { run.ensemble.layers[0].filters.contains($0.filter) }
    let last = fit.estimates.filter { run.ensemble.layers[8].filters.contains($0.filter) }
    #expect(last[0].standardError < 0.5 * first[0].standardError)
}

@Test func imagesThatAreHardForAllTheirMasksBlurNothing() throws {
    // Groups of 64 masks whose images are easier or harder, by as much as all the masks' effects.
    let run = try SyntheticRun(noise: 0.05, hardness: 0.3)
    let fit = try AdditiveFit(run.ensemble, evaluations: run.evaluations, rotation: run.rotation)
    let (square, coverage) = calibration(fit, run.truth)
    #expect((0.75...1.3).contains(square), "mean squared standard score \(square)")
    #expect((0.91...0.985).contains(coverage), "coverage \(coverage)")
    #expect(abs(fit.residualDeviations[0] - 0.05) < 0.006)
    #expect((fit.residualDeviations.last ?? 0) > 0.2)
    #expect((fit.heldOutRSquared ?? 0) > 0.8)
    // Without knowing it, the fit mistakes difficulty for importance.
    let blind = try AdditiveFit(run.ensemble, evaluations: run.evaluations)
    #expect(
        run.agreement(fit) > max(0.9, run.agreement(blind) + 0.01), "\(run.agreement(fit)), \(run.agreement(blind))")
    // Models that are too large to store their products are not blurred either.
    let large = try AdditiveFit(
        run.ensemble, evaluations: run.evaluations, response: .logLoss, rotation: run.rotation, directColumnsMax: 10)
    #expect(run.agreement(large) > 0.85, "\(run.agreement(large))")
}

/// The stated certainty of a fit, over masks and over images, against the actual one.
@Test(arguments: [(320, 0.007), (1280, 0.007), (1280, 0.014)])
func intervalsCoverTheTruthOverMasksAndImages(masks: Int, likes: Double) throws {
    var covered = 0.0
    var reliabilities = 0.0
    var squares = 0.0
    let runs = 12
    for seed in 1...runs {
        let run = try SyntheticRun(
            masks: masks, noise: 0.05, likes: likes, hardness: 0.1, seed: UInt64(seed))
        let fit = try AdditiveFit(run.ensemble, evaluations: run.evaluations, rotation: run.rotation)
        covered += calibration(fit, run.truth).coverage / Double(runs)
        reliabilities += try #require(fit.reliability) / Double(runs)
        let correlation = try #require(
            RankCorrelation.pearson(fit.estimates.map(\.importance), fit.estimates.map { run.truth[$0.filter] }))
        squares += correlation * correlation / Double(runs)
    }
    #expect((0.93...0.97).contains(covered), "coverage \(covered)")
    // The reliability is the squared correlation with the truth.
    #expect(abs(reliabilities - squares) < 0.05, "reliability \(reliabilities), squared correlation \(squares)")
}

@Test(arguments: [0.8, 0]) func whatCheapCriteriaKnowNeedsNoMasks(known: Double) throws {
    let runs = 8
    var gain = 0.0
    var share = 0.0
    var weight = 0.0
    var covered = 0.0
    for seed in 1...runs {
        let run = try SyntheticRun(masks: 320, noise: 0.1, known: max(known, 1e-9), seed: UInt64(seed))
        let with = try AdditiveFit(run.ensemble, evaluations: run.evaluations, features: run.features)
        let prior = try #require(with.priors.first)
        gain += try (run.agreement(with) - run.agreement(run.fit())) / Double(runs)
        share += prior.share / Double(runs)
        weight += prior.weight / Double(runs)
        covered += calibration(with, run.truth).coverage / Double(runs)
    }
    #expect((0.91...0.98).contains(covered), "coverage \(covered)")
    if known > 0 {
        #expect(gain > 0.05, "\(gain)")
        #expect((0.45...0.8).contains(share), "\(share)")
        #expect(abs(weight - 0.008) < 0.0015, "\(weight)")
    } else {
        // A criterion that knows nothing gets next to no weight.
        #expect(gain > -0.02, "\(gain)")
        #expect(share < 0.08 && abs(weight) < 0.001, "\(share), \(weight)")
    }
}

@Test func moreMasksAreForecastAsTheyTurnOut() throws {
    let run = try SyntheticRun(masks: 2560, noise: 0.15, hardness: 0.1)
    let early = try AdditiveFit(
        run.ensemble, evaluations: Array(run.evaluations.prefix(640)), rotation: run.rotation)
    let late = try AdditiveFit(run.ensemble, evaluations: run.evaluations, rotation: run.rotation)
    let reached = try #require(late.reliability)
    let needed = try #require(early.masksNeeded(for: reached))
    #expect((1700...3800).contains(needed), "\(needed) masks for \(reached)")
    #expect(abs((late.masksNeeded(for: reached) ?? 0) - 2560) < 1)
}

@Test func effectsThatBendAreNotTakenForNoise() throws {
    let straight = try SyntheticRun(noise: 0.05).fit()
    let bent = try SyntheticRun(noise: 0.05, curvature: 3).fit()
    #expect(bent.residualDeviations[0] < 1.2 * straight.residualDeviations[0])
    for layer in bent.layers {
        let curvature = layer.curvature * Double(layer.filters * layer.filters)
        #expect(abs(curvature - 3) < 1, "\(layer.name): \(curvature)")
    }
}

@Test func theFitIsTheGeneralisedLeastSquaresRidge() throws {
    // The definition, with the residuals' covariance written out, solved by elimination.
    let space = Networks.connected([4, 5, 4, 2])
    let ensemble = try Ensemble(
        SamplingDesign(named: "tree-2x3"), of: space, scope: SamplingScope(dropRate: 0.4), masks: 60, seed: 5)
    let terms = ModelTerms(ensemble)
    var generator = RandomGenerator(key: [1])
    let responses = (0..<60).map { _ in Double(generator.below(1000)) / 1000 }
    let components = VarianceComponents(noise: [0.3, 0.9], prior: terms.families.indices.map { 0.5 + Double($0) })
    var equations = NormalEquations(terms, levels: NormalEquations.levels(of: ensemble), weights: components.weights)
    #expect(equations.levels == [1, 3])
    for index in 0..<60 { equations.add(index: index, mask: ensemble.mask(index), response: responses[index]) }
    equations.finish()
    let solution = try #require(Solution(equations.matrices[0], terms: terms, components: components))

    // Residuals: variance 0.3 for each mask, and (0.9 - 0.3) / 3 in common within three neighbours.
    let covariance = (0..<60).map { i in
        (0..<60).map { j in (i == j ? 0.3 : 0) + (i / 3 == j / 3 ? 0.2 : 0) }
    }
    let rows = (0..<60).map { index in
        withUnsafeTemporaryAllocation(of: Double.self, capacity: terms.count) { row in
            row.initialize(repeating: 0)
            terms.fill(row.baseAddress!, with: ensemble.mask(index))
            return zip(row, terms.scales).map { $0 * $1 }
        }
    }
    let weighted = eliminate(covariance, rows.indices.map { rows[$0] + [responses[$0]] })
    var system = (0..<terms.count).map { a in
        (0..<terms.count).map { b in (0..<60).reduce(0) { $0 + rows[$1][a] * weighted[$1][b] } }
    }
    for (family, variance) in zip(terms.families, components.prior) {
        for column in family.columns { system[column][column] += 1 / variance }
    }
    let right = (0..<terms.count).map { a in [(0..<60).reduce(0) { $0 + rows[$1][a] * weighted[$1][terms.count] }] }
    let expected = eliminate(system, right).map { $0[0] }
    for (found, wanted) in zip(solution.coefficients, expected) { #expect(abs(found - wanted) < 1e-9) }
    let inverse = solution.inverse
    for column in 0..<terms.count {
        let unit = (0..<terms.count).map { [$0 == column ? 1.0 : 0] }
        let wanted = eliminate(system, unit).map { $0[0] }
        for row in 0..<terms.count { #expect(abs(inverse[row, column] - wanted[row]) < 1e-9) }
    }
}

/// The solutions of `A X = B` by elimination with pivots.
private func eliminate(_ a: [[Double]], _ b: [[Double]]) -> [[Double]] {
    var rows = zip(a, b).map { $0 + $1 }
    for column in a.indices {
        let pivot = (column..<rows.count).max { abs(rows[$0][column]) < abs(rows[$1][column]) } ?? column
        rows.swapAt(column, pivot)
        let factor = rows[column][column]
        rows[column] = rows[column].map { $0 / factor }
        for other in rows.indices where other != column && rows[other][column] != 0 {
            let times = rows[other][column]
            for index in rows[other].indices { rows[other][index] -= times * rows[column][index] }
        }
    }
    return rows.map { Array($0[a.count...]) }
}

@Test func theSameEvaluationsGiveTheSameBits() throws {
    let run = try SyntheticRun(masks: 512, noise: 0.05)
    let first = try run.fit()
    let second = try run.fit()
    #expect(first.estimates == second.estimates)
    #expect(first.splitHalf == second.splitHalf)
    #expect(first.heldOut == second.heldOut)
}

@Test func masksThatAreMissingAreLeftOut() throws {
    let run = try SyntheticRun(masks: 1024, noise: 0.05)
    var evaluations = run.evaluations
    for index in evaluations.indices where index % 3 == 0 { evaluations[index] = nil }
    let fit = try AdditiveFit(run.ensemble, evaluations: evaluations)
    #expect(fit.masks == 682)
    let (square, _) = calibration(fit, run.truth)
    #expect((0.7...1.4).contains(square))
    let early = try AdditiveFit(run.ensemble, evaluations: Array(run.evaluations.prefix(300)))
    #expect(early.masks == 300)
}

@Test func aRunWithFewerMasksThanFiltersIsRankedWithCare() throws {
    let run = try SyntheticRun(masks: 128, noise: 0.05)
    let fit = try run.fit()
    let (square, coverage) = calibration(fit, run.truth)
    #expect(square < 3 && coverage > 0.75, "\(square) \(coverage)")
}

@Test func pureNoiseRanksNothing() throws {
    let run = try SyntheticRun(masks: 1024, noise: 1)
    let noise = try Ensemble(
        .tree, of: Networks.resnet20, scope: SamplingScope(dropRate: 0.25), masks: 1024, seed: 77)
    let fit = try AdditiveFit(noise, evaluations: run.evaluations)
    #expect(abs(fit.heldOutRSquared ?? 1) < 0.1)
    #expect(abs(fit.splitHalf ?? 1) < 0.5)
    let significant = fit.estimates.filter { !$0.interval.contains(0) }.count
    #expect(significant < fit.estimates.count / 8)
}

@Test func filtersThatWereNeverDisabledAreNamedNotRanked() throws {
    let run = try SyntheticRun(design: "balanced", masks: 400, noise: 0.05)
    let filter = run.ensemble.participating[20]
    var evaluations = run.evaluations
    for index in evaluations.indices where run.ensemble.mask(index)[filter] { evaluations[index] = nil }
    let fit = try AdditiveFit(run.ensemble, evaluations: evaluations)
    #expect(fit.unmeasured == [filter])
    #expect(!fit.estimates.contains { $0.filter == filter })
    #expect(fit.estimates.count == 335)
}

@Test func equalLossesExplainNothing() throws {
    let run = try SyntheticRun(masks: 64, noise: 0.05)
    let same = Evaluation(lossSum: 1 << 40, correct: 1, images: 100)
    let fit = try AdditiveFit(run.ensemble, evaluations: run.evaluations.map { _ in same })
    #expect(fit.estimates.allSatisfy { $0.importance == 0 })
    #expect(fit.rSquared == nil && fit.heldOutRSquared == nil && fit.splitHalf == nil)
    #expect(abs(fit.predictedLoss(run.ensemble.mask(0)) - same.loss) < 1e-9)
}

@Test func tooFewMasksAreRefused() throws {
    let run = try SyntheticRun(masks: 64, noise: 0.05)
    #expect(throws: Failure.self) {
        _ = try AdditiveFit(run.ensemble, evaluations: Array(run.evaluations.prefix(7)))
    }
    let nothing = [Evaluation?](repeating: Evaluation(), count: 64)
    #expect(throws: Failure.self) { _ = try AdditiveFit(run.ensemble, evaluations: nothing) }
}

@Test func aLossOfZeroHasALogarithm() throws {
    let value = try #require(Response.logLoss.value(of: Evaluation(lossSum: 0, correct: 10, images: 10)))
    #expect(value.isFinite)
}

@Test func theFitOfManyFiltersIsTheOneOfFew() throws {
    // The same run by the stored equations and by the large fit: both recover the truth.
    for design in ["balanced", "tree"] {
        let run = try SyntheticRun(design: design, masks: 4096, noise: 0.05)
        let direct = try run.fit()
        let large = try AdditiveFit(
            run.ensemble, evaluations: run.evaluations, response: .logLoss, directColumnsMax: 0)
        let agreement = RankCorrelation.spearman(
            direct.estimates.map(\.importance), large.estimates.map(\.importance))
        #expect((agreement ?? 0) > 0.97, "\(agreement ?? 0)")
        let (square, coverage) = calibration(large, run.truth)
        #expect((0.6...1.5).contains(square) && (0.88...0.99).contains(coverage), "\(square) \(coverage)")
        #expect(abs(large.residualDeviations[0] - 0.05) < 0.02)
        #expect(abs((large.heldOutRSquared ?? 0) - (direct.heldOutRSquared ?? 1)) < 0.05)
        #expect((large.splitHalf ?? 0) > 0.8)
        let mask = run.ensemble.mask(7)
        #expect(abs(large.predict(mask) - direct.predict(mask)) < 0.1)
    }
}

@Test func theFitOfManyFiltersIsTheSameBitsOnAnyNumberOfThreads() throws {
    let run = try SyntheticRun(masks: 5000, noise: 0.05)
    var evaluations = run.evaluations
    for index in evaluations.indices where index % 7 == 3 { evaluations[index] = nil }
    let fits = try [1, 2, 5].map { threads in
        try AdditiveFit(
            run.ensemble, evaluations: evaluations, response: .logLoss, directColumnsMax: 0, threads: threads)
    }
    for other in fits.dropFirst() {
        #expect(other.estimates == fits[0].estimates)
        #expect(other.layers == fits[0].layers)
        #expect(other.rSquared == fits[0].rSquared && other.heldOutRSquared == fits[0].heldOutRSquared)
        #expect(other.splitHalf == fits[0].splitHalf)
    }
}

@Test(arguments: ["independent", "tree"]) func theFitOfManyFiltersSolvesItsEquations(design: String) throws {
    // The ridge least squares of the layers' residual, with its matrix written out and solved by elimination.
    let space = Networks.connected([8, 14, 11, 9, 4])
    let run = try SyntheticRun(design: design, space: space, masks: 600, noise: 0.05)
    var evaluations = run.evaluations
    for index in 100..<200 { evaluations[index] = nil }
    let observations = Observations(run.ensemble, evaluations: evaluations, response: .logLoss)
    let terms = ModelTerms(run.ensemble)
    let passes = MaskPasses(run.ensemble, indices: observations.indices)
    let fit = try #require(LargeFit(observations, terms: terms, passes: passes))

    let count = run.ensemble.participating.count
    let dense = [0] + Array(terms.layerColumns.lowerBound..<terms.count)
    var system = [[Double]](repeating: [Double](repeating: 0, count: count), count: count)
    var right = [[Double]](repeating: [0], count: count)
    observations.forEach { _, mask, response in
        let full = withUnsafeTemporaryAllocation(of: Double.self, capacity: terms.count) { row in
            row.initialize(repeating: 0)
            terms.fill(row.baseAddress!, with: mask)
            return zip(row, terms.scales).map { $0 * $1 }
        }
        var row = (0..<count).map { full[1 + $0] }
        for places in passes.places {
            let mean = row[places].reduce(0, +) / Double(places.count)
            for place in places { row[place] -= mean }
        }
        let residual = response - observations.mean - dense.reduce(0) { $0 + full[$1] * fit.coefficients[0][$1] }
        for a in 0..<count {
            right[a][0] += row[a] * residual
            for b in 0..<count { system[a][b] += row[a] * row[b] }
        }
    }
    for (places, prior) in zip(passes.places, fit.components.prior) {
        for place in places { system[place][place] += fit.components.noise[0] / prior }
    }
    let expected = eliminate(system, right).map { $0[0] }
    let size = expected.reduce(0) { $0 + $1 * $1 }.squareRoot()
    let error = zip(fit.effects, expected).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
    #expect(error < 1e-3 * size, "\(error / size)")
}

@Test func thousandsOfFiltersAreRanked() throws {
    let space = Networks.connected([3072, 5000, 1200, 10])
    let run = try SyntheticRun(space: space, masks: 256, noise: 0.05)
    let fit = try run.fit()
    #expect(fit.estimates.count == 6200)
    #expect(fit.estimates.allSatisfy { $0.importance.isFinite && $0.standardError > 0 })
}

@Test func rankCorrelationsAreTheTextbookOnes() {
    // Worked out by hand: differences of ranks 1, 1, 1, 1, 0 give 1 - 6·4 / (5·24).
    #expect(RankCorrelation.spearman([1, 2, 3, 4, 5], [20, 10, 40, 30, 50]) == 0.8)
    #expect(RankCorrelation.kendall([1, 2, 3, 4, 5], [20, 10, 40, 30, 50]) == 0.6)
    #expect(RankCorrelation.spearman([1, 1, 1], [1, 2, 3]) == nil)
    #expect(RankCorrelation.kendall([1], [1]) == nil)
    #expect(RankCorrelation.ranks(of: [3, 1, 3, 2]) == [3.5, 1, 3.5, 2])
}

@Test func kendallCountsPairsAlsoWithTies() {
    var generator = RandomGenerator(key: [8])
    for _ in 0..<50 {
        let a = (0..<30).map { _ in Double(generator.below(8)) }
        let b = (0..<30).map { _ in Double(generator.below(12)) }
        var (sum, left, right) = (0.0, 0.0, 0.0)
        for i in a.indices {
            for j in 0..<i {
                let x = (a[i] - a[j]).sign == .minus ? -1.0 : a[i] == a[j] ? 0 : 1
                let y = (b[i] - b[j]).sign == .minus ? -1.0 : b[i] == b[j] ? 0 : 1
                sum += x * y
                left += x * x
                right += y * y
            }
        }
        let expected = sum / (left * right).squareRoot()
        #expect(abs((RankCorrelation.kendall(a, b) ?? 9) - expected) < 1e-12)
    }
}
