import Shared

/// How a frontend must change a value before a node reads it.
enum RankChange {
    /// From `[batch, channels, 1, 1]` to `[batch, channels]`.
    case flattened
    /// From `[batch, channels]` to `[batch, channels, 1, 1]`.
    case image
}

extension Graph {
    /// Whether a node's values leave Winnow as `[batch, channels]` rather than `[batch, channels, height, width]`: from
    /// a flatten or a linear layer on. A graph does not distinguish them.
    func isMatrix(_ index: Int) -> Bool {
        let node = nodes[index]
        switch node.operation {
        case .image: return false
        case .flatten, .linear: return true
        case .softmax: return true
        case .add, .multiply, .concatenate: return node.inputs.allSatisfy(isMatrix)
        default: return isMatrix(node.inputs[0]) && node.shape.isVector
        }
    }

    /// How to adapt the value of `input` for a node that reads it; nil if it fits.
    func change(of input: Int, for reader: Int) -> RankChange? {
        let isMatrix = isMatrix(input)
        switch nodes[reader].operation {
        case .linear, .softmax: return isMatrix ? nil : .flattened
        case .convolution, .pool, .adaptiveAverage, .crop, .pad: return isMatrix ? .image : nil
        case .add, .multiply, .concatenate: return isMatrix && !self.isMatrix(reader) ? .image : nil
        default: return nil
        }
    }
}
