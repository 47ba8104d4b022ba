import Shared

/// The options on which masks to evaluate, shared by `run` and `ensemble`.
struct SamplingOptions {
    /// The scopes that need no names.
    enum Scope: String, CaseIterable, ArgumentValue {
        case hidden
        case all
    }

    @Option("Number of masks.", value: "N") var masks: Int?
    @Option("Seed of all randomness.", value: "S") var seed: UInt64 = 1
    @Option(
        "Which filters to rank: hidden (the first convolution of every residual block, hidden neurons) or all.",
        value: "SCOPE") var scope: Scope = .hidden
    @Option(
        "Rank only these layers: comma-separated names, patterns such as 'layer3.*.conv1' and 'layer[12].*', "
            + "or parts of the network such as layer3. May be repeated.",
        value: "PATTERN") var layers: [String]
    @Option("Average share of each layer's filters that a mask disables.", value: "SHARE")
    var dropRate: Double = SamplingScope.defaultDropRate
    @Option(
        "A different share for matching layers, such as 'layer1.*=0.1'. May be repeated.", value: "PATTERN=SHARE")
    var layerDropRate: [String]
    @Option(
        "How to draw masks: independent, balanced, tree (masks share their first layers, which is cheaper), "
            + "tree-LxB with L segments and B branches, or ablation (each filter alone, then none).",
        value: "DESIGN") var design: SamplingDesign = .tree

    /// The most masks per filter of a run that stops when it has settled, if the user gives no other limit.
    private static let masksPerFilterMost = 50

    /// The most masks of a run that stops when it has settled, for this many filters.
    static func mostMasks(filters: Int) -> Int {
        min(max(filters * masksPerFilterMost, AdditiveFit.masksMin), Ensemble.masksMax)
    }

    /// The ensemble of a network, with as many masks as requested, or else the most that it may take to settle. Throws
    /// a `.usage` ``Failure`` before anything is computed.
    func ensembleToFit(of space: FilterSpace, endsWhenSettled: Bool = false) throws -> Ensemble {
        var ensemble = try ensemble(of: space, masks: endsWhenSettled ? masks ?? AdditiveFit.masksMin : masks)
        let filters = ensemble.participating.count
        if endsWhenSettled, masks == nil {
            ensemble = try ensemble.with(
                masks: design == .ablation ? filters + 1 : Self.mostMasks(filters: filters))
        }
        if design == .ablation, ensemble.count != filters + 1 {
            throw Failure(
                .usage,
                "--design ablation disables each of the \(filters) filters alone, then none: give --masks "
                    + "\(filters + 1)"
            )
        }
        guard ensemble.count >= AdditiveFit.masksMin else {
            throw Failure(
                .usage,
                "--masks \(ensemble.count) is too few to rank anything: at least \(AdditiveFit.masksMin), "
                    + "better \(3 * filters), three for each of the \(filters) filters")
        }
        return ensemble
    }

    /// The ensemble of a network, drawn from --seed or another seed. Throws a `.usage` ``Failure``.
    func ensemble(of space: FilterSpace, seed: UInt64? = nil) throws -> Ensemble {
        try ensemble(of: space, masks: masks, seed: seed)
    }

    private func ensemble(of space: FilterSpace, masks: Int?, seed: UInt64? = nil) throws -> Ensemble {
        guard let masks else { throw Failure(.usage, "--masks is missing: give the number of masks") }
        let rates = try layerDropRate.map { word -> (pattern: NamePattern, rate: Double) in
            let parts = word.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, let rate = Double(parts[1]) else {
                throw Failure(.usage, "--layer-drop-rate must be PATTERN=SHARE, such as 'layer1.*=0.1', not '\(word)'")
            }
            return (NamePattern(String(parts[0])), rate)
        }
        let chosen: SamplingScope.Layers
        if layers.isEmpty {
            chosen = scope == .all ? .all : .hidden
        } else {
            chosen = .named(layers.flatMap { NamePattern.list($0) })
        }
        let scope = SamplingScope(layers: chosen, dropRate: dropRate, layerDropRates: rates)
        return try Ensemble(design, of: space, scope: scope, masks: masks, seed: seed ?? self.seed)
    }
}
