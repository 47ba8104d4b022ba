import CLAPACK
import Foundation
import Shared

/// A dense symmetric matrix; only the lower triangle is kept up to date.
///
/// All linear algebra runs on one thread, so a fit gives the same bits each time on a machine.
struct SymmetricMatrix: Sendable {
    /// Rows and columns.
    let order: Int
    /// Column-major; entries above the diagonal mean nothing.
    fileprivate(set) var values: [Double]

    private static let useOneThread: Void = openblas_set_num_threads(1)

    /// A matrix of zeros.
    init(order: Int) {
        _ = Self.useOneThread
        self.order = order
        values = [Double](repeating: 0, count: order * order)
    }

    /// The entry of a row and a column.
    subscript(row: Int, column: Int) -> Double {
        row >= column ? values[column * order + row] : values[row * order + column]
    }

    /// Adds `scale` times the sum of the outer products of a tile's rows with themselves.
    ///
    /// `tile` holds `rows` rows of ``order`` values. O(rows × order²), by BLAS.
    mutating func addOuterProducts(of tile: [Double], rows: Int, scale: Double) {
        precondition(tile.count >= rows * order, "a tile holds whole rows")
        guard rows > 0, order > 0 else { return }
        let n = Int32(order)
        values.withUnsafeMutableBufferPointer { values in
            cblas_dsyrk(
                CblasColMajor, CblasLower, CblasNoTrans, n, Int32(rows), scale, tile, n, 1, values.baseAddress, n)
        }
    }

    /// Adds a multiple of another matrix of the same order.
    mutating func add(_ other: SymmetricMatrix, times factor: Double) {
        precondition(other.order == order, "matrices of one order")
        cblas_daxpy_long(factor, other.values, &values)
    }

    /// Adds a value to an entry of the diagonal.
    mutating func addToDiagonal(_ index: Int, _ value: Double) { values[index * order + index] += value }

    /// `B' M B` for the leading block `M` of as many rows and columns as `scales`. `B` first has a column for each of
    /// them, which holds its scale, and then the sparse columns of `combinations`. O(order² + order × values of the
    /// combinations).
    func scaledLeadingBlock(by scales: [Double], combinations: [Combination] = []) -> SymmetricMatrix {
        let count = scales.count
        let width = count + combinations.count
        var block = SymmetricMatrix(order: width)
        for column in 0..<count {
            let factor = scales[column]
            for row in column..<count {
                block.values[column * width + row] = values[column * order + row] * factor * scales[row]
            }
        }
        for (index, combination) in combinations.enumerated() {
            let product = leadingProduct(with: combination, count: count)
            for column in 0..<count { block.values[column * width + count + index] = product[column] * scales[column] }
            for (place, other) in combinations.prefix(index + 1).enumerated() {
                block.values[(count + place) * width + count + index] = other.reduce(0) {
                    $0 + $1.factor * product[$1.row]
                }
            }
        }
        return block
    }

    /// A sparse column: rows, and their values.
    typealias Combination = [(row: Int, factor: Double)]

    /// `v' M v`.
    func quadraticForm(_ vector: [Double]) -> Double {
        var product = [Double](repeating: 0, count: order)
        let n = Int32(order)
        cblas_dsymv(CblasColMajor, CblasLower, n, 1, values, n, vector, 1, 0, &product, 1)
        return zip(vector, product).reduce(0) { $0 + $1.0 * $1.1 }
    }

    /// `M c` for a sparse `c`.
    func product(with combination: Combination) -> [Double] { leadingProduct(with: combination, count: order) }

    /// The first `count` values of `M c` for a `c` of the first `count` rows.
    private func leadingProduct(with combination: Combination, count: Int) -> [Double] {
        var product = [Double](repeating: 0, count: count)
        for (own, factor) in combination {
            for row in 0..<own { product[row] += factor * values[row * order + own] }
            for row in own..<count { product[row] += factor * values[own * order + row] }
        }
        return product
    }

    /// The trace of the product with another symmetric matrix of the same order.
    func traceOfProduct(with other: SymmetricMatrix) -> Double {
        precondition(other.order == order, "matrices of one order")
        var sum = 0.0
        for column in 0..<order {
            let start = column * order
            sum += values[start + column] * other.values[start + column]
            var below = 0.0
            for row in column + 1..<max(order, column + 1) { below += values[start + row] * other.values[start + row] }
            sum += 2 * below
        }
        return sum
    }
}

/// The Cholesky factor of a positive definite matrix.
struct CholeskyFactor: Sendable {
    private var matrix: SymmetricMatrix

    /// Factors a matrix with LAPACK's `dpotrf`, or returns nil if it is not positive definite. O(order³ / 3).
    init?(_ matrix: SymmetricMatrix) {
        self.matrix = matrix
        let n = Int32(matrix.order)
        let status = self.matrix.values.withUnsafeMutableBufferPointer { values in
            LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 76 /* L */, n, values.baseAddress, n)
        }
        guard status == 0 else { return nil }
    }

    /// The logarithm of the matrix's determinant.
    var logDeterminant: Double { (0..<matrix.order).reduce(0) { $0 + 2 * log(matrix[$1, $1]) } }

    /// The solution of `M x = b`. O(order²).
    func solve(_ right: [Double]) -> [Double] {
        precondition(right.count == matrix.order, "a right side of the matrix's order")
        var solution = right
        let n = Int32(matrix.order)
        solution.withUnsafeMutableBufferPointer { solution in
            _ = LAPACKE_dpotrs_work(LAPACK_COL_MAJOR, 76 /* L */, n, 1, matrix.values, n, solution.baseAddress, n)
        }
        return solution
    }

    /// The inverse, by LAPACK's `dpotri`. O(2 order³ / 3).
    func inverse() -> SymmetricMatrix {
        var result = matrix
        let n = Int32(matrix.order)
        result.values.withUnsafeMutableBufferPointer { values in
            _ = LAPACKE_dpotri_work(LAPACK_COL_MAJOR, 76 /* L */, n, values.baseAddress, n)
        }
        return result
    }
}

/// `y += a x` over arrays of any length, which BLAS's 32-bit counts cannot take at once.
private func cblas_daxpy_long(_ a: Double, _ x: [Double], _ y: inout [Double]) {
    x.withUnsafeBufferPointer { x in
        y.withUnsafeMutableBufferPointer { y in
            for index in 0..<y.count { y[index] += a * x[index] }
        }
    }
}
