import Shared
import TestSupport
import Testing

@testable import Worker

/// Choosing the filters that a layer can best do without.
struct FilterSelectionTests {
    private static let residual = Graph.residual(
        widths: [6, 8, 12], blocksPerStage: 2, imageSize: 32)

    private func selection(_ network: Network, _ mask: Mask, _ images: ImageSet) throws -> Mask {
        try FilterSelection(network, asManyAs: mask, images: images, normalisation: .standard).mask()
    }

    /// `a⁻¹ b` by elimination; `a` is positive definite.
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

    @Test func eliminationTakesWhatARefitMissesLeast() throws {
        // Six groups of two inputs, three targets; each step is compared with refits without each group that is left.
        var generator = SeededGenerator(seed: 1)
        let (rows, groups, targets) = (200, 6, 3)
        let inputs = 2 * groups
        let mixing = (0..<inputs * inputs).map { _ in Double.random(in: -1...1, using: &generator) }
        let weights = (0..<targets * inputs).map { _ in Double.random(in: -1...1, using: &generator) }
        let samples = (0..<rows).map { _ in
            let sources = (0..<inputs).map { _ in Double.random(in: -1...1, using: &generator) }
            return (0..<inputs).map { row in
                Double(Float((0..<inputs).reduce(0.5) { $0 + mixing[row * inputs + $1] * sources[$1] }))
            }
        }
        let positions = (0..<groups).map { [$0, $0 + groups] }

        var squares = LeastSquares(inputs: inputs, targets: 0)
        let x = AlignedBuffer(count: rows * (inputs + 1))
        x.assign(samples.flatMap { $0.map(Float.init) + [1] })
        try squares.add(x, AlignedBuffer(count: 0), rows: rows)
        let order = try squares.elimination(of: positions, weights: weights, targets: targets, count: 5)

        /// The least sum of squares, ridge and all, with the inputs that are left.
        func misses(without gone: [Int]) throws -> Double {
            let left = (0..<inputs).filter { input in !gone.contains { positions[$0].contains(input) } }
            let wanted = samples.map { row in
                (0..<targets).map { target in (0..<inputs).reduce(0) { $0 + weights[target * inputs + $1] * row[$1] } }
            }
            let strength = squares.strength
            var system = (0...left.count).map { _ in [Double](repeating: 0, count: left.count + 1) }
            var right = (0...left.count).map { _ in [Double](repeating: 0, count: targets) }
            for (row, targetRow) in zip(samples, wanted) {
                let values = left.map { row[$0] } + [1]
                for a in values.indices {
                    for b in values.indices { system[a][b] += values[a] * values[b] }
                    for target in 0..<targets { right[a][target] += values[a] * targetRow[target] }
                }
            }
            for (place, input) in left.enumerated() {
                system[place][place] += strength
                for target in 0..<targets { right[place][target] += strength * weights[target * inputs + input] }
            }
            let solution = Self.solve(system, right)
            var sum = 0.0
            for (row, targetRow) in zip(samples, wanted) {
                for target in 0..<targets {
                    let value = left.indices.reduce(solution[left.count][target]) {
                        $0 + solution[$1][target] * row[left[$1]]
                    }
                    sum += (value - targetRow[target]) * (value - targetRow[target])
                }
            }
            for target in 0..<targets {
                for input in 0..<inputs {
                    let value = left.firstIndex(of: input).map { solution[$0][target] } ?? 0
                    let change = value - weights[target * inputs + input]
                    sum += strength * change * change
                }
            }
            return sum
        }
        var gone: [Int] = []
        for group in order {
            let candidates = (0..<groups).filter { !gone.contains($0) }
            let best = try candidates.map { (try misses(without: gone + [$0]), $0) }.min { $0.0 < $1.0 }
            #expect(group == best?.1)
            gone.append(group)
        }
        #expect(Set(order).count == 5)
    }

    @Test func aNeuronThatOthersRepeatIsChosen() throws {
        var generator = SeededGenerator(seed: 2)
        let architecture = Graph.fullyConnected(widths: [
            CIFAR10.layout.imageBytes, 6, 5, CIFAR10.layout.classes,
        ])
        let random = Network.random(architecture, using: &generator)
        var parameters = random.parameters
        let first = FilterSpace(architecture).layers[0]
        for name in ["weight", "bias"] {
            let tensor = random["\(first.name).\(name)"]
            let size = tensor.values.count / 6
            let copied = tensor.values.prefix(5 * size) + tensor.values[2 * size..<3 * size]
            parameters["\(first.name).\(name)"] = Tensor(shape: tensor.shape, values: Array(copied))
        }
        let network = Network(graph: architecture, parameters: parameters)
        let images = ImageSet.random(60, using: &generator)
        // Neurons 2 and 5 are the same; the mask asks for any one.
        let chosen = try selection(network, Mask(count: 11, disabled: [0]), images)
        #expect(chosen.disabled == [2] || chosen.disabled == [5])
    }

    @Test func asManyOfEachLayerAreChosenAndTheStreamStays() throws {
        var generator = SeededGenerator(seed: 3)
        let network = Network.random(Self.residual, using: &generator)
        let space = FilterSpace(Self.residual)
        let images = ImageSet.random(30, using: &generator)
        for rate in [0.3, 0.7] {
            let asked = Mask.random(count: space.count, rate: rate, using: &generator)
            let chosen = try selection(network, asked, images)
            for layer in space.layers {
                #expect(layer.filters.count { chosen[$0] } == layer.filters.count { asked[$0] })
                guard layer.role != .hidden else { continue }
                #expect(layer.filters.allSatisfy { chosen[$0] == asked[$0] })
            }
        }
    }

    @Test func whatIsChosenIsMadeUpForBetterThanOthers() throws {
        var generator = SeededGenerator(seed: 4)
        let network = Network.random(Self.residual, using: &generator)
        let space = FilterSpace(Self.residual)
        let images = ImageSet.random(40, using: &generator)
        /// How far the classifier's inputs move, by the weights of the reconstruction.
        func distance(_ mask: Mask) throws -> Double {
            let fitted = try Reconstruction(network, removing: mask, images: images, normalisation: .standard).network()
            return try zip(fitted.outputs(images), network.outputs(images))
                .reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        }
        for _ in 0..<3 {
            let filters = space.layers.filter { $0.role == .hidden }.flatMap { layer in
                layer.filters.shuffled(using: &generator).prefix(layer.filters.count / 2)
            }
            let asked = Mask(count: space.count, disabled: filters)
            #expect(try distance(selection(network, asked, images)) < distance(asked))
        }
    }
}

extension Network {
    /// What the network puts out for images, one after the other.
    fileprivate func outputs(_ images: ImageSet) throws -> [Double] {
        let inputs = (0..<images.count).map { image in
            let loader = ImageLoader(images, .standard)
            let buffer = AlignedBuffer(count: CIFAR10.layout.imageBytes)
            loader.write(image, ImageLoader.Distortion(), channelsLast: false, to: buffer.pointer)
            return buffer.values.map(Double.init)
        }
        return ReferenceForward(self).outputs(inputs).flatMap { $0 }
    }
}
