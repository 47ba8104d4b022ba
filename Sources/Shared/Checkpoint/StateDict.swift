/// The tensors of a checkpoint by their names, in the file's order, and what the file says beside them.
struct StateDict {
    /// More tensors than any network here has (ResNet-1202 has 6,000).
    static let tensorsMax = 100_000

    /// Names without the prefixes that wrappers add, in the file's order.
    private(set) var names: [String] = []
    private var tensors: [String: StoredTensor] = [:]
    /// Texts beside the tensors (safetensors' `__metadata__`).
    var metadata: [String: String] = [:]

    /// Adds a tensor. Counters of batches (`num_batches_tracked`) are left out. Throws where the name is there already.
    mutating func add(_ tensor: StoredTensor, named fullName: String) throws {
        let name = Self.bare(fullName)
        if name.hasSuffix("num_batches_tracked") { return }
        guard tensors.updateValue(tensor, forKey: name) == nil else {
            throw Failure(.badInput, "tensor \(name) is there twice")
        }
        names.append(name)
        guard names.count <= Self.tensorsMax else {
            throw Failure(.badInput, "more than \(Self.tensorsMax) tensors")
        }
    }

    /// The tensor of a name, or nil.
    subscript(name: String) -> StoredTensor? { tensors[name] }

    /// The name without what `DataParallel` (`module.`) and `torch.compile` (`_orig_mod.`) put before it.
    private static func bare(_ name: String) -> String {
        var rest = Substring(name)
        while let prefix = ["module.", "_orig_mod."].first(where: rest.hasPrefix) {
            rest = rest.dropFirst(prefix.count)
        }
        return String(rest)
    }
}
