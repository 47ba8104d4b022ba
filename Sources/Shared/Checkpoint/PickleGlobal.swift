/// The classes and functions that a pickle may name. Nothing is ever run: the reader knows what each of them would
/// have made.
enum PickleGlobal: Hashable, Sendable {
    /// `collections.OrderedDict`
    case orderedDictionary
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`, whose first four arguments are alike:
    /// storage, offset, shape, strides.
    case rebuildTensor
    /// `torch._utils._rebuild_parameter`, whose first argument is a tensor.
    case rebuildParameter
    /// `numpy.core.multiarray._reconstruct`, which makes an empty array, whose state follows.
    case rebuildArray
    /// `numpy.dtype`, whose first argument names the type, such as `u1`.
    case arrayType
    /// `torch.FloatStorage` and its kin.
    case storage(ElementType)
    /// Something that stands in many checkpoints beside the parameters and is of no use here; its value is dropped.
    case inert

    /// The global of that name, or nil where it is not on the list.
    init?(module: String, name: String) {
        switch (module, name) {
        case ("collections", "OrderedDict"): self = .orderedDictionary
        case ("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor
        case ("torch._utils", "_rebuild_parameter"): self = .rebuildParameter
        case ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"): self = .rebuildArray
        case ("numpy", "dtype"): self = .arrayType
        case ("torch", "DoubleStorage"): self = .storage(.float64)
        case ("torch", "FloatStorage"): self = .storage(.float32)
        case ("torch", "HalfStorage"): self = .storage(.float16)
        case ("torch", "BFloat16Storage"): self = .storage(.bfloat16)
        case ("torch", "LongStorage"): self = .storage(.integer(bytes: 8))
        case ("torch", "IntStorage"): self = .storage(.integer(bytes: 4))
        case ("torch", "ShortStorage"): self = .storage(.integer(bytes: 2))
        case ("torch", "CharStorage"), ("torch", "ByteStorage"), ("torch", "BoolStorage"):
            self = .storage(.integer(bytes: 1))
        default:
            guard Self.inertNames.contains("\(module).\(name)") else { return nil }
            self = .inert
        }
    }

    /// Shapes, devices, number formats, options and metrics that training scripts save beside the parameters.
    private static let inertNames: Set<String> = [
        "torch.Size", "torch.device", "torch.dtype", "torch.float64", "torch.float32", "torch.float16",
        "torch.bfloat16", "torch.int64", "torch.int32", "torch.uint8", "torch.bool",
        "collections.defaultdict", "collections.Counter", "argparse.Namespace", "_codecs.encode",
        "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.ndarray",
        "builtins.set", "builtins.frozenset", "builtins.list", "builtins.dict", "builtins.int", "builtins.float",
        "__builtin__.set", "__builtin__.frozenset", "__builtin__.list", "__builtin__.dict", "__builtin__.int",
        "__builtin__.float",
    ]
}
