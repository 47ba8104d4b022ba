/// How an ensemble's masks are drawn. A value, so designs can be named, compared and stored.
///
/// Three choices make a design:
/// - **How a layer's filters are drawn.** Independently, or *balanced*: in every round of masks, a random order of the
///   layer's filters is cut into windows, one per mask, so every filter is disabled equally often.
/// - **How the windows' sizes are spread.** They are stratified over `1 ± sizeSpread` times the drop rate: the fit
///   needs varying sizes to tell one layer's importance from another's.
/// - **What neighbouring masks share.** The network is cut into `levels` segments of blocks. Masks form a tree: the
///   filters disabled in a segment stay the same for `branching` times as many masks as in the next segment, so a
///   worker computes the early segments once for all of them.
public struct SamplingDesign: Sendable, Hashable, Codable {
    /// Its name, which ``init(named:)`` understands.
    public let name: String
    /// Whether every filter is disabled equally often in each round.
    public let isBalanced: Bool
    /// How far the disabled share of a layer deviates from its drop rate, as a fraction of that rate, 0…1.
    public let sizeSpread: Double
    /// The segments of the network.
    public let levels: Int
    /// How many masks of a segment share one mask of the previous segment.
    public let branching: Int

    /// Whether a mask is informative only compared with all others: each disables other filters.
    public var comparesAllMasks: Bool { self == .ablation }

    /// The most masks that share their first segment.
    public static let sharedMasksMax = 4096
    /// How many masks of ``ablation`` are best evaluated together: beyond that, sharing saves little more per mask.
    static let ablationNeighbours = 16

    /// Makes a design, or returns nil if a number is out of range.
    public init?(name: String, isBalanced: Bool, sizeSpread: Double, levels: Int = 1, branching: Int = 1) {
        guard (0...1).contains(sizeSpread), (1...64).contains(levels), (1...64).contains(branching) else { return nil }
        var shared = 1
        for _ in 1..<max(levels, 2) {
            if levels > 1 { shared *= branching }
            guard shared <= Self.sharedMasksMax else { return nil }
        }
        self.name = name
        self.isBalanced = isBalanced
        self.sizeSpread = sizeSpread
        self.levels = levels
        self.branching = branching
    }

    /// Every filter of every mask is drawn independently.
    public static let independent = SamplingDesign(
        unchecked: "independent", isBalanced: false, sizeSpread: 0, levels: 1, branching: 1)
    /// Balanced rounds, masks that share nothing.
    public static let balanced = SamplingDesign(
        unchecked: "balanced", isBalanced: true, sizeSpread: 1, levels: 1, branching: 1)
    /// The default: balanced rounds in a tree of three segments with four branches each.
    public static let tree = SamplingDesign(
        unchecked: "tree", isBalanced: true, sizeSpread: 1, levels: 3, branching: 4)
    /// Mask `i` disables only the `i`-th ranked filter; the last mask disables nothing. The common baseline: it
    /// measures every filter's own effect instead of shares of an ensemble's loss.
    public static let ablation = SamplingDesign(
        unchecked: "ablation", isBalanced: false, sizeSpread: 0, levels: 1, branching: 1)

    /// The designs with fixed names.
    private static let known = [independent, balanced, tree, ablation]

    private init(unchecked name: String, isBalanced: Bool, sizeSpread: Double, levels: Int, branching: Int) {
        self.name = name
        self.isBalanced = isBalanced
        self.sizeSpread = sizeSpread
        self.levels = levels
        self.branching = branching
    }

    /// The design of a name: `independent`, `balanced`, `tree`, `ablation`, or `tree-LxB` for L segments with B
    /// branches each. Throws a `.usage` ``Failure`` if there is none.
    public init(named name: String) throws {
        if let design = Self.known.first(where: { $0.name == name }) {
            self = design
            return
        }
        let numbers = name.hasPrefix("tree-") ? name.dropFirst(5).split(separator: "x").compactMap { Int($0) } : []
        if numbers.count == 2, "tree-\(numbers[0])x\(numbers[1])" == name,
            let design = SamplingDesign(
                name: name, isBalanced: true, sizeSpread: 1, levels: numbers[0], branching: numbers[1])
        {
            self = design
            return
        }
        let names = Self.known.map(\.name)
        throw Failure(
            .usage,
            "no sampling design '\(name)'\(suggestion(for: name, among: names)): use \(names.joined(separator: ", ")),"
                + " or tree-LxB with L segments and B branches, for example tree-3x4")
    }

    /// How many neighbouring masks share what they disable in a segment, `0..<levels`.
    func repeats(ofSegment segment: Int) -> Int {
        var repeats = 1
        for _ in segment..<levels - 1 { repeats *= branching }
        return repeats
    }
}

extension SamplingDesign: ArgumentValue {
    public init?(argument: String) {
        guard let design = try? SamplingDesign(named: argument) else { return nil }
        self = design
    }
    public var argumentText: String { name }
    public static var choices: [String] { known.map(\.name) }
    public static var expectation: String {
        "independent, balanced, tree, ablation, or tree-LxB with L segments and B branches"
    }
}
