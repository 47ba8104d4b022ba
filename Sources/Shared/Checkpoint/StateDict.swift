/// The tensors of a checkpoint by name, in the file's order, and the file's other values.
struct StateDict {
    /// More tensors than any network here has (ResNet-1202 has 6,000).
    static let tensorsMax = 100_000

    /// Counters that training leaves beside parameters: of batches, of averaged models, of operations (by `thop`).
    private static let counters: Set<String> = ["num_batches_tracked", "n_averaged", "total_ops", "total_params"]

    /// Names in the file's order.
    private(set) var names: [String] = []
    private var tensors: [String: StoredTensor] = [:]
    /// Values that are not tensors, and what Python would make them with.
    private(set) var passedOver: [String: String] = [:]
    /// Texts beside the tensors (safetensors' `__metadata__`).
    var metadata: [String: String] = [:]

    /// Adds a tensor, unless it is a counter. Throws if the name exists already.
    mutating func add(_ tensor: StoredTensor, named name: String) throws {
        if Self.counters.contains(String(name.split(separator: ".").last ?? "")) { return }
        guard tensors.updateValue(tensor, forKey: name) == nil else {
            throw Failure(.badInput, "tensor \(name) occurs twice")
        }
        names.append(name)
        guard names.count <= Self.tensorsMax else {
            throw Failure(.badInput, "more than \(Self.tensorsMax) tensors")
        }
    }

    /// Records a value of that name that is not a tensor.
    mutating func passOver(_ name: String, madeBy maker: String) { passedOver[name] = maker }

    /// The tensor of a name, or nil.
    subscript(name: String) -> StoredTensor? { tensors[name] }

    /// The same tensors under other names, without those whose new name is nil. Throws if two names are equal.
    func renamed(_ newName: (String) -> String?) throws -> StateDict {
        var state = StateDict()
        state.metadata = metadata
        for name in names {
            if let tensor = tensors[name], let new = newName(name) { try state.add(tensor, named: new) }
        }
        for (name, maker) in passedOver {
            if let new = newName(name) { state.passOver(new, madeBy: maker) }
        }
        return state
    }

    /// The part before the first dot that all tensor names share; nil if they differ, or if a name has no dot.
    var commonPrefix: Substring? {
        guard let first = names.first, let dot = first.firstIndex(of: ".") else { return nil }
        let prefix = first[...dot]
        return names.allSatisfy { $0.hasPrefix(prefix) } ? prefix : nil
    }
}
