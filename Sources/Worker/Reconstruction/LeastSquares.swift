import CLAPACK
import Shared

/// Linear least squares that stays near known weights: the weights `w` and constants `b` that minimise
///
///     Σ |t - w x - b|² + λ |w - w₀|²        λ = ridge × (mean of Σ x_i² over the inputs i)
///
/// over rows of inputs `x` and targets `t`. Rows come in batches. With at least as many rows as inputs it uses the
/// normal equations (``NormalEquations``), with fewer those of the rows (``RowEquations``).
protocol LeastSquares {
    /// Inputs of a row.
    var inputs: Int { get }
    /// Targets of a row.
    var targets: Int { get }

    /// Adds rows.
    mutating func add(_ batch: RowBatch, threads: Int) throws

    /// The solution near `known` weights, `[targets, inputs]` in row-major order, and how it compares with them and
    /// `constants`. Consumes the equations. Throws an `.internalFault` ``Failure`` if there were no rows, or the inputs
    /// were not finite.
    mutating func solve(near known: [Float], constants: [Double]) throws -> LeastSquaresSolution
}

/// Some rows of least squares, column by column.
struct RowBatch {
    /// `[inputs, stride]`, of which the first ``rows`` of each column count.
    let x: UnsafePointer<Float>
    /// `[targets, stride]`, likewise.
    let t: UnsafePointer<Float>
    let stride: Int
    let rows: Int
}

/// What least squares found.
struct LeastSquaresSolution {
    /// `[targets, inputs]`, row-major.
    var weights: [Float]
    /// One for each target.
    var constants: [Double] = []
    /// For each target, the mean and variance of `w x` over the rows.
    var products: [ChannelStatistics] = []
    /// For each target, the sum of squared errors of the known weights and constants.
    var missedBefore: [Double] = []
    /// And that these do.
    var missed: [Double] = []
}

/// Constants of least squares, however they are solved.
enum LeastSquaresRule {
    /// The share of an input's mean square that holds weights in place: enough to keep nearly equal inputs from taking
    /// each other's weight, too little to matter otherwise.
    static let ridge = 1e-3

    /// So that a solution has the same bits for any number of processors; threads are ours.
    static let useOneThread: Void = openblas_set_num_threads(1)

    /// `λ` if the inputs' squares add up to `trace`.
    static func strength(trace: Double, inputs: Int) -> Double {
        max(ridge * trace / Double(max(inputs, 1)), .leastNormalMagnitude)
    }

    static func notSolved(_ status: Int32) -> Failure {
        Failure(
            .internalFault,
            "cannot solve the equations of a layer (LAPACK: \(status)): are the images and the network sound?")
    }
}
