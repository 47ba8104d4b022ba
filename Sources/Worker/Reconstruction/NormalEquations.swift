import CLAPACK
import Shared
import Synchronization

/// Least squares by the sums `Σ x xᵀ` and `Σ t xᵀ`: memory O(inputs × (inputs + targets)), for any number of rows.
struct NormalEquations: LeastSquares {
    /// Rows to multiply in single precision before adding up in double.
    private static let rowsMax = 4096

    let inputs: Int
    let targets: Int
    private(set) var rows = 0
    /// `Σ x xᵀ`, row-major; only the lower triangle is stored.
    private(set) var gram: [Double]
    /// `Σ x`.
    private(set) var sums: [Double]
    /// `Σ t xᵀ`, row-major.
    private var right: [Double]
    private var targetSums: [Double]
    private var targetSquares: [Double]

    init(inputs: Int, targets: Int) {
        self.inputs = inputs
        self.targets = targets
        gram = [Double](repeating: 0, count: inputs * inputs)
        sums = [Double](repeating: 0, count: inputs)
        right = [Double](repeating: 0, count: targets * inputs)
        targetSums = [Double](repeating: 0, count: targets)
        targetSquares = [Double](repeating: 0, count: targets)
    }

    /// The memory for this many inputs.
    static func bytes(inputs: Int) -> Int { inputs * inputs * MemoryLayout<Double>.stride }

    // MARK: Rows

    /// Adds rows. The sums are cut into tiles, which the threads share; each tile's bits depend on the rows alone.
    mutating func add(_ batch: RowBatch, threads: Int) throws {
        _ = LeastSquaresRule.useOneThread
        rows += batch.rows
        let size = Self.panel(inputs)
        let panels = stride(from: 0, to: inputs, by: size).map { $0..<min($0 + size, inputs) }
        let targetPanels = stride(from: 0, to: targets, by: size).map { $0..<min($0 + size, targets) }
        let inner = panels.indices.flatMap { row in (0...row).map { (panels[row], panels[$0]) } }
        let outer = targetPanels.flatMap { row in panels.map { (row, $0) } }
        let width = inputs
        let next = Atomic<Int>(0)
        try gram.withUnsafeMutableBufferPointer { gram in
            try right.withUnsafeMutableBufferPointer { right in
                guard let gram = gram.baseAddress, let right = right.baseAddress else { return }
                try onThreads(min(threads, max(inner.count + outer.count, 1))) { _ in
                    var product = [Float](repeating: 0, count: size * size)
                    while true {
                        let job = next.add(1, ordering: .relaxed).oldValue
                        if job < inner.count {
                            let (row, column) = inner[job]
                            Self.add(batch.x, row, batch.x, column, batch, &product, to: gram, width: width)
                        } else if job < inner.count + outer.count {
                            let (row, column) = outer[job - inner.count]
                            Self.add(batch.t, row, batch.x, column, batch, &product, to: right, width: width)
                        } else {
                            break
                        }
                    }
                }
            }
        }
        for input in 0..<inputs { sums[input] += Self.sums(batch.x + input * batch.stride, batch.rows).sum }
        for target in 0..<targets {
            let (sum, squares) = Self.sums(batch.t + target * batch.stride, batch.rows)
            targetSums[target] += sum
            targetSquares[target] += squares
        }
    }

    /// Columns of a tile: some ten tiles for threads to share, and none too large for a processor's cache.
    private static func panel(_ inputs: Int) -> Int { max(32, min(256, (inputs + 7) / 8)) }

    private static func add(
        _ a: UnsafePointer<Float>, _ rows: Range<Int>, _ b: UnsafePointer<Float>, _ columns: Range<Int>,
        _ batch: RowBatch, _ product: inout [Float], to sums: UnsafeMutablePointer<Double>, width: Int
    ) {
        let stride = Int32(batch.stride)
        for first in Swift.stride(from: 0, to: batch.rows, by: rowsMax) {
            cblas_sgemm(
                CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows.count), Int32(columns.count),
                Int32(min(rowsMax, batch.rows - first)), 1, a + rows.lowerBound * batch.stride + first, stride,
                b + columns.lowerBound * batch.stride + first, stride, 0, &product, Int32(columns.count))
            product.withUnsafeBufferPointer { product in
                for row in 0..<rows.count {
                    let target = sums + (rows.lowerBound + row) * width + columns.lowerBound
                    for column in 0..<columns.count {
                        target[column] += Double(product[row * columns.count + column])
                    }
                }
            }
        }
    }

    /// The sum of a column's values and of their squares.
    private static func sums(_ values: UnsafePointer<Float>, _ count: Int) -> (sum: Double, squares: Double) {
        var (sum, squares) = (SIMD8<Double>.zero, SIMD8<Double>.zero)
        let whole = count / 8 * 8
        for row in Swift.stride(from: 0, to: whole, by: 8) {
            let part = SIMD8<Double>(UnsafeRawPointer(values + row).loadUnaligned(as: SIMD8<Float>.self))
            sum += part
            squares += part * part
        }
        let rest = (whole..<count).map { Double(values[$0]) }
        return (rest.reduce(sum.sum(), +), rest.reduce(squares.sum()) { $0 + $1 * $1 })
    }

    // MARK: Solution

    /// `λ` for the rows.
    var strength: Double {
        LeastSquaresRule.strength(
            trace: (0..<inputs).reduce(0) { $0 + gram[$1 * inputs + $1] }, inputs: inputs)
    }

    /// Subtracts the means from `Σ x xᵀ`, which a constant makes up for.
    mutating func centre() {
        let count = Double(max(rows, 1))
        let sums = sums
        gram.withUnsafeMutableBufferPointer { gram in
            for row in 0..<inputs {
                for column in 0...row { gram[row * inputs + column] -= sums[row] * sums[column] / count }
            }
        }
    }

    mutating func solve(near known: [Float], constants: [Double]) throws -> LeastSquaresSolution {
        precondition(known.count == targets * inputs && constants.count == targets, "weights of every input and target")
        _ = LeastSquaresRule.useOneThread
        guard rows > 0 else { throw LeastSquaresRule.notSolved(0) }
        let count = Double(rows)
        let strength = strength
        centre()
        for target in 0..<targets {
            for input in 0..<inputs { right[target * inputs + input] -= targetSums[target] * sums[input] / count }
        }
        let known = known.map(Double.init)
        let before = product(gramTimes: known)
        var solution = right
        for index in solution.indices { solution[index] += strength * known[index] }
        for input in 0..<inputs { gram[input * inputs + input] += strength }
        if inputs > 0 {
            // A row-major lower triangle is a column-major upper one.
            let order = Int32(inputs)
            let status = LAPACKE_dposv(
                LAPACK_COL_MAJOR, CChar(UInt8(ascii: "U")), order, Int32(targets), &gram, order, &solution, order)
            guard status == 0 else { throw LeastSquaresRule.notSolved(status) }
        }
        let means = sums.map { $0 / count }
        var result = LeastSquaresSolution(weights: solution.map { Float($0) })
        for target in 0..<targets {
            let range = target * inputs..<(target + 1) * inputs
            var (mean, knownMean, explained, explainedBefore, square) = (0.0, 0.0, 0.0, 0.0, 0.0)
            for (input, index) in zip(0..<inputs, range) {
                mean += solution[index] * means[input]
                knownMean += known[index] * means[input]
                // `(Σ x xᵀ) w`, from the equations that `w` solves.
                let product = right[index] + strength * (known[index] - solution[index])
                square += solution[index] * product
                explained += solution[index] * (2 * right[index] - product)
                explainedBefore += known[index] * (2 * right[index] - before[index])
            }
            let targetMean = targetSums[target] / count
            let total = targetSquares[target] - targetMean * targetMean * count
            let shift = targetMean - knownMean - constants[target]
            result.constants.append(targetMean - mean)
            result.products.append(ChannelStatistics(mean: mean, variance: max(0, square / count)))
            result.missedBefore.append(max(0, total - explainedBefore) + count * shift * shift)
            result.missed.append(max(0, total - explained))
        }
        return result
    }

    /// `weights × Σ x xᵀ` for row-major weights of any number of rows.
    func product(gramTimes weights: [Double]) -> [Double] {
        var result = [Double](repeating: 0, count: weights.count)
        guard inputs > 0, !weights.isEmpty else { return result }
        let order = Int32(inputs)
        cblas_dsymm(
            CblasRowMajor, CblasRight, CblasLower, Int32(weights.count / inputs), order, 1, gram, order, weights, order,
            0, &result, order)
        return result
    }

    /// `(Σ x xᵀ + λ)⁻¹` for centred equations, row-major; only its lower triangle is stored. Throws if it does not
    /// exist.
    consuming func inverse(strength: Double) throws -> [Double] {
        _ = LeastSquaresRule.useOneThread
        var matrix = gram
        gram = []
        for input in 0..<inputs { matrix[input * inputs + input] += strength }
        let order = Int32(inputs)
        let upper = CChar(UInt8(ascii: "U"))
        var status = LAPACKE_dpotrf(LAPACK_COL_MAJOR, upper, order, &matrix, order)
        if status == 0 { status = LAPACKE_dpotri(LAPACK_COL_MAJOR, upper, order, &matrix, order) }
        guard status == 0, rows > 0 else { throw LeastSquaresRule.notSolved(status) }
        return matrix
    }
}
