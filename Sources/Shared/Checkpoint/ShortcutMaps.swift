/// The shortcuts of residual blocks where they are not the published ones, as they stand in the `__metadata__` of a
/// safetensors file under the key `winnow.shortcuts`:
///
///     {"layer2.0": [null, 0, 1, 3, null], …}
///
/// For every block that needs it, for each output channel, the input channel that is added to it, or null. Pruning the
/// residual stream makes such blocks.
enum ShortcutMaps {
    /// The key in `__metadata__`.
    static let key = "winnow.shortcuts"

    /// The published shortcut of a block, or nil where its channel counts have none: identity at stride 1, zero
    /// padding by the same number on both sides at stride 2.
    static func published(stride: Int, input: Int, output: Int) -> [Int?]? {
        let isPublished = stride == 1 ? input == output : output >= input && (output - input) % 2 == 0
        return isPublished ? ResidualArchitecture.Block.paddedShortcut(input: input, output: output) : nil
    }

    /// The text for a network, or nil where all of its shortcuts are published ones.
    static func text(of blocks: [ResidualArchitecture.Block]) -> String? {
        let maps = blocks.filter { block in
            block.shortcut != published(stride: block.stride, input: block.input, output: block.output)
        }
        guard !maps.isEmpty else { return nil }
        let members = maps.map { block in
            let channels = block.shortcut.map { $0.map(String.init) ?? "null" }.joined(separator: ",")
            return "\(JSONText.quoted(block.name)):[\(channels)]"
        }
        return "{\(members.joined(separator: ","))}"
    }

    /// Reads the maps of a text, by block. Whether they fit the blocks is for ``ArchitectureRecognition`` to check.
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
