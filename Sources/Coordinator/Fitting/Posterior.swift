/// The certainty of sums of coefficients: their covariance given the evaluations, split into the part that other masks
/// and images would change and the part that the priors leave open.
///
/// The posterior covariance is `A⁻¹` with `A = X' V⁻¹ X + T⁻¹`. Of it, `A⁻¹ X' V⁻¹ X A⁻¹ = A⁻¹ - A⁻¹ T⁻¹ A⁻¹` is the
/// scatter of the coefficients from one ensemble to the next, if the residuals are as modelled. They are not quite:
/// masks that see the same images also share what these images favour, so the scatter is larger. It is measured
/// (``scatter``), and the first part multiplied accordingly; the second part, the shrinkage bias, stays.
struct Posterior: Sendable {
    /// `A⁻¹`.
    private let covariance: SymmetricMatrix
    /// The diagonal of `T⁻¹`.
    private let precisions: [Double]
    /// How much larger the scatter is than the model's, at least 1.
    var scatter = 1.0

    /// The posterior of the coefficients of a solution.
    init(_ solution: Solution, terms: ModelTerms, components: VarianceComponents) {
        covariance = solution.inverse
        var precisions = [Double](repeating: 0, count: terms.coefficientCount)
        for (family, variance) in zip(terms.families, components.prior) {
            for column in family.columns { precisions[column] = 1 / variance }
        }
        self.precisions = precisions
    }

    /// The variance of a sum of coefficients. O(columns × summands).
    func variance(of sum: SymmetricMatrix.Combination) -> Double {
        let (all, scattered) = parts(of: sum)
        return scatter * scattered + max(all - scattered, 0)
    }

    /// The variance of the mean of sums of coefficients.
    func variance(ofMean sums: [SymmetricMatrix.Combination]) -> Double {
        var factors = [Double](repeating: 0, count: precisions.count)
        for sum in sums { for (row, factor) in sum { factors[row] += factor / Double(sums.count) } }
        return variance(of: factors.indices.filter { factors[$0] != 0 }.map { (row: $0, factor: factors[$0]) })
    }

    /// How a sum of coefficients scatters by the model.
    func modelScatter(of sum: SymmetricMatrix.Combination) -> Double { parts(of: sum).scattered }

    private func parts(of sum: SymmetricMatrix.Combination) -> (all: Double, scattered: Double) {
        let image = covariance.product(with: sum)
        let all = max(sum.reduce(0) { $0 + $1.factor * image[$1.row] }, 0)
        let shrunk = zip(image, precisions).reduce(0) { $0 + $1.0 * $1.0 * $1.1 }
        return (all, max(all - shrunk, 0))
    }
}
