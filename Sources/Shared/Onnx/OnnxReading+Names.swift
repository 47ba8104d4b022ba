/// The best name for a node of the graph.
extension Onnx.Reading {
    /// Longer names are cut.
    private static let nameMax = 120

    /// The origin of a node without parameters.
    mutating func origin(_ call: Call) -> Onnx.Draft.Origin {
        Onnx.Draft.Origin(label: call.label, name: path(call) ?? Self.clean(call.node.type.lowercased()))
    }

    /// The origin of a layer: named by its weight (`layer1.0.conv1.weight`), else by the node's path, else by the
    /// weight whatever its name, else by its operator and a number.
    mutating func layerOrigin(_ call: Call, _ weight: Onnx.Constant, input: Int) -> Onnx.Draft.Origin {
        let names = [call.node.inputs[input], weight.name ?? ""].filter { !isRenamed($0) }
        if let name = names.first(where: { $0.hasSuffix(".weight") }) {
            return Onnx.Draft.Origin(label: call.label, name: Self.clean(String(name.dropLast(".weight".count))))
        }
        if let name = path(call) { return Onnx.Draft.Origin(label: call.label, name: name) }
        if let name = weight.name, !isRenamed(name) {
            return Onnx.Draft.Origin(label: call.label, name: Self.clean(name))
        }
        let type = call.node.type.lowercased()
        unnamed[type, default: 0] += 1
        return Onnx.Draft.Origin(label: call.label, name: "\(type)\(unnamed[type, default: 0])")
    }

    /// Whether an exporter invented a tensor's name.
    func isRenamed(_ name: String) -> Bool {
        name.isEmpty || name.contains("::") || name.hasPrefix("val_") || name.hasPrefix("/")
            || name.allSatisfy(\.isNumber)
    }

    /// A node's path without its operator, as modules are named: `/layer1/layer1.0/conv1/Conv` is `layer1.0.conv1`. Nil
    /// if the name is not a path.
    private func path(_ call: Call) -> String? {
        guard call.name.contains("/") else { return nil }
        var parts: [Substring] = []
        for part in call.name.split(separator: "/").dropLast() {
            // Within a Sequential, a part begins with the name of the one around it.
            if let last = parts.last, part.hasPrefix("\(last).") { parts.removeLast() }
            parts.append(part)
        }
        let name = Self.clean(parts.joined(separator: "."))
        return name.isEmpty ? nil : name
    }

    /// A name that is safe in files and messages.
    private static func clean(_ name: String) -> String {
        let cleaned = name.prefix(nameMax).map { $0.isLetter || $0.isNumber || "._-:".contains($0) ? $0 : "_" }
        return String(cleaned)
    }
}

extension Onnx.Draft.Origin {
    /// The same for an extra node beside it.
    func with(_ suffix: String) -> Self { Self(label: label, name: "\(name).\(suffix)") }
}
