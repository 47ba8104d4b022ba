import TestSupport
import Testing

@testable import Shared

private func ensemble(
    _ design: SamplingDesign = .tree, of space: FilterSpace = Networks.resnet20, layers: SamplingScope.Layers = .hidden,
    dropRate: Double = 0.25, layerDropRates: [(NamePattern, Double)] = [], masks: Int = 512, seed: UInt64 = 7
) throws -> Ensemble {
    let scope = SamplingScope(
        layers: layers, dropRate: dropRate, layerDropRates: layerDropRates.map { (pattern: $0.0, rate: $0.1) })
    return try Ensemble(design, of: space, scope: scope, masks: masks, seed: seed)
}

private func timesDisabled(_ ensemble: Ensemble) -> [Int] {
    var times = [Int](repeating: 0, count: ensemble.filterCount)
    for mask in ensemble.masks(0..<ensemble.count) { for filter in mask.disabled { times[filter] += 1 } }
    return times
}

private func complaint(_ body: () throws -> Void) -> String {
    do {
        try body()
        return ""
    } catch { return "\(error)" }
}

private let allDesigns = ["independent", "balanced", "tree", "tree-9x2", "tree-2x8"]

@Test func theGeneratorGivesThePublishedNumbers() {
    // SplitMix64 and xoshiro256** computed with the authors' reference C code for the same key.
    var generator = RandomGenerator(key: [1, 2, 3])
    let numbers = (0..<3).map { _ in generator.next() }
    #expect(numbers == [0x7824_b6c9_0d8d_5d94, 0xb19d_c50f_329d_d888, 0x69cb_7ca7_9c40_4c94])
}

@Test func boundedNumbersAreUniform() {
    var generator = RandomGenerator(key: [5])
    var counts = [Int](repeating: 0, count: 7)
    for _ in 0..<70_000 { counts[generator.below(7)] += 1 }
    // A chi-squared value with 6 degrees of freedom is above 30 once in 25,000 draws.
    let chiSquared = counts.reduce(0.0) { $0 + Double(($1 - 10_000) * ($1 - 10_000)) / 10_000 }
    #expect(chiSquared < 30)
}

@Test(arguments: allDesigns) func aMaskFollowsFromItsIndexAlone(name: String) throws {
    let ensemble = try ensemble(SamplingDesign(named: name), masks: 300)
    let together = ensemble.masks(0..<300)
    for index in [299, 0, 17, 16, 128, 255, 256] { #expect(ensemble.mask(index) == together[index]) }
    #expect(ensemble.masks(100..<164) == Array(together[100..<164]))
}

@Test(arguments: allDesigns) func anotherSeedGivesOtherMasks(name: String) throws {
    let design = try SamplingDesign(named: name)
    let first = try ensemble(design, seed: 1).masks(0..<64)
    let second = try ensemble(design, seed: 2).masks(0..<64)
    #expect(zip(first, second).filter { $0 == $1 }.count == 0)
}

@Test(arguments: ["balanced", "tree", "tree-9x2"]) func everyFilterIsDisabledEquallyOften(name: String) throws {
    // 2048 masks are whole rounds of four sub-masks for every number of sharing masks up to 256.
    let ensemble = try ensemble(SamplingDesign(named: name), masks: 2048)
    let times = timesDisabled(ensemble)
    for filter in ensemble.participating { #expect(times[filter] == 512, "filter \(filter)") }
}

@Test(arguments: [0.02, 0.1, 0.25, 0.35, 0.5]) func anEnsembleCutAnywhereIsNearlyBalanced(rate: Double) throws {
    let ensemble = try ensemble(.balanced, dropRate: rate, masks: 1237)
    let all = timesDisabled(ensemble)
    let times = ensemble.participating.map { all[$0] }
    let turns = LayerSampler(filters: 16, rate: rate, sizeSpread: 1, key: []).turns
    #expect((times.max() ?? 0) - (times.min() ?? 0) <= turns)
    let mean = Double(times.reduce(0, +)) / Double(times.count) / 1237
    #expect(abs(mean - rate) < 0.03 * rate)
}

@Test func layerSizesAreSpreadEvenlyOverTheirRange() throws {
    let ensemble = try ensemble(.balanced, masks: 4000)
    let layer = try #require(ensemble.layers.last)
    var counts = [Int](repeating: 0, count: layer.count + 1)
    for mask in ensemble.masks(0..<4000) { counts[layer.filters.filter { mask[$0] }.count] += 1 }
    // The sizes of 64 filters at 0.25 ± 100 % go from 0 to about 32, one of each quarter in every round.
    for quarter in 0..<4 {
        let inside = counts[8 * quarter + 1..<8 * quarter + 8]
        #expect(inside.allSatisfy { $0 > 50 } && (750...1000).contains(inside.reduce(0, +)), "\(counts)")
    }
    #expect(counts[36...].allSatisfy { $0 == 0 })
    #expect(counts[layer.count] == 0)
}

@Test func pairsOfFiltersMeetAsOftenAsChanceHasIt() throws {
    // Filters of different layers are independent: of 4000 masks 250 disable both, with a deviation of about 15.
    let ensemble = try ensemble(.balanced, masks: 4000)
    let masks = ensemble.masks(0..<4000)
    let a = ensemble.layers[0].first
    for filter in ensemble.layers[8].filters {
        let both = masks.filter { $0[a] && $0[filter] }.count
        #expect((180...320).contains(both))
    }
}

@Test func neighboursInATreeShareTheirFirstLayers() throws {
    let ensemble = try ensemble(.tree, masks: 64)
    #expect(ensemble.layers.map(\.repeats) == [16, 16, 16, 4, 4, 4, 1, 1, 1])
    #expect(ensemble.groupSize == 16)
    let masks = ensemble.masks(0..<64)
    for (index, mask) in masks.enumerated() {
        for layer in ensemble.layers {
            let first = masks[index / layer.repeats * layer.repeats]
            #expect(layer.filters.allSatisfy { mask[$0] == first[$0] })
        }
    }
    #expect(Set(masks).count == 64)
}

@Test func bothConvolutionsOfABlockBelongToOneSegment() throws {
    let ensemble = try ensemble(SamplingDesign(named: "tree-10x2"), layers: .all)
    #expect(ensemble.layers.map(\.repeats) == [512] + (0..<9).flatMap { [256 >> $0, 256 >> $0] })
}

@Test func fewerBlocksThanSegmentsShareLess() throws {
    let ensemble = try ensemble(.tree, of: Networks.connected([3072, 512, 256, 10]))
    #expect(ensemble.layers.map(\.repeats) == [4, 1])
}

@Test func independentFiltersFollowTheirDropRate() throws {
    let ensemble = try ensemble(.independent, dropRate: 0.1, masks: 4000)
    let times = timesDisabled(ensemble)
    // 400 ± 19; five deviations either side.
    for filter in ensemble.participating { #expect((305...495).contains(times[filter])) }
}

@Test func onlyTheChosenLayersTakePart() throws {
    let hidden = try ensemble()
    #expect(hidden.participating.count == 336)
    #expect(hidden.layers.allSatisfy { $0.name.hasSuffix(".conv1") })
    let all = try ensemble(layers: .all)
    #expect(all.participating.count == 688)
    let some = try ensemble(
        layers: .named([NamePattern("layer3.*.conv1"), NamePattern("conv1")]),
        layerDropRates: [(NamePattern("layer3.*"), 0.5)])
    #expect(some.layers.map(\.name) == ["conv1", "layer3.0.conv1", "layer3.1.conv1", "layer3.2.conv1"])
    #expect(some.layers.map(\.dropRate) == [0.25, 0.5, 0.5, 0.5])
    let disabled = Set(some.masks(0..<100).flatMap(\.disabled))
    #expect(disabled == Set(some.participating))
}

@Test func aScopeThatDoesNotFitIsExplained() {
    let unknown = complaint { _ = try ensemble(layers: .named([NamePattern("layer1.0.conv3")])) }
    #expect(unknown.contains("no layer 'layer1.0.conv3'") && unknown.contains("did you mean 'layer1.0.conv1'"))
    let rate = complaint { _ = try ensemble(dropRate: 0.9) }
    #expect(rate.contains("drop rate") && rate.contains("0.9"))
    let outside = complaint { _ = try ensemble(layerDropRates: [(NamePattern("conv1"), 0.1)]) }
    #expect(outside.contains("no ranked layer 'conv1'"))
    #expect(complaint { _ = try ensemble(masks: 0) }.contains("number of masks"))
    #expect(complaint { _ = try SamplingDesign(named: "tre") }.contains("did you mean 'tree'"))
    #expect(complaint { _ = try SamplingDesign(named: "tree-9x999") }.contains("no sampling design"))
}

@Test func patternsMatchAsInAShell() {
    #expect(NamePattern("layer1.*").matches("layer1.0.conv1"))
    #expect(NamePattern("*.conv?").matches("layer1.0.conv1"))
    #expect(NamePattern("*1*1").matches("layer1.0.conv1"))
    #expect(!NamePattern("conv1").matches("layer1.0.conv1"))
    #expect(!NamePattern("layer?.0").matches("layer12.0"))
    #expect(NamePattern("*").matches(""))
}

@Test func aDescriptionOfAnotherNetworkIsRefused() throws {
    let made = try ensemble()
    try made.check(against: Networks.resnet20)
    #expect(complaint { try made.check(against: Networks.resnet56) }.contains("does not fit"))
}

@Test func thirtyThousandFiltersNeedNoTables() throws {
    let space = Networks.connected([3072, 10_000, 10_000, 10_000, 10])
    let ensemble = try ensemble(of: space, masks: 1_000_000)
    let mask = ensemble.mask(987_654)
    #expect((2_000...13_000).contains(mask.disabledCount))
}

@Test func patternsNameLayersAsPeopleDo() {
    let layers = ["conv1", "layer1.0.conv1", "layer2.0.conv1", "layer2.1.conv2", "layer3.0.conv1", "layer30.0.conv1"]
    func matched(_ text: String) -> [String] {
        layers.filter { name in NamePattern.list(text).contains { $0.matches(name) } }
    }
    #expect(matched("layer3") == ["layer3.0.conv1"])
    #expect(matched("layer[12].*") == ["layer1.0.conv1", "layer2.0.conv1", "layer2.1.conv2"])
    #expect(matched("layer[1-2].0.conv1") == ["layer1.0.conv1", "layer2.0.conv1"])
    #expect(matched("conv1,layer3") == ["conv1", "layer3.0.conv1"])
    #expect(matched("module.layer1.0.conv1.weight") == ["layer1.0.conv1"])
    #expect(matched("layer?.1") == ["layer2.1.conv2"])
    #expect(matched("*.conv2") == ["layer2.1.conv2"])
    #expect(matched("layer[") == [] && matched("") == [])
    // A layer with that very name.
    #expect(NamePattern("model.0").matches("model.0"))
}
