/// Shortcuts of residual blocks that differ from the published ones, as stored in the `__metadata__` of a safetensors
/// file under the key `winnow.shortcuts`:
///
///     {"layer2.0": [null, 0, 1, 3, null], …}
///
/// For every block that needs it, for each output channel, the input channel to add to it, or null. Written by versions
/// whose files did not carry a graph yet.
enum ShortcutMaps {
    /// The key in `__metadata__`.
    static let key = "winnow.shortcuts"

    /// Reads the maps from a text, by block. ``ResNetFamily`` checks whether they fit the blocks.
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
