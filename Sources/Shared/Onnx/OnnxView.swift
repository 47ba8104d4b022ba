extension Onnx {
    /// A tensor of the model that depends on the image: how it reads a node's values.
    ///
    /// ONNX gives tensors a rank and reshapes and transposes them freely; a graph knows channels of pixels only. So a
    /// tensor is a node and, for each dimension but the batch's, an extent and the distance between neighbours in the
    /// node's values. Reshaping and transposing only change the view; what a view needs of the graph (a flattened
    /// vector, shuffled channels) becomes a node when an operator reads it.
    struct View {
        struct Axis: Equatable {
            var extent: Int
            var stride: Int
        }

        /// The node, by its place in the ``Draft``.
        var node: Int
        /// All dimensions but the first, which is the batch's.
        var axes: [Axis]

        /// A view of all values in their order.
        init(_ node: Int, _ dimensions: [Int]) {
            self.node = node
            axes = zip(dimensions, Constant.strides(of: dimensions)).map(Axis.init)
        }

        /// The extents of all dimensions but the batch's.
        var dimensions: [Int] { axes.map(\.extent) }

        /// Values of one image.
        var count: Int { axes.reduce(1) { $0 * $1.extent } }

        /// Whether the values are read in their stored order.
        var isInOrder: Bool { merged.isEmpty || merged == [Axis(extent: count, stride: 1)] }

        /// Whether whole runs of this many values are read, in any order.
        func keepsRuns(of length: Int) -> Bool {
            guard length > 1 else { return true }
            guard let last = merged.last else { return false }
            return last.stride == 1 && last.extent % length == 0
        }

        /// The axes without those of extent 1, with contiguous neighbours joined.
        private var merged: [Axis] {
            var merged: [Axis] = []
            for axis in axes where axis.extent != 1 {
                if let last = merged.last, last.stride == axis.stride * axis.extent {
                    merged[merged.count - 1] = Axis(extent: last.extent * axis.extent, stride: axis.stride)
                } else {
                    merged.append(axis)
                }
            }
            return merged
        }

        /// The places of the values in the node's, in reading order.
        var places: [Int] { StridedWalk(dimensions, axes.map(\.stride)).map(count) { $0 } }

        /// The same values with other extents, or nil if the view must be put in order first.
        func reshaped(_ target: [Int]) -> View? {
            var rest = merged
            var axes: [Axis] = []
            // From the last dimension on, each takes what it needs of the innermost axis left.
            for extent in target.reversed() {
                guard extent > 1 else {
                    axes.append(Axis(extent: extent, stride: 1))
                    continue
                }
                guard let inner = rest.popLast(), inner.extent % extent == 0 else { return nil }
                axes.append(Axis(extent: extent, stride: inner.stride))
                if inner.extent > extent {
                    rest.append(Axis(extent: inner.extent / extent, stride: inner.stride * extent))
                }
            }
            guard rest.isEmpty else { return nil }
            var view = self
            view.axes = axes.reversed()
            return view
        }
    }
}
