import CLAPACK
import Shared

extension LeastSquares {
    /// The groups of inputs that targets which follow known weights can best do without, one after the other: always the
    /// group whose loss, made up for by all inputs that are left, adds least to the sum of squares. Returns the positions
    /// of the first `count` groups, in the order in which they go.
    ///
    /// With `P = (Σ x xᵀ + λ)⁻¹` and the weights `W` (inputs by targets), a group `g` costs `tr Wgᵀ (Pgg)⁻¹ Wg`, and what
    /// is left becomes `W - P·g (Pgg)⁻¹ Wg` and `P - P·g (Pgg)⁻¹ Pg·`: the optimal brain surgeon (Hassibi and Stork,
    /// 1993), for groups of weights of a linear layer, whose second derivatives are exact.
    ///
    /// `weights` is `[targets, inputs]`, row-major; groups share no input and are all of one size. Throws an
    /// `.internalFault` ``Failure`` where there were no rows, or the inputs were not finite. O(count × inputs² × size).
    func elimination(of groups: [[Int]], weights: [Double], targets: Int, count: Int) throws -> [Int] {
        precondition(weights.count == targets * inputs && count <= groups.count, "weights of every input and target")
        _ = Self.useOneThread
        let size = groups.first?.count ?? 0
        guard size > 0, targets > 0 else { return Array(0..<count) }
        var inverse = try inverse()
        // Row-major, [inputs and the constant, targets].
        var left = [Double](repeating: 0, count: columns * targets)
        for target in 0..<targets {
            for input in 0..<inputs { left[input * targets + target] = weights[target * inputs + input] }
        }
        var alive = Array(groups.indices)
        var order: [Int] = []
        while order.count < count {
            var best: (place: Int, cost: Double, step: Step)?
            for (place, group) in alive.enumerated() {
                let step = try Step(groups[group], inverse: inverse, columns: columns, weights: left, targets: targets)
                if step.cost < best?.cost ?? .infinity { best = (place, step.cost, step) }
            }
            guard let best else { throw Self.notSolved }
            let gone = alive.remove(at: best.place)
            order.append(gone)
            best.step.apply(to: &inverse, &left, group: groups[gone], columns: columns, targets: targets)
        }
        return order
    }

    private static var notSolved: Failure {
        Failure(.internalFault, "the equations of a layer could not be solved: are the images and the network sound?")
    }

    /// `(Σ x xᵀ + λ)⁻¹`, row-major.
    private func inverse() throws -> [Double] {
        var matrix = gram
        let strength = strength
        for input in 0..<inputs { matrix[input * columns + input] += strength }
        let order = Int32(columns)
        let lower = CChar(UInt8(ascii: "L"))
        let status = matrix.withUnsafeMutableBufferPointer { matrix in
            let status = LAPACKE_dpotrf(LAPACK_ROW_MAJOR, lower, order, matrix.baseAddress, order)
            return status == 0 ? LAPACKE_dpotri(LAPACK_ROW_MAJOR, lower, order, matrix.baseAddress, order) : status
        }
        guard status == 0 else { throw Self.notSolved }
        for row in 0..<columns {
            for column in 0..<row { matrix[column * columns + row] = matrix[row * columns + column] }
        }
        return matrix
    }

    /// A group's removal.
    private struct Step {
        /// What it adds to the sum of squares.
        let cost: Double
        /// `L` in `Pgg = L Lᵀ`, row-major.
        private let factor: [Double]
        /// `L⁻¹ Wg`, row-major.
        private let solved: [Double]

        init(_ group: [Int], inverse: [Double], columns: Int, weights: [Double], targets: Int) throws {
            let size = group.count
            var factor = [Double](repeating: 0, count: size * size)
            var solved: [Double] = []
            solved.reserveCapacity(size * targets)
            for (row, input) in group.enumerated() {
                for (column, other) in group.enumerated() {
                    factor[row * size + column] = inverse[input * columns + other]
                }
                solved += weights[input * targets..<(input + 1) * targets]
            }
            guard LAPACKE_dpotrf(LAPACK_ROW_MAJOR, CChar(UInt8(ascii: "L")), Int32(size), &factor, Int32(size)) == 0
            else { throw LeastSquares.notSolved }
            cblas_dtrsm(
                CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, Int32(size), Int32(targets), 1,
                factor,
                Int32(size), &solved, Int32(targets))
            self.factor = factor
            self.solved = solved
            cost = solved.reduce(0) { $0 + $1 * $1 }
        }

        func apply(to inverse: inout [Double], _ weights: inout [Double], group: [Int], columns: Int, targets: Int) {
            let size = Int32(group.count)
            let width = Int32(columns)
            // L⁻¹ Pg·, row-major.
            var rows: [Double] = []
            for input in group { rows += inverse[input * columns..<(input + 1) * columns] }
            cblas_dtrsm(
                CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, size, width, 1, factor, size, &rows,
                width)
            cblas_dgemm(
                CblasRowMajor, CblasTrans, CblasNoTrans, width, width, size, -1, rows, width, rows, width, 1, &inverse,
                width)
            cblas_dgemm(
                CblasRowMajor, CblasTrans, CblasNoTrans, width, Int32(targets), size, -1, rows, width, solved,
                Int32(targets), 1, &weights, Int32(targets))
        }
    }
}
