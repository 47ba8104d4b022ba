import CLAPACK
import Foundation
import Shared

/// Least squares with fewer rows than inputs, as before a wide linear layer: the rows themselves are kept, with one
/// equation per row. Memory O(rows × (rows + inputs + targets)).
///
/// With centred rows `X` and the residual `R` of the known weights on the centred targets, the weights change by `Xᵀ (X
/// Xᵀ + λ)⁻¹ R`: the same solution as that of the normal equations.
///
/// Few rows are easily overfitted, so `λ` is not a fixed share here: among a few values it is the one with the most
/// evidence, assuming normal weight changes and residuals (MacKay, "Bayesian interpolation", 1992). For rows of
/// covariance `s (X Xᵀ + λ)` that minimises `log |X Xᵀ + λ| + rows · log Σ R (X Xᵀ + λ)⁻¹ R`.
struct RowEquations: LeastSquares {
    /// The values of `λ`, in shares of the mean square of a row.
    private static let strengths = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]
    /// Inputs to multiply at a time.
    private static let inputsMax = 4096

    let inputs: Int
    let targets: Int
    /// The most rows to keep; further ones are dropped.
    let capacity: Int
    /// `λ`; nil for the one with the most evidence.
    var strength: Double?
    private var rows = 0
    /// `[inputs, capacity]` and `[targets, capacity]`, row-major.
    private let x: UnsafeMutableBufferPointer<Float>
    private let t: UnsafeMutableBufferPointer<Float>
    private let storage = Storage()

    init(inputs: Int, targets: Int, capacity: Int) {
        self.inputs = inputs
        self.targets = targets
        self.capacity = capacity
        x = UnsafeMutableBufferPointer(
            start: storage.make(inputs * capacity, of: Float.self), count: inputs * capacity)
        t = UnsafeMutableBufferPointer(
            start: storage.make(targets * capacity, of: Float.self), count: targets * capacity)
    }

    /// The rows that fit some memory.
    static func capacity(inputs: Int, targets: Int, bytesMax: Int) -> Int {
        // A row's own values, and its row of the equations, twice in double and once in single precision.
        let values = Double(inputs * MemoryLayout<Float>.stride + targets * 3 * MemoryLayout<Double>.stride)
        let square = Double(2 * MemoryLayout<Double>.stride + MemoryLayout<Float>.stride)
        return Int(((values * values + 4 * square * Double(bytesMax)).squareRoot() - values) / (2 * square))
    }

    mutating func add(_ batch: RowBatch, threads: Int) {
        let taken = min(batch.rows, capacity - rows)
        guard taken > 0 else { return }
        for (columns, source, target) in [(inputs, batch.x, x), (targets, batch.t, t)] {
            for column in 0..<columns {
                target.baseAddress.map { $0 + column * capacity + rows }?.initialize(
                    from: source + column * batch.stride, count: taken)
            }
        }
        rows += taken
    }

    mutating func solve(near known: [Float], constants: [Double]) throws -> LeastSquaresSolution {
        precondition(known.count == targets * inputs && constants.count == targets, "weights of every input and target")
        _ = LeastSquaresRule.useOneThread
        guard rows > 0 else { throw LeastSquaresRule.notSolved(0) }
        let means = centre(x, columns: inputs)
        let targetMeans = centre(t, columns: targets)
        let (width, order) = (Int32(capacity), Int32(rows))
        let matrix = products
        let explained = known.withUnsafeBufferPointer { known in
            summed(targets * rows) { part, product in
                cblas_sgemm(
                    CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(targets), order, Int32(part.count), 1,
                    known.baseAddress.map { $0 + part.lowerBound }, Int32(inputs),
                    x.baseAddress.map { $0 + part.lowerBound * capacity }, width, 0, product, order)
            }
        }
        let wanted = (0..<targets).flatMap { target in (0..<rows).map { Double(t[target * capacity + $0]) } }
        let missing = zip(wanted, explained).map { $0 - $1 }
        let (solution, strength) = try solution(matrix, missing)
        var result = LeastSquaresSolution(weights: known)
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(targets), Int32(inputs), order, 1,
            solution.map { Float($0) },
            order, x.baseAddress, width, 1, &result.weights, Int32(inputs))
        for target in 0..<targets {
            var (mean, knownMean) = (0.0, 0.0)
            for input in 0..<inputs {
                mean += Double(result.weights[target * inputs + input]) * means[input]
                knownMean += Double(known[target * inputs + input]) * means[input]
            }
            var (square, before, after) = (0.0, 0.0, 0.0)
            for index in target * rows..<(target + 1) * rows {
                // The remaining residual is `λ` times the solution.
                let miss = strength * solution[index]
                square += (wanted[index] - miss) * (wanted[index] - miss)
                before += missing[index] * missing[index]
                after += miss * miss
            }
            let shift = targetMeans[target] - knownMean - constants[target]
            result.constants.append(targetMeans[target] - mean)
            result.products.append(ChannelStatistics(mean: mean, variance: square / Double(rows)))
            result.missedBefore.append(before + Double(rows) * shift * shift)
            result.missed.append(after)
        }
        return result
    }

    /// `(X Xᵀ + λ)⁻¹ R`, and `λ`.
    private func solution(_ matrix: [Double], _ missing: [Double]) throws -> (solution: [Double], strength: Double) {
        let trace = (0..<rows).reduce(0) { $0 + matrix[$1 * rows + $1] }
        // Inputs that never change explain nothing, whatever the strength.
        guard trace > 0 else { return (missing, 1) }
        let strengths =
            strength.map { [$0] } ?? Self.strengths.map { $0 * trace / Double(rows) }
        var best: (solution: [Double], strength: Double, surprise: Double)?
        for strength in strengths {
            var factor = matrix
            for row in 0..<rows { factor[row * rows + row] += strength }
            var solution = missing
            let order = Int32(rows)
            // A row-major lower triangle is a column-major upper one.
            let status = LAPACKE_dposv(
                LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), order, Int32(targets), &factor, order, &solution, order)
            // Too small a strength for the digits.
            if status > 0 { continue }
            guard status == 0 else { throw LeastSquaresRule.notSolved(status) }
            // Centring removes one degree of freedom.
            let volume = (0..<rows).reduce(-log(strength)) { $0 + 2 * log(factor[$1 * rows + $1]) }
            let square = max(zip(missing, solution).reduce(0) { $0 + $1.0 * $1.1 }, .leastNormalMagnitude)
            let surprise = Double(targets) * (volume + Double(rows - 1) * log(square))
            if surprise < best?.surprise ?? .infinity { best = (solution, strength, surprise) }
        }
        guard let best else { throw LeastSquaresRule.notSolved(0) }
        return (best.solution, best.strength)
    }

    /// Subtracts each column's mean. Returns the means.
    private func centre(_ values: UnsafeMutableBufferPointer<Float>, columns: Int) -> [Double] {
        (0..<columns).map { column in
            let range = column * capacity..<column * capacity + rows
            let mean = values[range].reduce(0) { $0 + Double($1) } / Double(rows)
            for index in range { values[index] = Float(Double(values[index]) - mean) }
            return mean
        }
    }

    /// `X Xᵀ`, row-major; only the lower triangle is stored. In double precision throughout: the smallest `λ` is small.
    private var products: [Double] {
        var result = [Double](repeating: 0, count: rows * rows)
        for first in stride(from: 0, to: inputs, by: Self.inputsMax) {
            let part = first..<min(first + Self.inputsMax, inputs)
            let values = part.flatMap { x[$0 * capacity..<$0 * capacity + rows].map(Double.init) }
            cblas_dsyrk(
                CblasRowMajor, CblasLower, CblasTrans, Int32(rows), Int32(part.count), 1, values, Int32(rows), 1,
                &result,
                Int32(rows))
        }
        return result
    }

    /// A sum of products over all inputs, some of them at a time.
    private func summed(
        _ count: Int, _ product: (_ part: Range<Int>, _ result: UnsafeMutablePointer<Float>) -> Void
    ) -> [Double] {
        var sum = [Double](repeating: 0, count: count)
        var part = [Float](repeating: 0, count: count)
        for first in stride(from: 0, to: inputs, by: Self.inputsMax) {
            part.withUnsafeMutableBufferPointer { part in
                if let result = part.baseAddress { product(first..<min(first + Self.inputsMax, inputs), result) }
            }
            for index in sum.indices { sum[index] += Double(part[index]) }
        }
        return sum
    }
}
