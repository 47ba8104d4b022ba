import CLAPACK
import Shared

/// The groups of inputs that targets with known weights can best do without, one after the other.
///
/// With `P = (Σ x xᵀ + λ)⁻¹` (means subtracted, which the constants make up for) and the weights `W` (inputs by
/// targets), removing a group `g` adds `tr Wgᵀ (Pgg)⁻¹ Wg` to the sum of squares once all other inputs have made up for
/// it; this leaves `W - P·g (Pgg)⁻¹ Wg` and `P - P·g (Pgg)⁻¹ Pg·`: the optimal brain surgeon (Hassibi and Stork, 1993),
/// for groups of weights of a linear layer, whose second derivatives are exact.
struct Elimination {
    /// Inputs and targets of the equations.
    let inputs: Int
    let targets: Int
    /// The targets' variation, as a sum of squares.
    let variation: Double
    /// `P`, row-major; only its lower triangle is stored.
    private var inverse: [Double]
    /// `W`, row-major.
    private var weights: [Double]

    /// Prepares it with `weights`, `[targets, inputs]` in row-major order. Throws an `.internalFault` ``Failure`` if
    /// there were no rows, or the inputs were not finite.
    init(_ equations: consuming NormalEquations, weights: [Double]) throws {
        let inputs = equations.inputs
        let targets = weights.count / max(inputs, 1)
        precondition(weights.count == targets * inputs, "weights of every input and target")
        self.inputs = inputs
        self.targets = targets
        let strength = equations.strength
        equations.centre()
        variation = zip(equations.product(gramTimes: weights), weights).reduce(0) { $0 + $1.0 * $1.1 }
        inverse = try equations.inverse(strength: strength)
        self.weights = [Double](repeating: 0, count: weights.count)
        for target in 0..<targets {
            for input in 0..<inputs { self.weights[input * targets + target] = weights[target * inputs + input] }
        }
    }

    /// The increase of the sum of squares when a group is removed.
    func cost(of group: [Int]) throws -> Double {
        if group.count == 1, targets > 0, entry(group[0], group[0]) > 0 {
            return weights.withUnsafeBufferPointer { weights in
                let first = weights.baseAddress.map { $0 + group[0] * targets }
                return cblas_ddot(Int32(targets), first, 1, first, 1) / entry(group[0], group[0])
            }
        }
        return try step(group).solved.reduce(0) { $0 + $1 * $1 }
    }

    /// An entry of `P`.
    private func entry(_ row: Int, _ column: Int) -> Double { inverse[max(row, column) * inputs + min(row, column)] }

    /// Removes a group of inputs, which must still be there. O(inputs² × size).
    mutating func remove(_ group: [Int]) throws {
        guard targets > 0, !group.isEmpty else { return }
        let (factor, solved) = try step(group)
        let size = Int32(group.count)
        let width = Int32(inputs)
        // L⁻¹ Pg·, row-major.
        var rows: [Double] = []
        rows.reserveCapacity(group.count * inputs)
        for input in group { for other in 0..<inputs { rows.append(entry(input, other)) } }
        cblas_dtrsm(
            CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, size, width, 1, factor, size, &rows, width
        )
        cblas_dsyrk(
            CblasRowMajor, CblasLower, CblasTrans, width, size, -1, rows, width, 1, &inverse, width)
        cblas_dgemm(
            CblasRowMajor, CblasTrans, CblasNoTrans, width, Int32(targets), size, -1, rows, width, solved,
            Int32(targets), 1, &weights, Int32(targets))
    }

    /// `L` in `Pgg = L Lᵀ`, and `L⁻¹ Wg`, both row-major.
    private func step(_ group: [Int]) throws -> (factor: [Double], solved: [Double]) {
        let size = Int32(group.count)
        var factor: [Double] = []
        var solved: [Double] = []
        factor.reserveCapacity(group.count * group.count)
        solved.reserveCapacity(group.count * targets)
        for input in group {
            for other in group { factor.append(entry(input, other)) }
            solved += weights[input * targets..<(input + 1) * targets]
        }
        guard targets > 0, size > 0 else { return (factor, solved) }
        // A row-major lower triangle is a column-major upper one.
        let status = LAPACKE_dpotrf(LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), size, &factor, size)
        guard status == 0 else { throw LeastSquaresRule.notSolved(status) }
        cblas_dtrsm(
            CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, size, Int32(targets), 1, factor, size,
            &solved, Int32(targets))
        return (factor, solved)
    }
}
