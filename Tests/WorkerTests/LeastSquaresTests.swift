import Shared
import TestSupport
import Testing

@testable import Worker

/// Least squares near known weights, compared with a plain solution.
struct LeastSquaresTests {
    /// Rows of correlated inputs, and of targets.
    struct Sample {
        let inputs: Int
        let targets: Int
        let rows: Int
        let x: [[Double]]
        let t: [[Double]]
        let known: [Float]

        init(inputs: Int, targets: Int, rows: Int, seed: UInt64) {
            var generator = SeededGenerator(seed: seed)
            func random(_ count: Int) -> [Double] {
                (0..<count).map { _ in Double(Float.random(in: -1...1, using: &generator)) }
            }
            let mixing = (0..<inputs).map { _ in random(inputs) }
            self.inputs = inputs
            self.targets = targets
            self.rows = rows
            x = (0..<rows).map { _ in
                let source = random(inputs)
                return mixing.map { row in Double(Float(zip(row, source).reduce(0.5) { $0 + $1.0 * $1.1 })) }
            }
            t = (0..<rows).map { _ in random(targets) }
            known = random(inputs * targets).map { Float($0) }
        }

        /// Adds the rows in two parts.
        func add(to equations: inout any LeastSquares, threads: Int = 2) throws {
            for part in [0..<rows / 3, rows / 3..<rows] {
                let (x, t) = (Self.columns(x[part], inputs), Self.columns(t[part], targets))
                try x.withUnsafeBufferPointer { x in
                    try t.withUnsafeBufferPointer { t in
                        guard let x = x.baseAddress, let t = t.baseAddress else { return }
                        try equations.add(
                            RowBatch(x: x, t: t, stride: part.count, rows: part.count), threads: threads)
                    }
                }
            }
        }

        private static func columns(_ rows: ArraySlice<[Double]>, _ count: Int) -> [Float] {
            // One more, so that there is an address.
            (0..<count).flatMap { column in rows.map { Float($0[column]) } } + [0]
        }

        var strength: Double {
            LeastSquaresRule.ridge * x.joined().reduce(0) { $0 + $1 * $1 } / Double(inputs)
        }

        /// The weights of the inputs in `left` and the constant, `[input][target]`, and the sum of squares with them,
        /// ridge and all, by elimination.
        func solution(with left: [Int]? = nil, wanted: [[Double]]? = nil) -> (weights: [[Double]], misses: Double) {
            let left = left ?? Array(0..<inputs)
            let wanted = wanted ?? t
            var system = (0...left.count).map { _ in [Double](repeating: 0, count: left.count + 1) }
            var right = (0...left.count).map { _ in [Double](repeating: 0, count: targets) }
            for (row, wanted) in zip(x, wanted) {
                let values = left.map { row[$0] } + [1]
                for a in values.indices {
                    for b in values.indices { system[a][b] += values[a] * values[b] }
                    for target in 0..<targets { right[a][target] += values[a] * wanted[target] }
                }
            }
            for (place, input) in left.enumerated() {
                system[place][place] += strength
                for target in 0..<targets { right[place][target] += strength * Double(known[target * inputs + input]) }
            }
            let weights = Self.solve(system, right)
            var sum = 0.0
            for (row, wanted) in zip(x, wanted) {
                for target in 0..<targets {
                    let value = left.indices.reduce(weights[left.count][target]) {
                        $0 + weights[$1][target] * row[left[$1]]
                    }
                    sum += (value - wanted[target]) * (value - wanted[target])
                }
            }
            for target in 0..<targets {
                for input in 0..<inputs {
                    let value = left.firstIndex(of: input).map { weights[$0][target] } ?? 0
                    let change = value - Double(known[target * inputs + input])
                    sum += strength * change * change
                }
            }
            return (weights, sum)
        }

        /// `a⁻¹ b` for a positive definite `a`.
        private static func solve(_ a: [[Double]], _ b: [[Double]]) -> [[Double]] {
            var rows = zip(a, b).map { $0 + $1 }
            for pivot in rows.indices {
                let scaled = rows[pivot].map { $0 / rows[pivot][pivot] }
                rows[pivot] = scaled
                for row in rows.indices where row != pivot {
                    let factor = rows[row][pivot]
                    rows[row] = zip(rows[row], scaled).map { $0 - factor * $1 }
                }
            }
            return rows.map { Array($0.dropFirst(a.count)) }
        }
    }

    @Test(arguments: [(40, 3, 200), (7, 5, 30), (1, 1, 9), (50, 4, 20), (90, 2, 11)])
    func bothFormsSolveThePlainEquations(inputs: Int, targets: Int, rows: Int) throws {
        let sample = Sample(inputs: inputs, targets: targets, rows: rows, seed: 1)
        let plain = sample.solution().weights
        let constants = (0..<targets).map { Double($0) / 10 }
        func misses(_ weight: (_ input: Int, _ target: Int) -> Double, _ constant: (Int) -> Double) -> [Double] {
            (0..<targets).map { target in
                zip(sample.x, sample.t).reduce(0) { sum, row in
                    let value = (0..<inputs).reduce(constant(target)) { $0 + weight($1, target) * row.0[$1] }
                    return sum + (value - row.1[target]) * (value - row.1[target])
                }
            }
        }
        let missed = misses({ plain[$0][$1] }, { plain[inputs][$0] })
        let missedBefore = misses({ Double(sample.known[$1 * inputs + $0]) }, { constants[$0] })
        var few = RowEquations(inputs: inputs, targets: targets, capacity: rows)
        few.strength = sample.strength
        let forms: [any LeastSquares] = [NormalEquations(inputs: inputs, targets: targets), few]
        for var equations in forms {
            try sample.add(to: &equations)
            let solution = try equations.solve(near: sample.known, constants: constants)
            for target in 0..<targets {
                for input in 0..<inputs {
                    #expect(abs(Double(solution.weights[target * inputs + input]) - plain[input][target]) < 2e-3)
                }
                #expect(abs(solution.constants[target] - plain[inputs][target]) < 2e-3)
                #expect(abs(solution.missed[target] - missed[target]) < 1e-3 * (1 + missed[target]))
                #expect(abs(solution.missedBefore[target] - missedBefore[target]) < 1e-4 * missedBefore[target])
                let outputs = sample.x.map { row in (0..<inputs).reduce(0) { $0 + plain[$1][target] * row[$1] } }
                let mean = outputs.reduce(0, +) / Double(rows)
                let variance = outputs.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rows)
                #expect(abs(solution.products[target].mean - mean) < 2e-3)
                #expect(abs(solution.products[target].variance - variance) < 2e-3 * (1 + variance))
            }
        }
    }

    @Test func threadsDoNotChangeABit() throws {
        let sample = Sample(inputs: 150, targets: 40, rows: 900, seed: 2)
        let solutions = try [1, 2, 5].map { threads in
            var equations: any LeastSquares = NormalEquations(inputs: 150, targets: 40)
            try sample.add(to: &equations, threads: threads)
            return try equations.solve(near: sample.known, constants: Array(repeating: 0, count: 40)).weights
        }
        #expect(solutions[0] == solutions[1])
        #expect(solutions[0] == solutions[2])
    }

    @Test func fewNoisyRowsAreNotFollowedToTheLetter() throws {
        // The targets are the known weights' outputs plus noise: without a change, the fit is better on other rows.
        let (inputs, rows) = (60, 40)
        let sample = Sample(inputs: inputs, targets: 1, rows: rows, seed: 5)
        let others = Sample(inputs: inputs, targets: 1, rows: 200, seed: 5)
        func solution(_ strength: Double?) throws -> LeastSquaresSolution {
            var few = RowEquations(inputs: inputs, targets: 1, capacity: rows)
            few.strength = strength
            var equations: any LeastSquares = few
            try sample.add(to: &equations)
            return try equations.solve(near: Array(repeating: 0, count: inputs), constants: [0])
        }
        func missed(_ solution: LeastSquaresSolution) -> Double {
            zip(others.x, others.t).suffix(100).reduce(0) { sum, row in
                let value = (0..<inputs).reduce(solution.constants[0]) { $0 + Double(solution.weights[$1]) * row.0[$1] }
                return sum + (value - row.1[0]) * (value - row.1[0])
            }
        }
        let fixed = try solution(sample.strength)
        let chosen = try solution(nil)
        #expect(missed(chosen) < missed(fixed))
        #expect(chosen.missed[0] > fixed.missed[0])
    }

    @Test func moreRowsThanFitAreLeftOut() throws {
        let sample = Sample(inputs: 30, targets: 2, rows: 20, seed: 3)
        var some: any LeastSquares = RowEquations(inputs: 30, targets: 2, capacity: 12)
        try sample.add(to: &some)
        let solution = try some.solve(near: sample.known, constants: [0, 0])
        #expect(solution.weights.allSatisfy { $0.isFinite })
        #expect(solution.weights != sample.known)
        for inputs in [10, 25_088] {
            let capacity = RowEquations.capacity(inputs: inputs, targets: 4096, bytesMax: 1 << 30)
            let bytes = capacity * (capacity * 20 + inputs * 4 + 4096 * 24)
            #expect(bytes <= 1 << 30 && bytes > 1_000_000_000)
        }
    }

    @Test func equationsWithoutRowsAreRefused() {
        for var equations: any LeastSquares in [
            NormalEquations(inputs: 3, targets: 1) as any LeastSquares,
            RowEquations(inputs: 3, targets: 1, capacity: 4),
        ] {
            #expect(throws: Failure.self) { try equations.solve(near: [1, 2, 3], constants: [0]) }
        }
    }

    @Test func eliminationTakesWhatARefitMissesLeast() throws {
        // Six groups of two inputs, three targets; each step is compared with refits without each group that is left.
        let groups = (0..<6).map { [$0, $0 + 6] }
        let sample = Sample(inputs: 12, targets: 3, rows: 200, seed: 4)
        var equations: any LeastSquares = NormalEquations(inputs: 12, targets: 3)
        try sample.add(to: &equations)
        let filled = try #require(equations as? NormalEquations)
        var elimination = try Elimination(filled, weights: sample.known.map(Double.init))
        let wanted = sample.x.map { row in
            (0..<3).map { target in
                (0..<12).reduce(0) { $0 + Double(sample.known[target * 12 + $1]) * row[$1] }
            }
        }
        func misses(without gone: [Int]) -> Double {
            let left = (0..<12).filter { input in !gone.contains { groups[$0].contains(input) } }
            return sample.solution(with: left, wanted: wanted).misses
        }
        var gone: [Int] = []
        while gone.count < 5 {
            let alive = groups.indices.filter { !gone.contains($0) }
            for group in alive {
                let expected = misses(without: gone + [group]) - misses(without: gone)
                let cost = try elimination.cost(of: groups[group])
                #expect(abs(cost - expected) < 1e-3 * (1 + expected))
            }
            let costs = try alive.map { (try elimination.cost(of: groups[$0]), $0) }
            let next = try #require(costs.min { $0.0 < $1.0 }).1
            #expect(next == alive.min { misses(without: gone + [$0]) < misses(without: gone + [$1]) })
            try elimination.remove(groups[next])
            gone.append(next)
        }
    }

    @Test func largeLayersTakeSomePixelsOfEachImage() throws {
        var builder = try GraphBuilder(image: Shape(channels: 64, height: 112, width: 112))
        let kernel = Graph.Operation.Convolution(filters: 64, kernel: .init(3), padding: .init(1))
        var node = try builder.add("layer", .convolution(kernel), 0)
        node = try builder.add("mean", .adaptiveAverage(.one), node)
        node = try builder.add("flat", .flatten, node)
        let graph = try builder.graph(output: node)
        let rows = LayerRows(of: 1, in: graph, inputs: 576, images: 1000)
        #expect((20..<12_544).contains(rows.pixels))
        let drawn = rows.pixels(fromImage: 32)
        #expect(drawn == Array(Set(drawn)).sorted() && drawn.count == rows.pixels)
        #expect(drawn.allSatisfy { (0..<12_544).contains($0) })
        #expect(drawn == rows.pixels(fromImage: 40) && drawn != rows.pixels(fromImage: 48))
        // ResNet-20's layers have all their pixels in.
        #expect(LayerRows(of: 1, in: graph, inputs: 576, images: 2).pixels == 12_544)
    }
}
