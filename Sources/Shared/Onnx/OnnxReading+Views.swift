/// From the model's reshaped tensors to what a graph's node reads.
extension Onnx.Reading {
    /// The node whose channels, rows and columns a view of `[batch, channels, height, width]` shows. Shuffled channels
    /// become a node.
    mutating func image(_ view: Onnx.View, _ call: Call, _ origin: Onnx.Draft.Origin) throws -> Int {
        guard view.axes.count == 3 else {
            throw call.failure(
                "it reads a tensor of \(view.axes.count + 1) dimensions; Winnow reads images, [batch, channels, height, "
                    + "width]")
        }
        let ordered = try inOrder(view, origin)
        let dimensions = ordered.dimensions
        let shape = draft.shape(ordered.node)
        if ordered.isInOrder, dimensions == shape.dimensions { return ordered.node }
        guard ordered.isInOrder, dimensions[1] == 1, dimensions[2] == 1 else {
            throw call.failure(
                "it reads channels that were reshaped from \(shape) to \(dimensions); only channels can be reordered, "
                    + "not pixels")
        }
        return try vector(ordered, origin)
    }

    /// The node whose channels are a view's first dimension: an image or a vector.
    mutating func channels(_ view: Onnx.View, _ call: Call, _ origin: Onnx.Draft.Origin) throws -> Int {
        view.axes.count == 1 ? try vector(view, origin) : try image(view, call, origin)
    }

    /// The node that is a vector of a view's values.
    mutating func vector(_ view: Onnx.View, _ origin: Onnx.Draft.Origin) throws -> Int {
        let ordered = try inOrder(view, origin)
        var node = ordered.node
        if !draft.shape(node).isVector { node = try draft.add(.flatten, [node], origin.with("flatten")) }
        if ordered.isInOrder { return node }
        try budget.take(4 * MemoryLayout<Int?>.stride * ordered.count)
        return try draft.addSelect(ordered.places, node, origin.with("select"))
    }

    /// The view in the order of a node's values, if reordering whole channels achieves that.
    private mutating func inOrder(_ view: Onnx.View, _ origin: Onnx.Draft.Origin) throws -> Onnx.View {
        let pixels = draft.shape(view.node).pixels
        guard !view.isInOrder, view.keepsRuns(of: pixels), view.count == draft.shape(view.node).count else {
            return view
        }
        try budget.take(4 * MemoryLayout<Int?>.stride * view.count)
        let places = view.places
        let channels = stride(from: 0, to: places.count, by: pixels).map { places[$0] / pixels }
        return Onnx.View(try draft.addSelect(channels, view.node, origin.with("select")), view.dimensions)
    }

    /// The view with other extents; a transposed one is first put in order.
    mutating func reshape(_ view: Onnx.View, _ dimensions: [Int], _ call: Call) throws -> Onnx.View {
        guard try Onnx.Constant.count(of: dimensions) == view.count else {
            throw call.failure("it reshapes \(view.dimensions) to \(dimensions), which has another number of values")
        }
        if let reshaped = view.reshaped(dimensions) { return reshaped }
        let origin = origin(call)
        let ordered = try inOrder(view, origin)
        if let reshaped = ordered.reshaped(dimensions) { return reshaped }
        return Onnx.View(try vector(view, origin), dimensions)
    }

    /// A number per channel of a view's first dimension, or one number for all of them: a constant that is broadcast
    /// against the view and does not differ between pixels. Nil for any other constant.
    mutating func perChannel(_ constant: Onnx.Constant, _ dimensions: [Int]) throws -> [Double]? {
        let values = constant.floats
        try budget.take(4 * values.count)
        if let uniform = constant.uniform { return [uniform] }
        let whole = [batch] + dimensions
        guard Onnx.Constant.broadcast(constant.dimensions, whole) == whole, let channels = dimensions.first else {
            return nil
        }
        let missing = whole.count - constant.dimensions.count
        guard missing <= 1 else { return nil }
        let axis = 1 - missing
        guard constant.dimensions[axis] == channels else { return nil }
        let inner = constant.dimensions[(axis + 1)...].reduce(1, *)
        try budget.take(8 * channels)
        var numbers = [Double?](repeating: nil, count: channels)
        for (place, value) in values.enumerated() {
            let channel = place / inner % channels
            if let number = numbers[channel], number != Double(value) { return nil }
            numbers[channel] = Double(value)
        }
        return numbers.compactMap { $0 }
    }
}
