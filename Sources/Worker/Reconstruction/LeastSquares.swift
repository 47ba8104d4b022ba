import CLAPACK
import COneDNN
import Shared

/// Linear least squares that stays near known weights: the weights `w` and constants `b` that minimise
///
///     Σ |t - w x - b|² + λ |w - w₀|²        λ = ridge × (mean of Σ x_i² over the inputs i)
///
/// over rows of inputs `x` and targets `t`. Rows come in batches; memory O(inputs × (inputs + targets)).
struct LeastSquares {
    /// The share of an input's mean square that holds weights where they were: enough to keep inputs that say nearly
    /// the same from taking each other's weight, too little to matter to others.
    static let ridge = 1e-3

    /// So that the solution is the same bits however many processors there are.
    static let useOneThread: Void = openblas_set_num_threads(1)

    /// Inputs of a row, without the constant that is added as the last one.
    let inputs: Int
    /// Targets of a row.
    let targets: Int
    private(set) var rows = 0
    /// `Σ x xᵀ`, row-major, the constant's row and column last.
    private(set) var gram: [Double]
    /// `Σ x tᵀ`, row-major, `[inputs + 1, targets]`.
    private var right: [Double]

    init(inputs: Int, targets: Int) {
        self.inputs = inputs
        self.targets = targets
        gram = [Double](repeating: 0, count: (inputs + 1) * (inputs + 1))
        right = [Double](repeating: 0, count: (inputs + 1) * targets)
    }

    /// Inputs and the constant.
    var columns: Int { inputs + 1 }

    /// Adds rows: `x` is `[rows, inputs + 1]` with ones in the last column, `t` is `[rows, targets]`, which may be empty
    /// where there are no targets. The products of a batch are formed in single precision and added up in double.
    mutating func add(_ x: AlignedBuffer, _ t: AlignedBuffer, rows count: Int) throws {
        precondition(x.count == count * columns && t.count == count * targets, "whole rows")
        let product = AlignedBuffer(count: columns * max(columns, targets))
        try OneDNN.multiply(
            "T", "N", columns, columns, count, x.pointer, columns, x.pointer, columns, product.pointer)
        for index in gram.indices { gram[index] += Double(product.pointer[index]) }
        rows += count
        guard targets > 0 else { return }
        try OneDNN.multiply(
            "T", "N", columns, targets, count, x.pointer, columns, t.pointer, targets, product.pointer)
        for index in right.indices { right[index] += Double(product.pointer[index]) }
    }

    /// What `λ` is for the rows.
    var strength: Double {
        let trace = (0..<inputs).reduce(0) { $0 + gram[$1 * columns + $1] }
        return max(Self.ridge * trace / Double(max(inputs, 1)), .leastNormalMagnitude)
    }

    /// The weights `[targets, inputs]`, row-major, and the constants, near `known` ones of the same shape. Throws an
    /// `.internalFault` ``Failure`` where there were no rows, or the inputs were not finite.
    func solve(near known: [Double]) throws -> (weights: [Double], constants: [Double]) {
        precondition(known.count == targets * inputs, "weights of every input and target")
        _ = Self.useOneThread
        let strength = strength
        var matrix = gram
        var solution = right
        for input in 0..<inputs {
            matrix[input * columns + input] += strength
            for target in 0..<targets {
                solution[input * targets + target] += strength * known[target * inputs + input]
            }
        }
        let order = Int32(columns)
        let status = matrix.withUnsafeMutableBufferPointer { matrix in
            solution.withUnsafeMutableBufferPointer { solution in
                LAPACKE_dposv(
                    LAPACK_ROW_MAJOR, CChar(UInt8(ascii: "L")), order, Int32(targets), matrix.baseAddress, order,
                    solution.baseAddress, Int32(targets))
            }
        }
        guard status == 0 else {
            throw Failure(.internalFault, "the equations of a layer could not be solved (LAPACK's dposv: \(status))")
        }
        var weights = [Double](repeating: 0, count: targets * inputs)
        for target in 0..<targets {
            for input in 0..<inputs { weights[target * inputs + input] = solution[input * targets + target] }
        }
        return (weights, (0..<targets).map { solution[inputs * targets + $0] })
    }

    /// The mean and the population variance of `w x` over the rows, for one target's weights.
    func moments(of weights: ArraySlice<Double>) -> ChannelStatistics {
        let weights = Array(weights)
        var mean = 0.0
        var square = 0.0
        for input in 0..<inputs {
            mean += weights[input] * gram[inputs * columns + input]
            var sum = 0.0
            for other in 0..<inputs { sum += weights[other] * gram[input * columns + other] }
            square += weights[input] * sum
        }
        let count = Double(max(rows, 1))
        mean /= count
        return ChannelStatistics(mean: mean, variance: max(0, square / count - mean * mean))
    }
}
