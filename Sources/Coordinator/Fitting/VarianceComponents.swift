/// How large effects and residuals are: the strengths of the ridge.
///
/// The coefficients of a family have the prior `N(0, τ²)`, the residuals the covariance of ``NormalEquations``. Both
/// are chosen to maximise the evidence by MacKay's fixed point ("Bayesian interpolation", 1992), here with several
/// levels of residuals:
///
///     A = X' V⁻¹ X + T⁻¹,  Σ = A⁻¹,  b = Σ X' V⁻¹ y
///     τ_c² ← |b_c|² / γ_c,  γ_c = n_c - tr(Σ_cc) / τ_c²
///     (for a layer's filters, drawn a little towards the τ² of all filters)
///     λ_k ← r' Q_k r / (rank Q_k - tr(Σ X' Q_k X) / λ_k),  Q_k = P_k - P_{k+1},  r = y - X b
///
/// A family's ridge strength is `λ_0 / τ²`.
struct VarianceComponents: Sendable, Equatable {
    /// `λ_k`: the residuals' variance of each level of groups, ascending.
    var noise: [Double]
    /// `τ²` of each family of the terms.
    var prior: [Double]

    /// The factors of the levels' matrices in `X' V⁻¹ X`.
    var weights: [Double] {
        noise.indices.map { 1 / noise[$0] - ($0 > 0 ? 1 / noise[$0 - 1] : 0) }
    }

    private static let iterationsMax = 40
    /// The iteration ends when no component changes by more than this share.
    private static let tolerance = 0.01
    /// Components below this share of the response's variance count as this.
    private static let shareMin = 1e-8
    /// A layer's `τ²` is shrunk towards that of all filters as if it had this many more coefficients, since a layer of
    /// few filters says little about their spread.
    private static let commonWeight = 4.0

    /// Estimates the components from sums kept separately by level. `variance` is the response's.
    static func estimate(_ equations: NormalEquations, terms: ModelTerms, variance: Double) -> VarianceComponents {
        let levels = equations.levels.indices
        var components = VarianceComponents(
            noise: levels.map { variance / 2 * Double(equations.levels[$0]).squareRoot() },
            prior: terms.families.map { _ in variance / Double(terms.families.count) / 2 })
        let blocks = equations.matrices.map {
            $0.scaledLeadingBlock(by: terms.scales, combinations: terms.combinations)
        }
        for _ in 0..<iterationsMax {
            guard
                let solution = Solution(
                    blocks: blocks, matrices: equations.matrices, terms: terms, components: components)
            else { return components }
            let inverse = solution.inverse
            var next = components
            next.prior = priors(solution, inverse: inverse, terms: terms, before: components.prior)
                .map { max($0, variance * shareMin) }
            let residual = solution.residualVector(terms)
            let forms = equations.matrices.map { $0.quadraticForm(residual) }
            let traces = blocks.map { $0.traceOfProduct(with: inverse) }
            for level in levels {
                let isLast = level == levels.last
                let squares = forms[level] - (isLast ? 0 : forms[level + 1])
                let rank = Double(equations.groups[level] - (isLast ? 0 : equations.groups[level + 1]))
                let used = (traces[level] - (isLast ? 0 : traces[level + 1])) / components.noise[level]
                let least = level == 0 ? variance * shareMin : next.noise[level - 1]
                next.noise[level] = max(rank - used < 1 ? components.noise[level] : squares / (rank - used), least)
            }
            let change =
                zip(next.noise + next.prior, components.noise + components.prior)
                .map { abs($0 / $1 - 1) }.max() ?? 0
            components = next
            if change < tolerance { break }
        }
        return components
    }

    /// The fixed point's next `τ²` of every family.
    private static func priors(
        _ solution: Solution, inverse: SymmetricMatrix, terms: ModelTerms, before: [Double]
    ) -> [Double] {
        let sizes = terms.families.map { family in
            family.columns.reduce(0.0) { $0 + solution.coefficients[$1] * solution.coefficients[$1] }
        }
        let used = zip(terms.families, before).map { family, variance in
            let trace = family.columns.reduce(0.0) { $0 + inverse[$1, $1] }
            return max(Double(family.columns.count) - trace / variance, 1e-6)
        }
        let filters = terms.families.indices.filter { terms.families[$0].isOfFilters }
        let common = filters.reduce(0.0) { $0 + sizes[$1] } / filters.reduce(0.0) { $0 + used[$1] }
        return terms.families.indices.map { family in
            guard terms.families[family].isOfFilters else { return sizes[family] / used[family] }
            return (sizes[family] + commonWeight * common) / (used[family] + commonWeight)
        }
    }
}

/// The coefficients of the model for given variance components.
struct Solution: Sendable {
    /// The coefficients of the scaled columns, then the criteria's weights.
    let coefficients: [Double]
    private let factor: CholeskyFactor

    /// The coefficients' covariance `Σ`.
    var inverse: SymmetricMatrix { factor.inverse() }

    /// Solves sums weighted by the components' ``VarianceComponents/weights``; nil if they are singular.
    init?(_ weighted: SymmetricMatrix, terms: ModelTerms, components: VarianceComponents) {
        self.init(
            system: weighted.scaledLeadingBlock(by: terms.scales, combinations: terms.combinations),
            right: terms.rightSide(of: weighted), terms: terms, components: components)
    }

    /// Solves sums kept separately by level; `blocks` are their scaled leading blocks.
    init?(
        blocks: [SymmetricMatrix], matrices: [SymmetricMatrix], terms: ModelTerms, components: VarianceComponents
    ) {
        var system = SymmetricMatrix(order: terms.coefficientCount)
        var right = [Double](repeating: 0, count: terms.coefficientCount)
        for (level, weight) in components.weights.enumerated() {
            system.add(blocks[level], times: weight)
            for (index, value) in terms.rightSide(of: matrices[level]).enumerated() { right[index] += weight * value }
        }
        self.init(system: system, right: right, terms: terms, components: components)
    }

    private init?(system: SymmetricMatrix, right: [Double], terms: ModelTerms, components: VarianceComponents) {
        var system = system
        for (family, variance) in zip(terms.families, components.prior) {
            for column in family.columns { system.addToDiagonal(column, 1 / variance) }
        }
        guard let factor = CholeskyFactor(system) else { return nil }
        self.factor = factor
        coefficients = factor.solve(right)
    }

    /// The factors of the unscaled columns and the response in the residual `y - X b`.
    func residualVector(_ terms: ModelTerms) -> [Double] {
        zip(terms.folded(coefficients), terms.scales).map { -$0 * $1 } + [1]
    }
}
