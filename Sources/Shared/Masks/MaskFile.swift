/// Masks in JSON, by layer names and filter numbers within them:
///
///     {"masks":[{"disabled":{"layer1.0.conv1":[0,3]}}, …]}
///
/// If masks have their own images, the file also has lists of images (record numbers of the split), and every mask
/// names its list:
///
///     {"image_lists":[[7,12], …],"masks":[{"disabled":{"layer1.0.conv1":[0,3]},"images":0}, …]}
///
/// Unknown members are skipped, so a file may hold more about its masks.
public enum MaskFile {
    /// What a file holds.
    public struct Contents: Sendable, Equatable {
        /// The masks.
        public var masks: [Mask]
        /// Lists of images, all of one length; empty if all masks see the same images.
        public var images: [[Int]]
        /// The list of each mask; empty if there are no lists.
        public var listOfMask: [Int]
    }

    /// The most images in all lists.
    public static let listedImagesMax = 1 << 26

    /// The longest file to read: a million masks that disable a hundred filters each take less than half.
    public static let bytesMax = 1 << 30
    /// The most memory that the masks of a file may take, in bytes: enough for a million masks of 30,000 filters.
    public static let maskBytesMax = 4 << 30

    /// Reads the masks of a file for a network's filters. Throws a `.badInput` ``Failure`` that names the file, the
    /// mask by its index, and the layer or filter that is wrong.
    public static func read(at path: String, for space: FilterSpace) throws -> [Mask] {
        try read(try InputFile.bytes(at: path, bytesMax: bytesMax), name: path, for: space)
    }

    /// Reads a file with one mask. Throws a `.badInput` ``Failure``, also if there is none, or more.
    public static func mask(at path: String, for space: FilterSpace) throws -> Mask {
        let masks = try read(at: path, for: space)
        guard let mask = masks.first, masks.count == 1 else {
            throw Failure(.badInput, "\(path) has \(masks.count) masks, but one is needed")
        }
        return mask
    }

    /// Reads the masks from a file's bytes; `name` is for errors.
    public static func read(_ bytes: [UInt8], name: String, for space: FilterSpace) throws -> [Mask] {
        try contents(bytes, name: name, for: space).masks
    }

    /// Reads a whole file. Throws a `.badInput` ``Failure`` likewise.
    public static func contents(at path: String, for space: FilterSpace) throws -> Contents {
        try contents(try InputFile.bytes(at: path, bytesMax: bytesMax), name: path, for: space)
    }

    /// Reads a file from its bytes; `name` is for errors.
    public static func contents(_ bytes: [UInt8], name: String, for space: FilterSpace) throws -> Contents {
        do {
            var masks: [(mask: Mask, list: Int?)]?
            var images: [[Int]] = []
            var json = JSONReader(bytes)
            try json.object { json, key in
                switch key {
                case "masks": masks = try self.masks(&json, space)
                case "image_lists": images = try self.images(&json)
                default: try json.skip()
                }
            }
            try json.finish()
            guard let masks else { throw Failure(.badInput, "no member \"masks\"") }
            let lists = masks.compactMap(\.list)
            guard lists.isEmpty || lists.count == masks.count else {
                throw Failure(.badInput, "some masks have \"images\" and some do not; give them to all or none")
            }
            if let mask = lists.firstIndex(where: { !images.indices.contains($0) }) {
                throw Failure(
                    .badInput, "mask \(mask): there is no list of images \(lists[mask]); there are \(images.count)")
            }
            return Contents(masks: masks.map(\.mask), images: lists.isEmpty ? [] : images, listOfMask: lists)
        } catch let failure as Failure {
            throw Failure(failure.kind, "\(name): \(failure.description)")
        }
    }

    private static func images(_ json: inout JSONReader) throws -> [[Int]] {
        var lists: [[Int]] = []
        var count = 0
        try json.array { json, _ in
            var list: [Int] = []
            try json.array { json, _ in
                let image = try json.integer()
                count += 1
                guard (0..<ImageSet.countMax).contains(image) else { throw json.damaged("there is no image \(image)") }
                guard list.count < Evaluation.imagesMax, count <= listedImagesMax else {
                    throw json.damaged(
                        "more than \(Evaluation.imagesMax) images in one list, or \(listedImagesMax) in all")
                }
                list.append(image)
            }
            guard !list.isEmpty, list.count == lists.first?.count ?? list.count else {
                throw json.damaged("lists of images must have one length, and not be empty")
            }
            lists.append(list)
        }
        return lists
    }

    private static func masks(_ json: inout JSONReader, _ space: FilterSpace) throws -> [(mask: Mask, list: Int?)] {
        let layers = Dictionary(uniqueKeysWithValues: space.layers.map { ($0.name, $0) })
        let masksMax = maskBytesMax / max((space.count + 63) / 64 * 8, 8)
        var masks: [(mask: Mask, list: Int?)] = []
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
    ) throws -> (mask: Mask, list: Int?) {
        var mask: Mask?
        var list: Int?
        try json.object { json, key in
            if key == "images" {
                list = try json.integer()
                return
            }
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
                            "layer \(name) has no filter \(filter), only 0 to \(layer.filters.count - 1)")
                    }
                    let number = layer.filters.lowerBound + filter
                    guard !disabled[number] else {
                        throw json.damaged("filter \(filter) of layer \(name) occurs twice")
                    }
                    disabled[number] = true
                }
            }
            mask = disabled
        }
        guard let mask else { throw json.damaged("a mask without \"disabled\" (which may be empty)") }
        return (mask, list)
    }

    // MARK: Writing

    /// Writes masks to a file, one line each, with only one as text in memory; and, if images rotate, the settings'
    /// images of each of `count` masks.
    public static func write(
        _ masks: some Sequence<Mask>, for space: FilterSpace, to path: String,
        images: (settings: EvaluationSettings, rotation: ImageRotation, count: Int)? = nil
    ) throws {
        let file = try OutputFile(path)
        try file.write("{")
        if let images {
            try file.write("\"image_lists\":[")
            for group in 0...images.rotation.group(of: max(images.count - 1, 0)) {
                let numbers = images.settings.images(ofGroup: group).map(String.init).joined(separator: ",")
                try file.write("\(group > 0 ? ",\n" : "\n")[\(numbers)]")
            }
            try file.write("\n],")
        }
        try file.write("\"masks\":[")
        for (index, mask) in masks.enumerated() {
            let list = images.map { ",\"images\":\($0.rotation.group(of: index))" } ?? ""
            try file.write("\(index > 0 ? ",\n" : "\n"){\"disabled\":\(text(of: mask, in: space))\(list)}")
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
