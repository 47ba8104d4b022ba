import Shared

/// The additive model fitted to a run's evaluations, with how sure it is.
public struct AdditiveFit: Sendable {
    /// The importance of one filter: the expected rise of the response when it is disabled.
    public struct Estimate: Sendable, Equatable, Codable {
        /// The filter's number in the ``FilterSpace``.
        public let filter: Int
        /// The rise of the response.
        public let importance: Double
        /// Its standard error, given the evaluations: over other masks and, if images rotate, other images.
        public let standardError: Double
        /// In how many evaluated masks the filter was disabled.
        public let timesDisabled: Int

        /// The ends of the 95 % interval.
        public var interval: ClosedRange<Double> {
            importance - AdditiveFit.intervalDeviations * standardError...importance + AdditiveFit.intervalDeviations
                * standardError
        }
    }

    /// The model's result for one layer.
    public struct LayerEffect: Sendable, Equatable, Codable {
        /// The checkpoint's name.
        public let name: String
        /// Its filters.
        public let filters: Int
        /// The number of disabled filters around which the effects are measured.
        public let expected: Int
        /// The mean importance of its filters.
        public let meanImportance: Double
        /// The prior standard deviation of its filters' importances around their mean.
        public let spread: Double
        /// `κ` in `κ (d² - e²)`, with `d` the disabled filters minus ``expected`` and `e` ``expected``: the curvature
        /// of the layer's effect.
        public let curvature: Double

        /// The rise of the response when only `disabled` filters of mean importance are disabled.
        public func rise(disabled: Double) -> Double {
            let excess = disabled - Double(expected)
            return meanImportance * disabled + curvature * (excess * excess - Double(expected * expected))
        }
    }

    /// A held-out mask's response as predicted from the other masks, and as measured.
    public struct HeldOut: Sendable, Equatable, Codable {
        /// The mask's index.
        public let mask: Int
        /// The predicted response.
        public let predicted: Double
        /// The measured one.
        public let measured: Double
    }

    /// What a criterion says about the importances.
    public struct PriorShare: Sendable, Equatable, Codable {
        /// The criterion.
        public let criterion: FilterFeatures.Criterion
        /// The rise of the importance per standard deviation of the criterion's logarithm within a layer, averaged over
        /// the filters.
        public let weight: Double
        /// The share of the differences within layers that it explains in addition to the other criteria.
        public let share: Double
    }

    /// How reliable the ranking was when some of the masks were in.
    public struct Settling: Sendable, Equatable, Codable {
        /// The masks that were in.
        public let masks: Int
        /// Spearman's correlation between the rankings of two halves of them.
        public let splitHalf: Double?
        /// Spearman's correlation between their ranking and the ranking of all masks.
        public let againstAll: Double?
    }

    /// Standard errors in a 95 % interval, to either side.
    static let intervalDeviations = 1.959964
    /// The most columns whose products are stored: three matrices of them and their copies take about 4 GB.
    static let directColumnsMax = 6000
    /// Fewer masks than this say nothing.
    static let masksMin = 8

    /// The explained response.
    public let response: Response
    /// The evaluated masks.
    public let masks: Int
    /// The filters that the masks say something about, ascending.
    public let estimates: [Estimate]
    /// The ranked filters that none, or all, of the evaluated masks disabled.
    public let unmeasured: [Int]
    /// The layers that take part.
    public let layers: [LayerEffect]
    /// The mean response of the evaluated masks.
    public let meanResponse: Double
    /// The response's standard deviation over masks.
    public let responseDeviation: Double
    /// The residuals' standard deviation for each level of masks that share segments, single masks first.
    public let residualDeviations: [Double]
    /// The ridge strength `λ₀ / τ²` of each layer's filters.
    public let ridgeStrengths: [Double]
    /// The share of the response's variance that the model explains; nil if the response does not vary. If images
    /// rotate, of the variance among masks that see the same ones.
    public let rSquared: Double?
    /// The same over held-out masks; nil if there are too few.
    public let heldOutRSquared: Double?
    /// Spearman's correlation between the rankings of two halves of the masks, averaged over random halvings.
    public let splitHalf: Double?
    /// The halvings that were averaged.
    public let halvings: Int
    /// The share of the true importances' differences that the ranking captures: their variance over their variance
    /// plus the estimates' error. It is also the expected squared correlation with the truth, and the expected
    /// correlation with the ranking from as many other masks and images. Nil if there are too few masks to tell.
    public let reliability: Double?
    /// The contribution of the criteria known beforehand.
    public let priors: [PriorShare]
    /// How much more the importances scatter over masks and images than the model assumes, as a factor of their
    /// variance, at least 1.
    public let scatter: Double
    /// Predictions of held-out masks: at most ``heldOutMax`` of them, evenly chosen.
    public let heldOut: [HeldOut]
    /// How the ranking settled as masks came in.
    public let settling: [Settling]

    /// Predictions to keep for a plot.
    static let heldOutMax = 2000

    /// The mean variance of the importances' errors, without the part that all share, and its value before any mask;
    /// nil if unknown.
    private let errors: (now: Double, before: Double)?

    let terms: ModelTerms
    let coefficients: [Double]
    /// Of the coefficients and the criteria's weights; nil for large models.
    let posterior: Posterior?

    /// Fits the model. `evaluations` has a place for each mask of the ensemble, nil if it was not evaluated. The same
    /// evaluations give the same fit, in any order. Throws a `.badInput` ``Failure`` if there are fewer than
    /// ``masksMin``.
    ///
    /// O(masks × columns² + columns³), in memory O(columns²), where columns are the filters plus some per layer and
    /// pair of layers; beyond ``directColumnsMax`` columns see ``LargeFit``, in memory O(masks + filters).
    public init(
        _ ensemble: Ensemble, evaluations: [Evaluation?], response: Response = .logLoss,
        rotation: ImageRotation? = nil, features: FilterFeatures = .none
    ) throws {
        try self.init(
            ensemble, evaluations: evaluations, response: response, rotation: rotation, features: features,
            directColumnsMax: Self.directColumnsMax)
    }

    init(
        _ ensemble: Ensemble, evaluations: [Evaluation?], response: Response, rotation: ImageRotation? = nil,
        features: FilterFeatures = .none, directColumnsMax: Int, threads: Int = CPUAllowance.processors
    ) throws {
        let observations = Observations(
            ensemble, evaluations: evaluations, response: response, rotation: rotation)
        guard observations.indices.count >= Self.masksMin else {
            throw Failure(
                .badInput,
                "\(observations.indices.count) evaluated masks are too few to rank filters; at least "
                    + "\(Self.masksMin) are needed")
        }
        let plain = ModelTerms(ensemble)
        let isLarge = plain.count > directColumnsMax
        // The large fit has no prior means.
        let terms = isLarge ? plain : ModelTerms(ensemble, features: features)
        let variance = observations.variance
        var times = [Int](repeating: 0, count: ensemble.filterCount)
        let passes = MaskPasses(ensemble, indices: observations.indices, threads: threads)
        var equations = NormalEquations(
            terms, levels: NormalEquations.levels(of: ensemble, rotation: rotation), isEmpty: isLarge)
        let mean = observations.mean
        for (filter, count) in zip(ensemble.participating, passes.timesDisabled()) { times[filter] = count }
        if !isLarge {
            observations.forEach { position, mask, value in
                equations.add(index: observations.indices[position], mask: mask, response: value - mean)
            }
        }
        equations.finish()
        self.response = response
        self.terms = terms
        masks = observations.indices.count
        meanResponse = mean
        responseDeviation = variance.squareRoot()
        let measured = ensemble.participating.filter { times[$0] > 0 && times[$0] < observations.indices.count }
        unmeasured = ensemble.participating.filter { times[$0] == 0 || times[$0] == observations.indices.count }

        // Nothing explains a response that is constant up to rounding.
        guard variance > 1e-18 * (1 + mean * mean) else {
            coefficients = Array(repeating: 0, count: terms.count)
            estimates = measured.map {
                Estimate(filter: $0, importance: 0, standardError: 0, timesDisabled: times[$0])
            }
            layers = Self.layerEffects(terms, coefficients: coefficients, prior: [])
            residualDeviations = equations.levels.map { _ in 0 }
            ridgeStrengths = []
            (rSquared, heldOutRSquared, splitHalf, halvings) = (nil, nil, nil, 0)
            (heldOut, settling) = ([], [])
            (reliability, priors, scatter, posterior, errors) = (nil, [], 1, nil, nil)
            return
        }

        if isLarge {
            guard let large = LargeFit(observations.evenedOut, terms: terms, passes: passes) else {
                throw Failure(.internalFault, "the fit's equations are singular")
            }
            coefficients = large.coefficients[0]
            estimates = measured.map { filter in
                Estimate(
                    filter: filter, importance: terms.importance(of: filter, in: large.coefficients[0]),
                    standardError: large.variances[terms.columnOfFilter[filter] - 1].squareRoot(),
                    timesDisabled: times[filter])
            }
            layers = Self.layerEffects(terms, coefficients: large.coefficients[0], prior: large.components.prior)
            residualDeviations = large.components.noise.map { $0.squareRoot() }
            ridgeStrengths = large.components.prior.map { large.components.noise[0] / $0 }
            (rSquared, heldOutRSquared) = (large.rSquared, large.heldOutRSquared)
            let halves = large.coefficients.dropFirst().map { half in
                measured.map { terms.importance(of: $0, in: half) }
            }
            splitHalf = RankCorrelation.spearman(halves[0], halves[1])
            // Spearman and Brown's formula.
            reliability = splitHalf.map { 2 * $0 / (1 + $0) }
            halvings = 1
            (heldOut, settling) = ([], [])
            (priors, scatter, posterior, errors) = ([], 1, nil, nil)
            return
        }

        let components = VarianceComponents.estimate(equations, terms: terms, variance: variance)
        let blocks = equations.matrices.map {
            $0.scaledLeadingBlock(by: terms.scales, combinations: terms.combinations)
        }
        guard
            let solution = Solution(
                blocks: blocks, matrices: equations.matrices, terms: terms, components: components)
        else { throw Failure(.internalFault, "the fit's equations are singular") }
        coefficients = terms.folded(solution.coefficients)
        layers = Self.layerEffects(terms, coefficients: coefficients, prior: components.prior)
        // A level's λ includes the variances of all finer levels, each times the masks per group.
        residualDeviations = components.noise.indices.map { level in
            guard level > 0 else { return components.noise[0].squareRoot() }
            let excess = components.noise[level] - components.noise[level - 1]
            return (max(excess, 0) / Double(equations.levels[level])).squareRoot()
        }
        ridgeStrengths = terms.layers.indices.map { components.noise[0] / components.prior[$0] }
        rSquared = Self.explained(by: solution, of: equations, terms, isWithinGroups: rotation != nil)

        let check = CrossCheck(
            observations, terms: terms, components: components, measured: measured, coefficients: coefficients)
        var posterior = Posterior(solution, terms: terms, components: components)
        let parts = measured.map { terms.parts(ofImportance: $0) }
        let expected = parts.reduce(0) { $0 + posterior.modelScatter(of: $1) }
        // If all masks see the same images, their preference cannot be measured.
        if let scatter = check.scatter, rotation != nil, expected > 0 { posterior.scatter = max(scatter / expected, 1) }
        estimates = zip(measured, parts).map { [coefficients, posterior] filter, parts in
            Estimate(
                filter: filter, importance: terms.importance(of: filter, in: coefficients),
                standardError: posterior.variance(of: parts).squareRoot(), timesDisabled: times[filter])
        }
        scatter = posterior.scatter
        let count = Double(max(measured.count, 1))
        let error = estimates.reduce(0) { $0 + $1.standardError * $1.standardError } / count
        let own = zip(terms.layers, components.prior).reduce(0) { $0 + Double($1.0.count) * $1.1 }
        // An error that all filters share changes no rank.
        let errors = (now: max(error - posterior.variance(ofMean: parts), 0), before: own / count)
        reliability = check.scatter == nil ? nil : Self.reliability(estimates, error: errors.now)
        self.errors = errors
        priors = Self.priorShares(terms, solution: solution, components: components)
        self.posterior = posterior
        heldOutRSquared = check.heldOutRSquared
        splitHalf = check.splitHalf
        halvings = check.halvings
        heldOut = check.heldOut
        settling = check.settling
    }

    /// The share of the response's variance that a solution explains: of all, or of that within the largest groups,
    /// which see the same images.
    private static func explained(
        by solution: Solution, of equations: NormalEquations, _ terms: ModelTerms, isWithinGroups: Bool
    ) -> Double? {
        func squares(_ vector: [Double]) -> Double {
            guard isWithinGroups, let last = equations.matrices.last else {
                return equations.matrices[0].quadraticForm(vector)
            }
            return equations.matrices[0].quadraticForm(vector) - last.quadraticForm(vector)
        }
        let all = squares(Array(repeating: 0, count: terms.count) + [1])
        return all > 0 ? 1 - squares(solution.residualVector(terms)) / all : nil
    }

    /// About how many masks in all would make the ranking this reliable; nil if unknown.
    ///
    /// Each mask adds the same amount to a filter's precision `1 / error`, starting from the priors'.
    public func masksNeeded(for target: Double) -> Double? {
        guard let reliability, (0..<1).contains(target), reliability > 0, reliability < 1 else { return nil }
        guard let errors, errors.now > 0, errors.now < errors.before else {
            // Spearman and Brown's formula.
            return Double(masks) * target * (1 - reliability) / (reliability * (1 - target))
        }
        let aim = errors.now * (1 - target) / (1 - reliability)
        let ofMask = (1 / errors.now - 1 / errors.before) / Double(masks)
        return max((1 / aim - 1 / errors.before) / ofMask, 0)
    }

    /// The share of the variance of the true importances, `var(estimates) + error`, that the estimates have.
    private static func reliability(_ estimates: [Estimate], error: Double) -> Double? {
        let count = Double(max(estimates.count, 1))
        let mean = estimates.reduce(0) { $0 + $1.importance } / count
        let variance = estimates.reduce(0) { $0 + ($1.importance - mean) * ($1.importance - mean) } / count
        return variance > 0 ? variance / (variance + error) : nil
    }

    /// Each criterion's contribution to the differences within layers: the covariance of its part of the prior means
    /// with all of them, over their variance plus that of the filters' own differences.
    private static func priorShares(
        _ terms: ModelTerms, solution: Solution, components: VarianceComponents
    ) -> [PriorShare] {
        let filters = terms.layers.flatMap(\.filters)
        let common = terms.count + terms.features.list.count * terms.layers.count
        let means = terms.features.list.indices.map { index in
            filters.map { filter in
                let own = terms.count + index * terms.layers.count + terms.layerOfFilter[filter]
                let weight = solution.coefficients[own] + solution.coefficients[common + index]
                return (weight: weight, mean: weight * terms.features.list[index].values[filter])
            }
        }
        let sums = filters.indices.map { place in means.reduce(0) { $0 + $1[place].mean } }
        let own = zip(terms.layers, components.prior).reduce(0) { $0 + Double($1.0.count) * $1.1 }
        let all = sums.reduce(0) { $0 + $1 * $1 } + own
        return zip(terms.features.list, means).map { feature, means in
            PriorShare(
                criterion: feature.criterion,
                weight: means.reduce(0) { $0 + $1.weight } / Double(max(filters.count, 1)),
                share: all > 0 ? zip(means, sums).reduce(0) { $0 + $1.0.mean * $1.1 } / all : 0)
        }
    }

    /// The predicted response of a mask.
    public func predict(_ mask: Mask) -> Double { meanResponse + terms.predict(mask, with: coefficients) }

    /// The predicted loss of a mask, in nats.
    public func predictedLoss(_ mask: Mask) -> Double { response.loss(predict(mask)) }

    private static func layerEffects(
        _ terms: ModelTerms, coefficients: [Double], prior: [Double]
    ) -> [LayerEffect] {
        terms.layers.indices.map { index in
            let layer = terms.layers[index]
            let importances = layer.filters.map { terms.importance(of: $0, in: coefficients) }
            let curvature = terms.curvatureColumns.lowerBound + index
            return LayerEffect(
                name: layer.name, filters: layer.count, expected: terms.expected[index],
                meanImportance: importances.reduce(0, +) / Double(layer.count),
                spread: prior.isEmpty ? 0 : prior[index].squareRoot(),
                curvature: coefficients[curvature] * terms.scales[curvature])
        }
    }
}

extension ModelTerms {
    /// The column of a ranked filter's layer, and its factor.
    func layerColumn(of filter: Int) -> (column: Int, share: Double) {
        let column = layerColumns.lowerBound + layerOfFilter[filter]
        return (column, scales[column])
    }

    /// A filter's importance: its layer's mean effect plus its own difference.
    func importance(of filter: Int, in coefficients: [Double]) -> Double {
        let layer = layerColumn(of: filter)
        return coefficients[columnOfFilter[filter]] + layer.share * coefficients[layer.column]
    }
}
