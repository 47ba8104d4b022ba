/// Names of layers as people write them.
public enum LayerName {
    /// The layer that a tensor, or a wrapped network's layer, belongs to: without the wrapper's prefix and the tensor's
    /// suffix. `module.layer1.0.conv1.weight` is `layer1.0.conv1`.
    public static func plain(_ written: String) -> String {
        var name = written[...]
        for prefix in ["module.", "_orig_mod.", "model."] where name.hasPrefix(prefix) {
            name = name.dropFirst(prefix.count)
        }
        for suffix in [".weight", ".bias"] where name.hasSuffix(suffix) { name = name.dropLast(suffix.count) }
        return String(name)
    }
}

extension FilterSpace {
    /// The layer with a name as people write it: the checkpoint's own first.
    public func layer(written name: String) -> Layer? { layer(named: name) ?? layer(named: LayerName.plain(name)) }
}
