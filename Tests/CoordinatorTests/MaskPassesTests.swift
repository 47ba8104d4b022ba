import Shared
import TestSupport
import Testing

@testable import Coordinator

/// An ensemble with some evaluated masks, and products with it by definition.
private struct Definition {
    let ensemble: Ensemble
    let indices: [Int]
    /// The filters that each evaluated mask disables, as places among the ranked ones.
    let rows: [[Int]]

    init(_ design: String, _ widths: [Int], dropRate: Double, masks: Int, evaluated: (Int) -> Bool) throws {
        ensemble = try Ensemble(
            SamplingDesign(named: design), of: Networks.connected(widths), scope: SamplingScope(dropRate: dropRate),
            masks: masks, seed: 11)
        indices = (0..<masks).filter(evaluated)
        var places = [Int](repeating: 0, count: ensemble.filterCount)
        for (place, filter) in ensemble.participating.enumerated() { places[filter] = place }
        let masks = ensemble.masks(0..<masks)
        rows = indices.map { masks[$0].disabled.map { places[$0] } }
    }

    func passes(threads: Int = 2) -> MaskPasses { MaskPasses(ensemble, indices: indices, threads: threads) }

    /// Numbers for each filter.
    var vector: [MaskPasses.Lanes] { numbers(ensemble.participating.count, key: 1) }
    /// Numbers for each evaluated mask.
    var values: [MaskPasses.Lanes] { numbers(indices.count, key: 2) }

    private func numbers(_ count: Int, key: UInt64) -> [MaskPasses.Lanes] {
        var generator = RandomGenerator(key: [key])
        func number() -> Double { Double(generator.below(2001)) / 1000 - 1 }
        return (0..<count).map { _ in MaskPasses.Lanes(number(), number(), number(), number()) }
    }
}

/// What one pass gives its visitor: for each evaluated mask `X v`, and the number of disabled filters of each layer.
private func visited(
    _ passes: MaskPasses, _ vector: [MaskPasses.Lanes]
) -> [(position: Int, product: MaskPasses.Lanes, counts: [Int])] {
    passes.sum([], add: { $0 += $1 }) { rows, stretch in
        stretch.multiply(with: vector)
        stretch.mapValues { position, product, counts in
            rows.append((position, product, Array(counts)))
            return .zero
        }
    }
}

private func expectNear(_ found: [MaskPasses.Lanes], _ wanted: [MaskPasses.Lanes], _ comment: Comment) {
    #expect(found.count == wanted.count)
    let error = zip(found, wanted).map { difference in
        let lanes = difference.0 - difference.1
        return (lanes * lanes).max()
    }.max()
    #expect((error ?? 0) < 1e-18, comment)
}

private func check(_ definition: Definition, _ comment: Comment) {
    let passes = definition.passes()
    let (vector, values) = (definition.vector, definition.values)
    let visits = visited(passes, vector)
    #expect(visits.map(\.position) == Array(definition.indices.indices), comment)
    expectNear(
        visits.map(\.product), definition.rows.map { $0.reduce(.zero) { $0 + vector[$1] } }, comment)
    #expect(
        visits.map(\.counts)
            == definition.rows.map { row in passes.places.map { places in row.count { places.contains($0) } } },
        comment)

    var sums = [MaskPasses.Lanes](repeating: .zero, count: vector.count)
    var squares = sums
    var times = [Int](repeating: 0, count: vector.count)
    for (row, value) in zip(definition.rows, values) {
        let product = row.reduce(MaskPasses.Lanes.zero) { $0 + vector[$1] }
        for filter in row {
            sums[filter] += value
            squares[filter] += product * value
            times[filter] += 1
        }
    }
    expectNear(passes.transposedProduct(with: nil) { position, _ in values[position] }, sums, comment)
    expectNear(
        passes.transposedProduct(with: vector) { position, product in product * values[position] }, squares, comment)
    #expect(passes.timesDisabled() == times, comment)
}

private let designs = ["tree", "balanced", "tree-2x3", "tree-9x2", "independent"]

@Test(arguments: designs) func windowedProductsAreThoseOfTheMasks(design: String) throws {
    for rate in [0.1, 0.15, 0.25, 0.37, 0.6] {
        check(try Definition(design, [8, 30, 17, 24, 5], dropRate: rate, masks: 700) { _ in true }, "\(rate)")
    }
}

@Test(arguments: designs) func anUnfinishedRunHasTheProductsOfItsMasks(design: String) throws {
    var generator = RandomGenerator(key: [4])
    let some = (0..<700).map { _ in generator.below(3) == 0 }
    for (name, evaluated) in [
        ("every third", { $0 % 3 == 1 }), ("some", { some[$0] }), ("one", { $0 == 311 }), ("none", { _ in false }),
        ("the first and the last", { $0 == 0 || $0 == 699 }),
    ] as [(String, (Int) -> Bool)] {
        check(try Definition(design, [8, 30, 17, 24, 5], dropRate: 0.15, masks: 700, evaluated: evaluated), "\(name)")
    }
}

@Test(arguments: designs) func aRangeMayBeginAndEndInTheMiddleOfRounds(design: String) throws {
    for range in [137..<511, 5..<6, 319..<321] {
        check(
            try Definition(design, [8, 30, 17, 24, 5], dropRate: 0.15, masks: 700) { range.contains($0) }, "\(range)")
    }
}

@Test(arguments: designs) func aLayerMayHaveMoreWindowsThanFilters(design: String) throws {
    // Rounds of 20 and of 7 windows over one, two and three filters, some windows empty, some of the whole layer.
    for rate in [0.05, 0.15, 0.43, 0.75] {
        check(try Definition(design, [8, 3, 1, 2, 5], dropRate: rate, masks: 400) { _ in true }, "\(rate)")
    }
}

@Test(arguments: designs) func manyStretchesAndPartsAddUpToTheWhole(design: String) throws {
    // Stretches hold 4096 masks at most, and a round of tree-9x2 is longer.
    check(try Definition(design, [8, 5, 4, 3, 2, 6, 3, 2, 3, 2, 5], dropRate: 0.15, masks: 20_000) { $0 > 99 }, "")
}

@Test func ablationsHaveTheProductsOfTheirMasks() throws {
    check(try Definition("ablation", [8, 30, 17, 24, 5], dropRate: 0.25, masks: 72) { _ in true }, "all")
    check(try Definition("ablation", [8, 1500, 1200, 5], dropRate: 0.25, masks: 2701) { $0 % 7 != 3 }, "many")
}

@Test(arguments: ["tree", "independent"]) func passesGiveTheSameBitsOnAnyNumberOfThreads(design: String) throws {
    let definition = try Definition(design, [8, 30, 17, 24, 5], dropRate: 0.15, masks: 30_000) { $0 % 5 != 2 }
    let (vector, values) = (definition.vector, definition.values)
    let results = [1, 2, 3, 16].map { threads in
        definition.passes(threads: threads).transposedProduct(with: vector) { $1 * values[$0] }
    }
    for other in results.dropFirst() { #expect(other == results[0]) }
}
