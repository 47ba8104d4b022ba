/// What a pickle describes.
///
/// Containers are referred to by number, so however a pickle nests them or makes them contain themselves, nothing
/// recurses and nothing leaks.
struct Pickle {
    /// A value: a plain one, or the number of an object.
    enum Value {
        case none
        case bool(Bool)
        case integer(Int)
        /// An integer of more than 64 bits, its bytes from the lowest.
        case wideInteger([UInt8])
        case float(Double)
        case string(String)
        case bytes(ArraySlice<UInt8>)
        case global(PickleGlobal)
        case object(Int)
    }

    /// A value that can change after it was first named, or that holds others.
    enum Object {
        case tuple([Value])
        case list([Value])
        case dictionary([(key: Value, value: Value)])
        /// A tensor or parameter to be rebuilt from the arguments.
        case rebuilt(PickleGlobal, [Value])
        /// Something outside of the pickle, by its description: a storage.
        case persistent([Value])
        /// An object of no use here, and what Python would make it with, such as `pathlib.PosixPath`.
        case other(String)
    }

    /// All objects, by number.
    let objects: [Object]
    /// The pickle's value.
    let root: Value

    /// The object behind a value, or nil for a plain value.
    func object(_ value: Value) -> Object? {
        if case .object(let number) = value { objects[number] } else { nil }
    }

    /// The entries of a dictionary with text keys, in order; nil for anything else.
    func entries(_ value: Value) -> [(name: String, value: Value)]? {
        guard case .dictionary(let pairs) = object(value) else { return nil }
        return pairs.compactMap { if case .string(let name) = $0.key { (name, $0.value) } else { nil } }
    }

    /// The integers of a tuple or list, or nil.
    func integers(_ value: Value) -> [Int]? {
        let items: [Value]
        switch object(value) {
        case .tuple(let values), .list(let values): items = values
        default: return nil
        }
        var integers: [Int] = []
        for item in items {
            guard case .integer(let integer) = item else { return nil }
            integers.append(integer)
        }
        return integers
    }
}
