/// The shortcuts of residual blocks where they are not the published ones, as they stand in the `__metadata__` of a
/// safetensors file under the key `winnow.shortcuts`:
///
///     {"layer2.0": [null, 0, 1, 3, null], …}
///
/// For every block that needs it, for each output channel, the input channel that is added to it, or null. Files written
/// before they carried a graph have it.
enum ShortcutMaps {
    /// The key in `__metadata__`.
    static let key = "winnow.shortcuts"

    /// Reads the maps of a text, by block. Whether they fit the blocks is for ``ResNetFamily`` to check.
    static func read(_ text: String) throws -> [String: [Int?]] {
        var json = JSONReader(Array(text.utf8))
        var maps: [String: [Int?]] = [:]
        do {
            try json.object { json, block in
                var channels: [Int?] = []
                try json.array { json, _ in channels.append(try json.null() ? nil : try json.integer()) }
                maps[block] = channels
            }
            try json.finish()
        } catch let failure as Failure {
            throw Failure(failure.kind, "\(key) in its metadata is damaged: \(failure.description)")
        }
        return maps
    }
}
