/// Removes what training scripts and libraries wrap around a network's tensors.
extension StateDict {
    /// Parts of names added by wrappers: `DataParallel` and `torch.compile`.
    private static let wrappers: Set<Substring> = ["module", "_orig_mod"]

    /// The tensors without wrappers' parts of their names.
    func unwrapped() throws -> StateDict {
        let isWrapped = names.contains { $0.split(separator: ".").contains(where: Self.wrappers.contains) }
        guard isWrapped else { return self }
        return try renamed { name in
            let parts = name.split(separator: ".")
            // The tensor's own name is free.
            return (parts.dropLast().filter { !Self.wrappers.contains($0) } + parts.suffix(1)).joined(separator: ".")
        }
    }

    /// The tensors, with weights masked by `torch.nn.utils.prune` computed as it does: `weight_orig` times
    /// `weight_mask`.
    func applyingPruningMasks() throws -> StateDict {
        let masked = names.filter { $0.hasSuffix("_orig") && self[Self.mask(of: $0)] != nil }
        guard !masked.isEmpty else { return self }
        let masks = Set(masked.map(Self.mask))
        var state = try renamed { masked.contains($0) || masks.contains($0) ? nil : $0 }
        for name in masked {
            guard let original = self[name], let mask = self[Self.mask(of: name)] else { continue }
            guard original.shape == mask.shape else {
                throw Failure(
                    .badInput,
                    "tensor \(Self.mask(of: name)) has shape \(mask.shape), not that of \(name): \(original.shape)")
            }
            let values = zip(try original.converted().values, try mask.converted().values).map { $0 * $1 }
            try state.add(StoredTensor(of: values, shape: original.shape), named: String(name.dropLast("_orig".count)))
        }
        return state
    }

    private static func mask(of original: String) -> String { original.dropLast("_orig".count) + "_mask" }

    /// The tensors without the means and deviations of a layer that normalises the image before the network, and these
    /// values; nil if there is no such layer. Its tensors are called `….mean` and `….std`, with one value per channel.
    func takingNormalisation() throws -> (state: StateDict, layer: ImageNormalisationLayer)? {
        for name in names {
            let last = name.split(separator: ".").last ?? ""
            guard last == "mean" || last == "_mean" || last == "pixel_mean" || last == "image_mean" else { continue }
            let deviation = name.dropLast("mean".count) + "std"
            guard let mean = self[name], let std = self[String(deviation)], mean.count == std.count,
                (1...ImageNormalisationLayer.channelsMax).contains(mean.count), mean.type.isFloat, std.type.isFloat
            else { continue }
            guard
                let layer = ImageNormalisationLayer(
                    mean: try mean.converted().values, deviation: try std.converted().values)
            else { continue }
            return (try renamed { $0 == name || $0 == deviation ? nil : $0 }, layer)
        }
        return nil
    }

    /// The first name part of auxiliary classifiers, which help training and do not affect the outputs.
    private static func isAuxiliary(_ name: String) -> Bool { name.lowercased().hasPrefix("aux") }

    /// The tensors without those of auxiliary classifiers, and the names of these; nil if there is none.
    func withoutAuxiliaryHeads() throws -> (state: StateDict, heads: [String])? {
        let heads = Set(names.filter(Self.isAuxiliary).map { String($0.prefix { $0 != "." }) })
        guard !heads.isEmpty else { return nil }
        return (try renamed { Self.isAuxiliary($0) ? nil : $0 }, heads.sorted())
    }

    /// Networks side by side under different prefixes, all with the same tensors: raw and averaged weights. By prefix;
    /// empty if the tensors are different.
    func sideBySide() throws -> [(prefix: String, state: StateDict)] {
        var groups: [String: StateDict] = [:]
        var order: [String] = []
        for name in names {
            guard let dot = name.firstIndex(of: "."), let tensor = self[name] else { return [] }
            let prefix = String(name[..<dot])
            if groups[prefix] == nil { order.append(prefix) }
            try groups[prefix, default: StateDict()].add(tensor, named: String(name[name.index(after: dot)...]))
        }
        let states = try order.compactMap { prefix in try groups[prefix]?.unwrapped() }
        let names = Set(states.first?.names ?? [])
        guard states.count > 1, states.allSatisfy({ Set($0.names) == names }) else { return [] }
        return Array(zip(order, states)).map { (prefix: $0, state: $1) }
    }
}

/// A layer before the network that normalises the image.
struct ImageNormalisationLayer {
    /// More channels than images have.
    static let channelsMax = 16
    /// The largest value of pixels in bytes.
    private static let byteMax: Float = 255

    /// Its normalisation, for pixels in 0…1.
    let normalisation: Normalisation
    /// Whether the layer is for pixels in 0…255.
    let isForBytes: Bool

    /// Nil if these are no mean and deviation.
    init?(mean: [Float], deviation: [Float]) {
        guard deviation.allSatisfy({ $0 > 0 }) else { return nil }
        isForBytes = mean.contains { abs($0) > Normalisation.meanMax }
        let scale = isForBytes ? Self.byteMax : 1
        normalisation = Normalisation(mean: mean.map { $0 / scale }, deviation: deviation.map { $0 / scale })
    }

    /// A note about it for the user.
    var note: String {
        "it normalises the image itself: Winnow uses that as --mean and --deviation (\(normalisation)"
            + (isForBytes ? ", here for pixels in 0…1)" : ")")
    }
}
