/// PyTorch's format before 1.6, and since then with `_use_new_zipfile_serialization=False`: five pickles (a magic
/// number, the format's version, facts of the machine, the checkpoint, the keys of the storages), then every storage
/// as a 64-bit count and its elements.
enum TorchLegacy {
    /// `0x1950a86a20f9469cfc6c` from its lowest byte.
    private static let magic: [UInt8] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    private static let formatVersion = 1001
    /// The farthest that the magic number can be from the start, after any protocol's opcodes.
    private static let magicReach = 16

    /// Whether bytes begin like this format.
    static func matches(_ bytes: [UInt8]) -> Bool {
        let start = bytes.prefix(magicReach + magic.count)
        guard start.first == 0x80 else { return false }
        return start.indices.contains { start[$0...].starts(with: magic) }
    }

    /// Reads all dictionaries of tensors.
    static func read(_ bytes: [UInt8]) throws -> [StoredWeights] {
        var reader = ByteReader(bytes, part: "its header")
        guard case .wideInteger(magic) = try PickleReader.read(&reader).root else {
            throw Failure(.badInput, "the magic number is damaged")
        }
        guard case .integer(formatVersion) = try PickleReader.read(&reader).root else {
            throw Failure(.badInput, "the format's version is not \(formatVersion)")
        }
        try checkByteOrder(try PickleReader.read(&reader))
        reader.part = "the description of its tensors"
        let checkpoint = TorchPickle(try PickleReader.read(&reader))
        reader.part = "the list of its storages"
        let places = try locate(
            try keys(try PickleReader.read(&reader)), storages: try checkpoint.storages(), reader: &reader)
        return try checkpoint.weights { storage in
            guard let place = places[storage.key] else {
                throw Failure(.badInput, "its storage \(storage.key) is missing")
            }
            return bytes[place]
        }
    }

    private static func checkByteOrder(_ facts: Pickle) throws {
        guard let entry = facts.entries(facts.root)?.first(where: { $0.name == "little_endian" }),
            case .bool(true) = entry.value
        else { throw Failure(.badInput, "the checkpoint was not written on a little-endian machine") }
    }

    private static func keys(_ list: Pickle) throws -> [String] {
        guard case .list(let values)? = list.object(list.root) else {
            throw Failure(.badInput, "the list of storages is not a list")
        }
        return try values.map { value in
            guard case .string(let key) = value else { throw Failure(.badInput, "a storage's key is not text") }
            return key
        }
    }

    /// The bytes of every storage, by key.
    private static func locate(
        _ keys: [String], storages: [String: TorchPickle.Storage], reader: inout ByteReader
    ) throws -> [String: Range<Int>] {
        var places: [String: Range<Int>] = [:]
        for (index, key) in keys.enumerated() {
            guard let storage = storages[key] else {
                throw Failure(.badInput, "storage \(key) belongs to nothing")
            }
            reader.part = "storage \(index + 1) of \(keys.count)"
            let count = try reader.count(bytes: 8)
            guard count == storage.count else {
                throw Failure(
                    .badInput, "\(reader.part) has \(count) elements, but its description says \(storage.count)")
            }
            let start = reader.position
            _ = try reader.slice(storage.bytes)
            places[key] = start..<reader.position
        }
        return places
    }
}
