import Foundation

/// The masks of one run: a small description that determines every mask.
///
/// A mask is made on demand, from its index alone, so an ensemble of a million masks needs no memory. Neighbouring
/// indices share what they disable in the early segments of the network (see ``SamplingDesign``), so lease ranges of
/// indices.
public struct Ensemble: Sendable, Hashable, Codable {
    /// A layer that takes part.
    public struct Layer: Sendable, Hashable, Codable {
        /// The checkpoint's name.
        public let name: String
        /// The number of its first filter in the ``FilterSpace``.
        public let first: Int
        /// Its filters.
        public let count: Int
        /// The expected disabled share of them.
        public let dropRate: Double
        /// How many neighbouring masks disable the same filters of this layer.
        public let repeats: Int

        /// The numbers of its filters in the ``FilterSpace``.
        public var filters: Range<Int> { first..<first + count }
    }

    /// The version of how masks follow from a description; raised with every change that changes masks.
    public static let generator = 1
    /// The most masks of an ensemble, which bounds the size of a run file.
    public static let masksMax = 100_000_000

    /// The version that made the masks, ``generator``.
    public let generator: Int
    /// How masks are drawn.
    public let design: SamplingDesign
    /// The seed of all randomness.
    public let seed: UInt64
    /// The number of masks.
    public let count: Int
    /// The filters of the network, which is the length of a mask.
    public let filterCount: Int
    /// The ranked layers, in the order of evaluation.
    public let layers: [Layer]

    /// Describes the masks of a network. Throws a `.usage` ``Failure`` if the scope does not fit the network or the
    /// number of masks is out of bounds.
    public init(
        _ design: SamplingDesign, of space: FilterSpace, scope: SamplingScope, masks: Int, seed: UInt64
    ) throws {
        guard (1...Self.masksMax).contains(masks) else {
            throw Failure(.usage, "the number of masks must be from 1 to \(Self.masksMax), not \(masks)")
        }
        let selected = try scope.select(from: space)
        let ablations = selected.reduce(1) { $0 + $1.layer.filters.count }
        guard design != .ablation || masks <= ablations else {
            throw Failure(
                .usage,
                "the design ablation has \(ablations) masks here: one per filter, and one that disables nothing")
        }
        let segments = Self.segments(of: selected.map(\.layer), levels: design.levels)
        generator = Self.generator
        self.design = design
        self.seed = seed
        count = masks
        filterCount = space.count
        layers = zip(selected, segments).map { selected, segment in
            Layer(
                name: selected.layer.name, first: selected.layer.filters.lowerBound,
                count: selected.layer.filters.count,
                dropRate: selected.rate, repeats: design.repeats(ofSegment: segment))
        }
    }

    private init(_ other: Ensemble, masks: Int) {
        generator = other.generator
        design = other.design
        seed = other.seed
        count = masks
        filterCount = other.filterCount
        layers = other.layers
    }

    /// The same masks, but this many: additional ones are drawn as they would have been from the start. Throws a
    /// `.usage` ``Failure`` if there cannot be this many.
    public func with(masks: Int) throws -> Ensemble {
        let most = design == .ablation ? participating.count + 1 : Self.masksMax
        guard (1...most).contains(masks) else {
            throw Failure(.usage, "the number of masks must be from 1 to \(most), not \(masks)")
        }
        return Ensemble(self, masks: masks)
    }

    /// The segment of every layer: the network's blocks, cut into `levels` runs of about equal length. Both
    /// convolutions of a residual block stay together, since a worker shares work by whole blocks.
    private static func segments(of layers: [FilterSpace.Layer], levels: Int) -> [Int] {
        var blocks: [Int] = []
        for (index, layer) in layers.enumerated() {
            let endsBlock =
                layer.role == .coupled && index > 0 && layers[index - 1].role == .hidden
                && layers[index - 1].filters.upperBound == layer.filters.lowerBound
            blocks.append((blocks.last ?? -1) + (endsBlock ? 0 : 1))
        }
        let count = (blocks.last ?? 0) + 1
        // With fewer blocks than levels, the last segments are used, which share least.
        let used = min(levels, count)
        return blocks.map { levels - used + $0 * used / count }
    }

    /// The ranked filters, ascending.
    public var participating: [Int] { layers.flatMap(\.filters) }

    /// How many neighbouring masks share everything that the design allows: masks `k·groupSize` up to `(k+1)·groupSize`
    /// are one tree.
    public var groupSize: Int { layers.map(\.repeats).max() ?? 1 }

    /// How many neighbouring masks a worker should get together to share work among them: a group. The masks of
    /// ``SamplingDesign/ablation`` have no groups, but neighbours mostly disable filters of one layer and share all
    /// layers before it.
    public var masksSharingWork: Int { design == .ablation ? SamplingDesign.ablationNeighbours : groupSize }

    /// How many of these share most: those that differ in the last segment only.
    public var masksSharingMost: Int {
        design == .ablation ? SamplingDesign.ablationNeighbours / 4 : layers.map(\.repeats).filter { $0 > 1 }.min() ?? 1
    }

    /// Draws the sub-masks of each layer, in the order of ``layers``: in a layer, mask `i` disables what sub-mask `i /
    /// repeats` does.
    public var samplers: [LayerSampler] {
        var before = 0
        return layers.map { layer in
            defer { before += layer.count }
            let key = [seed, UInt64(layer.first)]
            if design == .ablation {
                return LayerSampler(filters: layer.count, ablatedFrom: before, repeats: layer.repeats)
            }
            guard design.isBalanced else {
                return LayerSampler(
                    filters: layer.count, independentRate: layer.dropRate, repeats: layer.repeats, key: key)
            }
            return LayerSampler(
                filters: layer.count, rate: layer.dropRate, sizeSpread: design.sizeSpread, repeats: layer.repeats,
                key: key)
        }
    }

    /// The digest of the description, from which every mask follows.
    public var digest: Digest {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        var hash = SHA256()
        // Encoding numbers and names cannot fail, and an ensemble that cannot be encoded could not be stored either.
        if let bytes = try? encoder.encode(self) { bytes.withUnsafeBytes { hash.update($0) } }
        return hash.finished()
    }

    /// The most masks that ``sample`` uses.
    private static let sampledMasks = 1024

    /// The digest of up to 1024 masks, spread over the ensemble: drawing all of a large one would take long.
    public var sample: Digest {
        var hash = SHA256()
        for number in 0..<min(Self.sampledMasks, count) {
            let index = number * count / min(Self.sampledMasks, count)
            mask(index).words.map(\.littleEndian).withUnsafeBytes { hash.update($0) }
        }
        return hash.finished()
    }

    /// A mask, `index` in `0..<count`. O(filters).
    public func mask(_ index: Int) -> Mask {
        var masks = MaskSequence(self)
        return masks.mask(index)
    }

    /// The masks of a range of indices. O(masks × filters), faster than one by one: what neighbours share is drawn
    /// once.
    public func masks(_ range: Range<Int>) -> [Mask] {
        var masks = MaskSequence(self)
        return range.map { masks.mask($0) }
    }

    /// All masks in order, drawn a stretch at a time.
    public var allMasks: some Sequence<Mask> {
        let stretch = 4096
        return stride(from: 0, to: count, by: stretch).lazy
            .flatMap { masks($0..<Swift.min($0 + stretch, count)) }
    }

    /// Checks a description read from a file. Throws a `.badInput` ``Failure`` if ``init(_:of:scope:masks:seed:)``
    /// could not have made it for the network.
    public func check(against space: FilterSpace) throws {
        guard generator == Self.generator else {
            throw Failure(
                .badInput,
                "the ensemble was drawn by generator \(generator), but this program has \(Self.generator); use "
                    + "the release that made it")
        }
        let isSound =
            (1...Self.masksMax).contains(count) && filterCount == space.count && !layers.isEmpty
            && SamplingDesign(
                name: design.name, isBalanced: design.isBalanced, sizeSpread: design.sizeSpread,
                levels: design.levels, branching: design.branching) != nil
            && layers.allSatisfy { layer in
                guard let known = space.layer(named: layer.name) else { return false }
                return known.filters.lowerBound == layer.first && known.filters.count == layer.count
                    && SamplingScope.dropRates.contains(layer.dropRate)
                    && (1...SamplingDesign.sharedMasksMax).contains(layer.repeats)
            }
        guard isSound else { throw Failure(.badInput, "the ensemble's description does not fit the network") }
    }
}

/// Draws masks in sequence and keeps what the next one may share.
private struct MaskSequence {
    private let ensemble: Ensemble
    private let samplers: [LayerSampler]
    private var rounds: [LayerSampler.Round]

    init(_ ensemble: Ensemble) {
        self.ensemble = ensemble
        samplers = ensemble.samplers
        rounds = Array(repeating: LayerSampler.Round(), count: samplers.count)
    }

    mutating func mask(_ index: Int) -> Mask {
        precondition((0..<ensemble.count).contains(index), "no such mask")
        var disabled: [Int] = []
        for (position, layer) in ensemble.layers.enumerated() {
            let sampler = samplers[position]
            let (round, submask) = (index / sampler.repeats).quotientAndRemainder(dividingBy: sampler.submasks)
            sampler.draw(round, into: &rounds[position])
            rounds[position].forEachDisabled(by: submask) { disabled.append(layer.first + $0) }
        }
        return Mask(count: ensemble.filterCount, disabled: disabled)
    }
}
