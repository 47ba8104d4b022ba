/// Finds the tensors in the pickle of a PyTorch checkpoint, which refers to their storages by key.
struct TorchPickle {
    /// A run of numbers outside of the pickle.
    struct Storage: Equatable {
        let key: String
        let type: ElementType
        /// Elements.
        let count: Int

        /// Its length in bytes. A pickle may claim any count; the product saturates at the largest integer, which no
        /// file has.
        var bytes: Int {
            let (bytes, overflow) = count.multipliedReportingOverflow(by: type.size)
            return overflow ? .max : bytes
        }
    }

    /// How deep to search dictionaries within dictionaries.
    private static let depthMax = 8
    /// The longest path to a dictionary, in bytes of its keys.
    private static let keyBytesMax = 256

    private let pickle: Pickle

    init(_ pickle: Pickle) { self.pickle = pickle }

    /// Every storage that the pickle refers to, by key, including those of an optimizer's state. Throws if one is
    /// described in two ways.
    func storages() throws -> [String: Storage] {
        var storages: [String: Storage] = [:]
        for case .persistent(let description) in pickle.objects {
            let storage = try Self.storage(description)
            guard storages.updateValue(storage, forKey: storage.key) ?? storage == storage else {
                throw Failure(.badInput, "the pickle describes storage \(storage.key) in two ways")
            }
        }
        return storages
    }

    /// All dictionaries of tensors, by their paths of keys joined by dots; `read` gives a storage's bytes. Throws if
    /// there is none, saying what there is.
    func weights(read: (Storage) throws -> ArraySlice<UInt8>) throws -> [StoredWeights] {
        var found: [StoredWeights] = []
        for (key, entries) in dictionaries() {
            guard found.count < StoredWeights.countMax else { break }
            let state = Result { () throws(Failure) in try stateDict(entries, read: read) }
            if case .success(let state) = state, state.names.isEmpty { continue }
            found.append(StoredWeights(key: key, state: state))
        }
        guard !found.isEmpty else { throw nothing() }
        return found
    }

    /// Dictionaries with names as keys, outer ones first, each once.
    private func dictionaries() -> [(key: String, entries: [(name: String, value: Pickle.Value)])] {
        var found: [(key: String, entries: [(name: String, value: Pickle.Value)])] = []
        var seen: Set<Int> = []
        var level = [(key: "", value: pickle.root)]
        for _ in 0..<Self.depthMax {
            var next: [(key: String, value: Pickle.Value)] = []
            for (key, value) in level {
                guard case .object(let number) = value, seen.insert(number).inserted else { continue }
                func look(into value: Pickle.Value, _ name: String) {
                    guard case .object = value, key.utf8.count + name.utf8.count < Self.keyBytesMax else { return }
                    next.append((key.isEmpty ? name : "\(key).\(name)", value))
                }
                switch pickle.objects[number] {
                case .dictionary:
                    let entries = pickle.entries(value) ?? []
                    found.append((key, entries))
                    for entry in entries { look(into: entry.value, entry.name) }
                case .list(let values), .tuple(let values):
                    for (index, value) in values.enumerated() { look(into: value, "\(index)") }
                default: break
                }
            }
            level = next
        }
        return found
    }

    private func stateDict(
        _ entries: [(name: String, value: Pickle.Value)], read: (Storage) throws -> ArraySlice<UInt8>
    ) throws(Failure) -> StateDict {
        var state = StateDict()
        for (name, value) in entries {
            do {
                if let maker = maker(of: value) {
                    state.passOver(name, madeBy: maker)
                    continue
                }
                guard let tensor = try tensor(value) else { continue }
                let stored = try StoredTensor(
                    type: tensor.storage.type, shape: tensor.shape, strides: tensor.strides, offset: tensor.offset,
                    bytes: try read(tensor.storage))
                try state.add(stored, named: name)
            } catch {
                let failure = error as? Failure ?? Failure(.internalFault, "\(error)")
                throw Failure(failure.kind, "tensor \(name): \(failure.description)")
            }
        }
        return state
    }

    /// What Python would make a value with that is not readable as a tensor here: a tensor of complex numbers, for
    /// instance.
    private func maker(of value: Pickle.Value) -> String? {
        switch pickle.object(value) {
        case .other(let maker): return maker
        case .rebuilt(.rebuildTensor, let arguments):
            guard case .persistent(let description)? = arguments.first.flatMap(pickle.object), description.count > 1,
                case .global(.other(let type)) = description[1]
            else { return nil }
            return type
        default: return nil
        }
    }

    private func nothing() -> Failure {
        let advice = "save the network's state_dict() alone: torch.save(model.state_dict(), FILE)"
        switch (pickle.root, pickle.object(pickle.root)) {
        case (_, .other(let maker)?), (.global(.other(let maker)), _):
            return Failure(
                .badInput,
                "holds no state dict but something that Python would make with \(maker), such as a whole "
                    + "module; nothing in it was run. In Python, \(advice)")
        case (_, .dictionary?):
            let keys = (pickle.entries(pickle.root) ?? []).prefix(8).map(\.name).joined(separator: ", ")
            return Failure(
                .badInput, "holds no tensors" + (keys.isEmpty ? "" : ", only \(keys); in Python, \(advice)"))
        default: return Failure(.badInput, "holds no state dict but a single value; \(advice)")
        }
    }

    private struct Reference {
        let storage: Storage
        let shape: [Int]
        let strides: [Int]
        let offset: Int
    }

    /// Reads a value as a tensor, or as a parameter or a subclass around one; nil if it is neither.
    private func tensor(_ value: Pickle.Value) throws -> Reference? {
        var value = value
        for _ in 0..<3 {
            guard case .rebuilt(let global, let arguments)? = pickle.object(value), let first = arguments.first else {
                return nil
            }
            switch global {
            case .rebuildParameter:
                value = first
                continue
            case .rebuildSubclass:
                guard arguments.count >= 3, case .global(.rebuildTensor) = first else { return nil }
                return try reference(arguments[2])
            case .rebuildTensor: return try reference(arguments)
            default: return nil
            }
        }
        return nil
    }

    private func reference(_ arguments: Pickle.Value) throws -> Reference {
        guard case .tuple(let arguments)? = pickle.object(arguments) else {
            throw Failure(.badInput, "is described in an unknown way")
        }
        return try reference(arguments)
    }

    private func reference(_ arguments: [Pickle.Value]) throws -> Reference {
        guard arguments.count >= 4, case .persistent(let description)? = pickle.object(arguments[0]),
            case .integer(let offset) = arguments[1], let shape = pickle.integers(arguments[2]),
            let strides = pickle.integers(arguments[3])
        else { throw Failure(.badInput, "is described in an unknown way") }
        return Reference(storage: try Self.storage(description), shape: shape, strides: strides, offset: offset)
    }

    /// Reads `("storage", type, key, location, count)`; the old format has one more entry, for views into another
    /// storage, which PyTorch has not written since 0.4.
    private static func storage(_ description: [Pickle.Value]) throws -> Storage {
        guard description.count >= 5, case .string("storage") = description[0],
            case .global(.storage(let type)) = description[1], case .string(let key) = description[2],
            case .integer(let count) = description[4], count >= 0
        else { throw Failure(.badInput, "the pickle refers to something that is not a storage of numbers") }
        if description.count > 5 {
            guard case .none = description[5] else {
                throw Failure(.badInput, "storage \(key) is a view into another, as only PyTorch before 0.4 wrote it")
            }
        }
        return Storage(key: key, type: type, count: count)
    }
}
