/// Masks in JSON, by the names of layers and the numbers of filters within them:
///
///     {"masks":[{"disabled":{"layer1.0.conv1":[0,3]}}, …]}
///
/// Members that are not known are skipped, so that a file may say more about its masks.
public enum MaskFile {
    /// The longest file that is read: a million masks that disable a hundred filters each take less than half.
    public static let bytesMax = 1 << 30
    /// The most memory that the masks of a file may take, in bytes: enough for a million masks of 30,000 filters.
    public static let maskBytesMax = 4 << 30

    /// Reads the masks of a file for a network's filters. Throws a `.badInput` ``Failure`` that names the file, the
    /// mask by its index, and the layer or filter that is wrong.
    public static func read(at path: String, for space: FilterSpace) throws -> [Mask] {
        try read(try InputFile.bytes(at: path, bytesMax: bytesMax), name: path, for: space)
    }

    /// Reads the mask of a file that has one. Throws a `.badInput` ``Failure`` also where there is none, or more.
    public static func mask(at path: String, for space: FilterSpace) throws -> Mask {
        let masks = try read(at: path, for: space)
        guard let mask = masks.first, masks.count == 1 else {
            throw Failure(.badInput, "\(path) has \(masks.count) masks; there must be one")
        }
        return mask
    }

    /// Reads the masks of a file's bytes; `name` stands in errors.
    public static func read(_ bytes: [UInt8], name: String, for space: FilterSpace) throws -> [Mask] {
        do {
            var masks: [Mask]?
            var json = JSONReader(bytes)
            try json.object { json, key in
                if key == "masks" { masks = try self.masks(&json, space) } else { try json.skip() }
            }
            try json.finish()
            guard let masks else { throw Failure(.badInput, "no member \"masks\"") }
            return masks
        } catch let failure as Failure {
            throw Failure(failure.kind, "\(name): \(failure.description)")
        }
    }

    private static func masks(_ json: inout JSONReader, _ space: FilterSpace) throws -> [Mask] {
        let layers = Dictionary(uniqueKeysWithValues: space.layers.map { ($0.name, $0) })
        let masksMax = maskBytesMax / max((space.count + 63) / 64 * 8, 8)
        var masks: [Mask] = []
        try json.array { json, index in
            guard index < masksMax else { throw Failure(.badInput, "more than \(masksMax) masks") }
            do {
                masks.append(try mask(&json, layers, count: space.count))
            } catch let failure as Failure {
                throw Failure(failure.kind, "mask \(index): \(failure.description)")
            }
        }
        return masks
    }

    private static func mask(
        _ json: inout JSONReader, _ layers: [String: FilterSpace.Layer], count: Int
    ) throws -> Mask {
        var mask: Mask?
        try json.object { json, key in
            guard key == "disabled" else { return try json.skip() }
            var disabled = Mask(count: count)
            try json.object { json, name in
                guard let layer = layers[name] ?? layers[LayerName.plain(name)] else {
                    throw json.damaged("the network has no layer \"\(name.prefix(80))\" whose filters can be disabled")
                }
                try json.array { json, _ in
                    let filter = try json.integer()
                    guard (0..<layer.filters.count).contains(filter) else {
                        throw json.damaged(
                            "layer \(name) has no filter \(filter), but 0 to \(layer.filters.count - 1)")
                    }
                    let number = layer.filters.lowerBound + filter
                    guard !disabled[number] else {
                        throw json.damaged("filter \(filter) of layer \(name) is there twice")
                    }
                    disabled[number] = true
                }
            }
            mask = disabled
        }
        guard let mask else { throw json.damaged("a mask without \"disabled\" (which may be empty)") }
        return mask
    }

    // MARK: Writing

    /// Writes masks to a file, one line each, without holding more than one as text.
    public static func write(_ masks: some Sequence<Mask>, for space: FilterSpace, to path: String) throws {
        let file = try OutputFile(path)
        try file.write("{\"masks\":[")
        var separator = "\n"
        for mask in masks {
            try file.write("\(separator){\"disabled\":\(text(of: mask, in: space))}")
            separator = ",\n"
        }
        try file.write("\n]}\n")
        try file.finish()
    }

    /// A mask's disabled filters as a JSON object, layers in the order of evaluation.
    public static func text(of mask: Mask, in space: FilterSpace) -> String {
        var text = "{"
        var layer = -1
        for filter in mask.disabled {
            let own = space.layerIndex(of: filter)
            if own != layer {
                text += layer < 0 ? "" : "],"
                text += "\(JSONText.quoted(space.layers[own].name)):["
                layer = own
            } else {
                text += ","
            }
            text += String(filter - space.layers[own].filters.lowerBound)
        }
        return text + (layer < 0 ? "}" : "]}")
    }
}
