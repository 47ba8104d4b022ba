extension Onnx {
    /// A tensor whose values are sums of pixels of one channel, the same for each channel.
    ///
    /// PyTorch's exporter takes adaptive average pooling apart if the sizes do not divide: it gathers the pixels of
    /// each region, zeros those beyond it, adds them one by one and divides; Winnow's own export multiplies by matrices
    /// of means. Here each value is kept as its pixels and their weights, and finally compared with the sums of
    /// adaptive pooling.
    struct Resampling {
        /// What a dimension counts.
        enum Axis: Equatable {
            case batch
            case channel
            /// Places that take their values from pixels.
            case places(Int)

            var extent: Int? { if case .places(let extent) = self { extent } else { nil } }
        }

        /// A pixel, counted row after row, and its weight.
        struct Term: Equatable {
            var pixel: Int
            var weight: Double
        }

        /// The node whose channels are read.
        var node: Int
        var axes: [Axis]
        /// The terms of each place, in row-major order of the axes that have places.
        var sums: [[Term]]

        /// The pixels of a node's channels in another order of the dimensions.
        init(_ node: Int, _ shape: Shape, order: [Int]) {
            self.node = node
            axes = [.batch, .channel, .places(shape.height), .places(shape.width)]
            sums = (0..<shape.pixels).map { [Term(pixel: $0, weight: 1)] }
            transpose(order)
        }

        /// The extents of the places.
        var extents: [Int] { axes.compactMap(\.extent) }

        /// Extents with 1 for the batch and the channels: the shape that a constant must broadcast to.
        var spread: [Int] { axes.map { $0.extent ?? 1 } }

        /// The terms at strided places.
        mutating func take(_ axes: [Axis], _ strides: [Int], offset: Int = 0) {
            self.axes = axes
            let count = extents.reduce(1, *)
            sums = StridedWalk(extents, strides, offset: offset).map(count) { [sums] in sums[$0] }
        }

        /// Puts the dimensions in another order.
        mutating func transpose(_ order: [Int]) {
            let strides = spatialStrides
            take(order.map { axes[$0] }, order.compactMap { axes[$0].extent == nil ? nil : strides[$0] })
        }

        /// Keeps one place of a dimension, and removes the dimension.
        mutating func select(_ place: Int, axis: Int) {
            var strides = spatialStrides
            let offset = place * strides[axis]
            var kept = axes
            kept.remove(at: axis)
            strides.remove(at: axis)
            take(kept, zip(kept, strides).compactMap { $0.extent == nil ? nil : $1 }, offset: offset)
        }

        /// Takes the mean over the places of a dimension, and removes the dimension.
        mutating func average(axis: Int) {
            let extent = axes[axis].extent ?? 1
            let parts = (0..<extent).map { place in
                var part = self
                part.select(place, axis: axis)
                return part
            }
            self = parts[0]
            for place in sums.indices {
                sums[place] = parts.flatMap { part in
                    part.sums[place].map { Term(pixel: $0.pixel, weight: $0.weight / Double(extent)) }
                }
            }
        }

        /// Replaces the places of a dimension by weighted sums of them, one per list of weights.
        mutating func mix(_ weights: [[Double]], axis: Int) {
            let parts = weights[0].indices.map { place in
                var part = self
                part.select(place, axis: axis)
                return part.sums
            }
            let inner = axes[(axis + 1)...].compactMap(\.extent).reduce(1, *)
            let outer = axes[..<axis].compactMap(\.extent).reduce(1, *)
            axes[axis] = .places(weights.count)
            sums = []
            for before in 0..<outer {
                for weights in weights {
                    for after in 0..<inner {
                        var terms: [Term] = []
                        for (part, weight) in zip(parts, weights) where weight != 0 {
                            for term in part[before * inner + after] {
                                terms.append(Term(pixel: term.pixel, weight: term.weight * weight))
                            }
                        }
                        sums.append(terms)
                    }
                }
            }
        }

        /// Replaces the first dimensions by a list of places in them.
        mutating func gather(_ places: [Int], _ extents: [Int], dimensions: Int) {
            let inner = axes[dimensions...].compactMap(\.extent).reduce(1, *)
            axes = extents.map { .places($0) } + axes[dimensions...]
            sums = places.flatMap { [sums] in sums[$0 * inner..<($0 + 1) * inner] }
        }

        /// For each dimension, the distance of neighbours among the sums; 0 for batch and channels.
        private var spatialStrides: [Int] {
            var stride = 1
            return axes.reversed().map { axis in
                guard let extent = axis.extent else { return 0 }
                defer { stride *= extent }
                return stride
            }.reversed()
        }

        /// The adaptive average pooling equal to these sums, or nil.
        func adaptiveAverage(of shape: Shape) -> Operation.Extent? {
            guard axes.count == 4, axes[0] == .batch, axes[1] == .channel, let height = axes[2].extent,
                let width = axes[3].extent, height > 0, width > 0
            else { return nil }
            func region(_ index: Int, _ parts: Int, _ size: Int) -> Range<Int> {
                index * size / parts..<((index + 1) * size + parts - 1) / parts
            }
            for (place, terms) in sums.enumerated() {
                let rows = region(place / width, height, shape.height)
                let columns = region(place % width, width, shape.width)
                let pixels = rows.flatMap { row in columns.map { row * shape.width + $0 } }
                let weight = 1 / Double(pixels.count)
                guard terms.map(\.pixel).sorted() == pixels,
                    terms.allSatisfy({ abs($0.weight - weight) < 1e-6 })
                else { return nil }
            }
            return Operation.Extent(height, width)
        }
    }
}
