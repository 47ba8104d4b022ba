/// Finds the tensors in the pickle of a PyTorch checkpoint, which refers to their storages by key.
struct TorchPickle {
    /// A run of numbers outside of the pickle.
    struct Storage: Equatable {
        let key: String
        let type: ElementType
        /// Elements.
        let count: Int

        /// Its length in bytes. A pickle may claim any count; the product is held at the largest integer, which no
        /// file has.
        var bytes: Int {
            let (bytes, overflow) = count.multipliedReportingOverflow(by: type.size)
            return overflow ? .max : bytes
        }
    }

    /// The keys under which training scripts put the state dict beside other things.
    private static let stateDictKeys = ["state_dict", "model_state_dict", "model", "net"]

    private let pickle: Pickle

    init(_ pickle: Pickle) { self.pickle = pickle }

    /// Every storage that the pickle refers to, by key, also those of an optimizer's state. Throws where one is
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

    /// The tensors of the state dict; `read` gives a storage's bytes.
    func stateDict(read: (Storage) throws -> ArraySlice<UInt8>) throws -> StateDict {
        var state = StateDict()
        for (name, value) in try stateDictEntries() {
            guard let tensor = try tensor(value, name: name) else { continue }
            do {
                let stored = try StoredTensor(
                    type: tensor.storage.type, shape: tensor.shape, strides: tensor.strides, offset: tensor.offset,
                    bytes: try read(tensor.storage))
                try state.add(stored, named: name)
            } catch let failure as Failure {
                throw Failure(failure.kind, "tensor \(name): \(failure.description)")
            }
        }
        return state
    }

    /// The entries of the state dict: of the whole, or of what is under one of the usual keys.
    private func stateDictEntries() throws -> [(name: String, value: Pickle.Value)] {
        guard let outer = pickle.entries(pickle.root) else {
            throw Failure(.badInput, "holds no state dict but a single value; save model.state_dict()")
        }
        for key in Self.stateDictKeys {
            if let entry = outer.last(where: { $0.name == key }), let inner = pickle.entries(entry.value) {
                return inner
            }
        }
        return outer
    }

    private struct Reference {
        let storage: Storage
        let shape: [Int]
        let strides: [Int]
        let offset: Int
    }

    /// Reads a value as a tensor, or as a parameter around one; nil where it is neither.
    private func tensor(_ value: Pickle.Value, name: String) throws -> Reference? {
        var value = value
        for _ in 0..<2 {
            guard case .rebuilt(let global, let arguments)? = pickle.object(value), let first = arguments.first else {
                return nil
            }
            if global == .rebuildParameter {
                value = first
                continue
            }
            guard arguments.count >= 4, case .persistent(let description)? = pickle.object(first),
                case .integer(let offset) = arguments[1], let shape = pickle.integers(arguments[2]),
                let strides = pickle.integers(arguments[3])
            else { throw Failure(.badInput, "tensor \(name) is described in an unknown way") }
            return Reference(storage: try Self.storage(description), shape: shape, strides: strides, offset: offset)
        }
        return nil
    }

    /// Reads `("storage", type, key, location, count)`; the old format has one entry more, for views into another
    /// storage, which PyTorch has not written since 0.4.
    private static func storage(_ description: [Pickle.Value]) throws -> Storage {
        guard description.count >= 5, case .string("storage") = description[0],
            case .global(.storage(let type)) = description[1], case .string(let key) = description[2],
            case .integer(let count) = description[4], count >= 0
        else { throw Failure(.badInput, "the pickle refers to something that is no storage of numbers") }
        if description.count > 5 {
            guard case .none = description[5] else {
                throw Failure(.badInput, "storage \(key) is a view into another, as only PyTorch before 0.4 wrote it")
            }
        }
        return Storage(key: key, type: type, count: count)
    }
}
