/// The classes and functions that a pickle names. Nothing is ever executed: the reader knows what those that tensors
/// need would have made, and skips the results of all others.
enum PickleGlobal: Hashable, Sendable {
    /// `collections.OrderedDict`
    case orderedDictionary
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`, whose first four arguments are alike:
    /// storage, offset, shape, strides.
    case rebuildTensor
    /// `torch._utils._rebuild_parameter` and `_rebuild_parameter_with_state`, whose first argument is a tensor.
    case rebuildParameter
    /// `torch._tensor._rebuild_from_type_v2`, for tensors of a subclass: the function that rebuilds the tensor, the
    /// subclass, the function's arguments.
    case rebuildSubclass
    /// `numpy.core.multiarray._reconstruct`, which makes an empty array, whose state follows.
    case rebuildArray
    /// `numpy.dtype`, whose first argument names the type, such as `u1`.
    case arrayType
    /// `torch.FloatStorage` and its kin.
    case storage(ElementType)
    /// Anything else, by its name: training scripts save paths, dates, options and metrics beside the parameters.
    case other(String)

    /// The longest name to keep of an object of no use.
    private static let nameLengthMax = 80

    /// The global of that name.
    init(module: String, name: String) {
        switch (module, name) {
        case ("collections", "OrderedDict"): self = .orderedDictionary
        case ("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor
        case ("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_parameter_with_state"):
            self = .rebuildParameter
        case ("torch._tensor", "_rebuild_from_type_v2"): self = .rebuildSubclass
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
        default: self = .other("\(module.prefix(Self.nameLengthMax)).\(name.prefix(Self.nameLengthMax))")
        }
    }
}
