import Shared

/// How well the fit predicts unseen masks, and how well rankings from parts of the masks agree.
///
/// The masks are dealt to shards, with groups that share segments or images together, and every shard's equations are
/// kept. Their sums give the fit without one shard and the fits of many halvings. The variance components are those of
/// all masks.
struct CrossCheck {
    private(set) var heldOutRSquared: Double?
    private(set) var splitHalf: Double?
    private(set) var halvings = 0
    /// The variance of the importances from one ensemble to the next, summed over the filters, by the jackknife: from
    /// their change when each shard in turn is left out.
    private(set) var scatter: Double?
    private(set) var heldOut: [AdditiveFit.HeldOut] = []
    private(set) var settling: [AdditiveFit.Settling] = []

    /// The number of shards, if their equations fit into this many bytes together; otherwise fewer.
    private static let shardsMax = 10
    private static let bytesMax = 1 << 30
    /// Random halvings that are averaged.
    private static let halvingsMax = 8
    /// How often the settling is looked at.
    private static let steps = 10

    private let terms: ModelTerms
    private let components: VarianceComponents
    private let measured: [Int]

    init(
        _ observations: Observations, terms: ModelTerms, components: VarianceComponents, measured: [Int],
        coefficients: [Double]
    ) {
        self.terms = terms
        self.components = components
        self.measured = measured
        let groupSize = observations.groupSize
        let groups = Set(observations.indices.map { $0 / groupSize }).count
        let fitting = Self.bytesMax / (8 * (terms.count + 1) * (terms.count + 1))
        let shards = min(Self.shardsMax, max(2, fitting), groups) / 2 * 2
        guard shards >= 2 else { return }

        // Groups are dealt in rounds, each in a random order, so shards are of equal size at any time.
        var generator = RandomGenerator(key: [observations.ensemble.seed, 0x5a4d])
        var deal: [Int] = []
        while deal.count * groupSize < observations.ensemble.count {
            var round = Array(0..<shards)
            generator.shuffle(&round)
            deal += round
        }
        func shard(of index: Int) -> Int { deal[index / groupSize] }

        var sums = Array(
            repeating: NormalEquations(
                terms,
                levels: NormalEquations.levels(of: observations.ensemble, rotation: observations.rotation),
                weights: components.weights),
            count: shards)
        let marks = Self.marks(observations, groupSize: groupSize)
        let final = measured.map { terms.importance(of: $0, in: coefficients) }
        var settling: [AdditiveFit.Settling] = []
        let halves = (Set(0..<shards / 2), Set(shards / 2..<shards))
        let mean = observations.mean
        observations.forEach { position, mask, value in
            let index = observations.indices[position]
            sums[shard(of: index)].add(index: index, mask: mask, response: value - mean)
            guard marks.contains(position) else { return }
            for shard in sums.indices { sums[shard].finish() }
            let first = self.importances(sums, of: halves.0)
            let second = self.importances(sums, of: halves.1)
            let both = self.importances(sums, of: halves.0.union(halves.1))
            settling.append(
                AdditiveFit.Settling(
                    masks: position + 1, splitHalf: Self.correlation(first, second),
                    againstAll: Self.correlation(both, final)))
        }
        for shard in sums.indices { sums[shard].finish() }
        self.settling = settling
        average(sums, &generator)
        predict(observations, shardOf: shard, sums)
    }

    /// The positions at which settling is checked: ends of groups, about evenly spaced.
    private static func marks(_ observations: Observations, groupSize: Int) -> Set<Int> {
        let indices = observations.indices
        let ends = indices.indices.filter {
            $0 == indices.count - 1 || indices[$0] / groupSize != indices[$0 + 1] / groupSize
        }
        return Set((1...steps).map { ends[($0 * ends.count + steps - 1) / steps - 1] })
    }

    private static func correlation(_ a: [Double]?, _ b: [Double]?) -> Double? {
        guard let a, let b else { return nil }
        return RankCorrelation.spearman(a, b)
    }

    private func solution(_ sums: [NormalEquations], of shards: Set<Int>) -> Solution? {
        var total = SymmetricMatrix(order: terms.count + 1)
        for shard in shards.sorted() { total.add(sums[shard].matrices[0], times: 1) }
        return Solution(total, terms: terms, components: components)
    }

    private func importances(_ sums: [NormalEquations], of shards: Set<Int>) -> [Double]? {
        guard let solution = solution(sums, of: shards) else { return nil }
        let coefficients = terms.folded(solution.coefficients)
        return measured.map { terms.importance(of: $0, in: coefficients) }
    }

    private mutating func average(_ sums: [NormalEquations], _ generator: inout RandomGenerator) {
        let all = Set(sums.indices)
        var tried: Set<Set<Int>> = []
        var correlations: [Double] = []
        for _ in 0..<Self.halvingsMax {
            var order = Array(sums.indices)
            generator.shuffle(&order)
            let half = Set(order.prefix(sums.count / 2))
            // A halving is the same whichever of its halves is named; name it by the one with shard 0.
            guard tried.insert(half.contains(0) ? half : all.subtracting(half)).inserted else { continue }
            let correlation = Self.correlation(
                importances(sums, of: half), importances(sums, of: all.subtracting(half)))
            if let correlation { correlations.append(correlation) }
        }
        halvings = correlations.count
        splitHalf = correlations.isEmpty ? nil : correlations.reduce(0, +) / Double(correlations.count)
    }

    /// The jackknife's variances, summed: `(K - 1) / K Σ_k (b_k - mean)²`.
    private static func scatter(of leftOut: [[Double]]) -> Double {
        let count = Double(leftOut.count)
        var sum = 0.0
        for place in leftOut[0].indices {
            let mean = leftOut.reduce(0) { $0 + $1[place] } / count
            sum += leftOut.reduce(0) { $0 + ($1[place] - mean) * ($1[place] - mean) }
        }
        return sum * (count - 1) / count
    }

    private mutating func predict(
        _ observations: Observations, shardOf shard: (Int) -> Int, _ sums: [NormalEquations]
    ) {
        let solutions = sums.indices.map { shard in
            solution(sums, of: Set(sums.indices).subtracting([shard])).map { terms.folded($0.coefficients) }
        }
        guard !solutions.contains(where: { $0 == nil }) else { return }
        scatter = Self.scatter(
            of: solutions.compactMap { $0 }.map { solution in
                measured.map { terms.importance(of: $0, in: solution) }
            })
        let mean = observations.mean
        var predictions = [Double](repeating: mean, count: observations.indices.count)
        observations.forEach { position, mask, _ in
            guard let solution = solutions[shard(observations.indices[position])] else { return }
            predictions[position] += terms.predict(mask, with: solution)
        }
        // No other mask tells how difficult a group's images are; its own residuals do.
        let residuals = zip(observations.responses, predictions).map { $0 - $1 }
        let hardness = observations.groupMeans(of: residuals)
        let means = observations.groupMeans(of: observations.responses)
        let stride = max(1, (observations.indices.count + AdditiveFit.heldOutMax - 1) / AdditiveFit.heldOutMax)
        var errors = 0.0
        var squares = 0.0
        for (position, value) in observations.responses.enumerated() {
            let measured = value - (hardness?[position] ?? 0)
            let deviation = value - (means?[position] ?? mean)
            errors += (measured - predictions[position]) * (measured - predictions[position])
            squares += deviation * deviation
            if position % stride == 0 {
                heldOut.append(
                    AdditiveFit.HeldOut(
                        mask: observations.indices[position], predicted: predictions[position], measured: measured))
            }
        }
        heldOutRSquared = squares > 0 ? 1 - errors / squares : nil
    }
}
